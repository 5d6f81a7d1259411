//! One film under way.

use std::ffi::CString;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::display::Display;
use super::TIME_MAX;
use crate::environment::Variables;
use crate::process::{self, Child, Exit, Launch, Place, RunAs};
use crate::toolbox::Toolbox;

const FRAMES_PER_SECOND: &str = "30";
/// ffmpeg writes the end of the file when it is asked to stop.
const STOP_MAX: Duration = Duration::from_secs(10);
const KILL_GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    UnderWay,
    Stopping,
    Ended,
}

#[derive(Debug)]
pub(super) struct Film {
    progress: watch::Sender<Progress>,
    file: PathBuf,
    bytes_max: u64,
}

/// What a film shall be.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) ffmpeg: CString,
    pub(super) file: &'a Path,
    pub(super) display: u16,
    pub(super) size: (u16, u16),
    pub(super) bytes_max: u64,
}

/// The size of the screen, when there is one.
pub(super) fn screen(display: &Display) -> (u16, u16) {
    (display.width, display.height)
}

impl Film {
    /// Begins to film; the returned value says how it goes on.
    pub(super) fn begin(toolbox: &Toolbox, plan: &Plan<'_>) -> Result<Arc<Self>, process::Error> {
        let env = toolbox.environment.get();
        let (input, quit) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| process::Error::Start(errno.into()))?;
        let child = launch(toolbox, plan, &env, input)?;
        let film = Arc::new(Self {
            progress: watch::Sender::new(Progress::UnderWay),
            file: plan.file.to_owned(),
            bytes_max: plan.bytes_max,
        });
        let owned = Arc::clone(&film);
        toolbox
            .tasks
            .spawn("recording", async move { owned.follow(child, quit).await });
        Ok(film)
    }

    pub(super) fn is_under_way(&self) -> bool {
        *self.progress.borrow() != Progress::Ended
    }

    /// What it may still write.
    pub(super) fn bytes_left(&self) -> u64 {
        let written = fs::metadata(&self.file).map_or(0, |found| found.len());
        self.bytes_max.saturating_sub(written)
    }

    pub(super) fn ask_to_stop(&self) {
        self.progress.send_if_modified(|progress| {
            let asked = *progress == Progress::UnderWay;
            if asked {
                *progress = Progress::Stopping;
            }
            asked
        });
    }

    /// Resolves when its file is complete, or cannot be any more.
    pub(super) async fn finished(&self) {
        let mut progress = self.progress.subscribe();
        let ended = progress.wait_for(|progress| *progress == Progress::Ended);
        let _late = timeout(STOP_MAX + KILL_GRACE * 2, ended).await;
    }

    async fn follow(&self, mut child: Child, quit: OwnedFd) {
        let mut progress = self.progress.subscribe();
        let is_asked = tokio::select! {
            // Both only wait, so either may be dropped.
            _ = &mut child.exit => false,
            _ = progress.wait_for(|progress| *progress == Progress::Stopping) => true,
        };
        if is_asked {
            end(&mut child, quit).await;
        }
        self.progress.send_replace(Progress::Ended);
    }
}

async fn end(child: &mut Child, quit: OwnedFd) {
    // One byte always fits into the pipe; a program that has ended already needs none.
    let _gone = std::fs::File::from(quit).write_all(b"q");
    if timeout(STOP_MAX, &mut child.exit).await.is_ok() {
        return;
    }
    let _gone = rustix::process::kill_process(child.pid, Signal::INT);
    let exit: Result<Result<Exit, _>, _> = timeout(KILL_GRACE, &mut child.exit).await;
    if exit.is_err() {
        child.kill_tree();
        let _gone = timeout(KILL_GRACE, &mut child.exit).await;
    }
}

fn launch(
    toolbox: &Toolbox,
    plan: &Plan<'_>,
    env: &Variables,
    input: OwnedFd,
) -> Result<Child, process::Error> {
    let null = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .map_err(process::Error::Start)?;
    toolbox.processes.start(Launch {
        programs: vec![plan.ffmpeg.clone()],
        argv: arguments(plan),
        env,
        cwd: &toolbox.work_dir,
        stdin: input,
        stdout: OwnedFd::from(null),
        stderr: None,
        run_as: RunAs::User,
        place: Place::OwnTree,
        terminal: false,
    })
}

fn arguments(plan: &Plan<'_>) -> Vec<CString> {
    // The format needs even sizes; a line less is nothing that anybody misses.
    let (width, height) = (plan.size.0 & !1, plan.size.1 & !1);
    let size = format!("{width}x{height}");
    let display = format!(":{}", plan.display);
    let bytes = plan.bytes_max.to_string();
    let seconds = TIME_MAX.as_secs().to_string();
    let before = [
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        "-y",
        "-f",
        "x11grab",
        "-framerate",
        FRAMES_PER_SECOND,
        "-video_size",
        &size,
        "-i",
        &display,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-flush_packets",
        "1",
        "-pix_fmt",
        "yuv420p",
        "-fs",
        &bytes,
        "-t",
        &seconds,
        "-f",
        "mp4",
    ];
    let file = format!("file:{}", plan.file.display());
    before
        .into_iter()
        .chain([file.as_str()])
        .filter_map(|word| CString::new(word).ok())
        .collect()
}
