//! `/computeruse/recordings…`

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::film::{self, Film, Plan};
use super::library::{self, Entry, Recording};
use super::{BYTES_MAX, DISK_SPARE_BYTES, FILMS_MAX, Recordings};
use crate::computer::{display, kit, layout};
use crate::files::{self, download as files_download};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::info::metrics;
use crate::toolbox::Toolbox;

/// How long ffmpeg may take to write its first frame; a busy sandbox takes a second.
const FIRST_FRAME_MAX: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A file's head is shorter, and any frame makes it longer.
const HEAD_BYTES: u64 = 512;

#[derive(Debug, Deserialize)]
pub(crate) struct StartRequest {
    label: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StopRequest {
    id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct List {
    recordings: Vec<Recording>,
}

pub(crate) async fn list(State(toolbox): State<Arc<Toolbox>>) -> Result<Json<List>, Failure> {
    let owned = Arc::clone(&toolbox.computer.recordings);
    let folder = layout::recordings(&toolbox.environment.get());
    let recordings = blocking(move || {
        let entries = library::list(&folder).into_iter();
        entries.map(|entry| owned.describe(&entry)).collect()
    });
    Ok(Json(List {
        recordings: recordings.await?,
    }))
}

/// Runs to its end even when the client leaves, so that every film can be found and stopped.
pub(crate) async fn start(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<StartRequest>,
) -> Result<Response, Failure> {
    let label = library::label(request.label.as_deref())?.to_owned();
    let owner = Arc::clone(&toolbox);
    let begun = toolbox.tasks.spawn(
        "recording start",
        async move { begin(&owner, &label).await },
    );
    match begun.await {
        Ok(Some(recording)) => Ok((StatusCode::CREATED, Json(recording?)).into_response()),
        _ => Err(Failure::internal(
            "the start of the recording did not finish",
        )),
    }
}

async fn begin(toolbox: &Toolbox, label: &str) -> Result<Recording, Failure> {
    let recordings = &toolbox.computer.recordings;
    let variables = toolbox.environment.get();
    let ffmpeg = kit::find(&variables, "ffmpeg").ok_or_else(no_ffmpeg)?;
    let number = layout::display(&variables)?;
    let size = display::with(number, |display| Ok(film::screen(display))).await?;
    let folder = layout::recordings(&variables);
    let entry = Entry::new(&folder, label);
    files::blocking(move || fs::create_dir_all(&folder).map_err(files::Error::at(&folder))).await?;
    let ffmpeg = sebring_sys::fs::c_path(&ffmpeg).map_err(|_| no_ffmpeg())?;
    recordings.forget_finished();
    let film = recordings.add(&entry.id, |promised| {
        let plan = Plan {
            ffmpeg,
            file: &entry.path,
            display: number,
            size,
            bytes_max: room(metrics::disk_free(toolbox), promised)?,
        };
        Film::begin(toolbox, &plan).map_err(|error| Failure::internal(error.to_text()))
    })?;
    if !has_begun(&film, &entry).await {
        recordings.forget_finished();
        let text = "the recording ended at once; run ffmpeg -f x11grab in the sandbox to see why";
        return Err(Failure::internal(text));
    }
    let owned = Arc::clone(recordings);
    blocking(move || owned.describe(&entry)).await
}

/// Whether there is something on the film, so that even one that is stopped at once can be played.
async fn has_begun(film: &Film, entry: &Entry) -> bool {
    let deadline = Instant::now() + FIRST_FRAME_MAX;
    while film.is_under_way() && Instant::now() < deadline {
        let path = entry.path.clone();
        let size = blocking(move || fs::metadata(path).map_or(0, |found| found.len()));
        if size.await.is_ok_and(|size| size > HEAD_BYTES) {
            return true;
        }
        sleep(LOOK_AGAIN).await;
    }
    film.is_under_way()
}

pub(crate) async fn stop(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<StopRequest>,
) -> Result<Json<Recording>, Failure> {
    let id = request.id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Failure::bad_request("id: is required"))?;
    if let Some(film) = toolbox.computer.recordings.film(&id) {
        film.ask_to_stop();
        film.finished().await;
        toolbox.computer.recordings.forget_finished();
    }
    describe(&toolbox, id).await.map(Json)
}

pub(crate) async fn one(
    State(toolbox): State<Arc<Toolbox>>,
    Path(id): Path<String>,
) -> Result<Json<Recording>, Failure> {
    describe(&toolbox, id).await.map(Json)
}

pub(crate) async fn delete(
    State(toolbox): State<Arc<Toolbox>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let entry = finished(&toolbox, id).await?;
    files::blocking(move || fs::remove_file(&entry.path).map_err(files::Error::at(&entry.path)))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn download(
    State(toolbox): State<Arc<Toolbox>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let entry = finished(&toolbox, id).await?;
    files_download::answer(entry.path, &headers).await
}

async fn describe(toolbox: &Toolbox, id: String) -> Result<Recording, Failure> {
    let owned = Arc::clone(&toolbox.computer.recordings);
    let folder = layout::recordings(&toolbox.environment.get());
    blocking(move || {
        let entry = library::find(&folder, &id).ok_or_else(|| unknown(&id))?;
        Ok(owned.describe(&entry))
    })
    .await?
}

/// A film that nothing is added to any more.
async fn finished(toolbox: &Toolbox, id: String) -> Result<Entry, Failure> {
    let folder = layout::recordings(&toolbox.environment.get());
    if toolbox.computer.recordings.is_under_way(&id) {
        return Err(under_way(&id));
    }
    blocking(move || library::find(&folder, &id).ok_or_else(|| unknown(&id))).await?
}

impl Recordings {
    fn describe(&self, entry: &Entry) -> Recording {
        entry.describe(self.is_under_way(&entry.id))
    }

    /// Begins another, when there are not too many. `begin` learns how many bytes those under way
    /// may still write.
    fn add(
        &self,
        id: &str,
        begin: impl FnOnce(u64) -> Result<Arc<Film>, Failure>,
    ) -> Result<Arc<Film>, Failure> {
        let mut films = self.films();
        if films.len() >= FILMS_MAX {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                "TOO_MANY_RECORDINGS",
                format!("recordings: {FILMS_MAX} are under way, the maximum; stop one first"),
            ));
        }
        let film = begin(films.values().map(|film| film.bytes_left()).sum())?;
        films.insert(id.to_owned(), Arc::clone(&film));
        Ok(film)
    }
}

/// How large a film may become: half of what is left, so that the next finds room as well.
fn room(free_bytes: u64, promised_bytes: u64) -> Result<u64, Failure> {
    let spoken_for = promised_bytes.saturating_add(DISK_SPARE_BYTES);
    let room = free_bytes.saturating_sub(spoken_for);
    if room < DISK_SPARE_BYTES {
        return Err(Failure::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "DISK_FULL",
            format!(
                "recording: only {free_bytes} bytes are free on the sandbox's disk, of which \
                 recordings under way may take {promised_bytes}"
            ),
        ));
    }
    Ok((room / 2).min(BYTES_MAX))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::internal("the work on recordings did not finish"))
}

pub(super) fn unknown(id: &str) -> Failure {
    Failure::not_found(format!("no recording {id:?}"))
}

pub(super) fn under_way(id: &str) -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "RECORDING_STILL_ACTIVE",
        format!("recording {id} is under way; stop it first"),
    )
}

fn no_ffmpeg() -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "RECORDING_FFMPEG_NOT_FOUND",
        "recording needs ffmpeg, which this sandbox has not; use the snapshot `desktop` or \
         install it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_films_together_leave_the_disk_what_they_must() {
        for free in [200 << 20, 3_000 << 20, 100 << 30] {
            let mut promised = 0;
            for _ in 0..FILMS_MAX {
                promised += room(free, promised).unwrap_or(0);
            }
            assert!(
                promised > 0 && promised <= free - DISK_SPARE_BYTES,
                "{free}"
            );
        }
        assert_eq!(room(100 << 30, 0).unwrap(), BYTES_MAX);
        let refused = room(2 * DISK_SPARE_BYTES, 1).unwrap_err();
        assert!(refused.message().contains("may take 1"), "{refused:?}");
    }
}
