//! The desktop as a whole: all its programs up, in order, or none.
//!
//! Must not: hold a request longer than [`START_MAX`]; know what is seen or typed.
//! Next: `program` for how one is kept alive, `super::kit` for which there are.

mod program;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sebring_tasks::Tasks;
use tokio::time::{Instant, sleep, timeout};

use super::display::{self, Display};
use super::kit::{self, Part};
use super::layout::{self, Layout};
use crate::environment::{self, Change, Environment, Variables};
use crate::network::ports;
use crate::process::Processes;
pub(crate) use program::{Program, State};

/// From nothing to a desktop that can be used; a busy host needs a few times the usual second.
const START_MAX: Duration = Duration::from_secs(20);
/// How often we look whether a program serves yet.
const LOOK_AGAIN: Duration = Duration::from_millis(15);
const RESTART_MAX: Duration = Duration::from_secs(10);
/// Neither black nor white, so that a picture of nothing is not taken for a broken one.
const BACKGROUND: u32 = 0x2e_34_40;
/// The part that all others draw on.
const DISPLAY_SERVER: &str = "xvfb";

#[derive(Debug, Default)]
pub(crate) struct Desktop {
    programs: Arc<Programs>,
    /// One start, stop or restart at a time.
    changing: tokio::sync::Mutex<()>,
}

/// All parts, in the order of their start.
type Programs = Mutex<Vec<Arc<Program>>>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Missing(#[from] kit::Missing),
    #[error(transparent)]
    Layout(#[from] layout::Error),
    #[error(transparent)]
    Environment(#[from] environment::Error),
    #[error("prepare the desktop's folders")]
    Folder(#[source] io::Error),
    #[error("{what} did not come up; the end of what it wrote: {log}")]
    NotUp { what: &'static str, log: String },
    #[error("no part of the desktop is called {asked:?}; there are {known}")]
    Unknown { asked: String, known: String },
    #[error("the desktop is not running")]
    NotRunning,
}

/// What a start or restart works with.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) processes: Arc<Processes>,
    pub(crate) tasks: Tasks,
}

/// How many parts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overall {
    Active,
    Partial,
    Inactive,
}

impl Desktop {
    pub(crate) fn programs(&self) -> Vec<Arc<Program>> {
        all_of(&self.programs)
    }

    /// Whether nothing of it runs or is about to.
    pub(crate) fn is_over(&self) -> bool {
        let is_changing = self.changing.try_lock().is_err();
        let programs = self.programs();
        !is_changing && programs.iter().all(|one| one.state() == State::Over)
    }

    pub(crate) fn overall(&self) -> Overall {
        let programs = self.programs();
        let up = programs.iter().filter(|one| one.pid().is_some()).count();
        match up {
            0 => Overall::Inactive,
            all if all == programs.len() => Overall::Active,
            _ => Overall::Partial,
        }
    }

    /// The part of that name; none while it was never started.
    pub(crate) fn program(&self, asked: &str) -> Result<Option<Arc<Program>>, Error> {
        let name = kit::known_as(asked);
        if !kit::NAMES.contains(&name) {
            return Err(Error::Unknown {
                asked: asked.to_owned(),
                known: kit::NAMES.join(", "),
            });
        }
        let programs = self.programs();
        Ok(programs.iter().find(|one| one.part.name == name).cloned())
    }

    /// Everything runs when this returns; what runs already is left alone, above all the display
    /// server, with which all windows would go.
    pub(crate) async fn start(
        &self,
        environment: &Environment,
        means: &Means,
    ) -> Result<(), Error> {
        let _turn = self.changing.lock().await;
        let layout = Layout::of(&environment.get())?;
        let folder = layout::folder(&environment.get());
        let bus = folder.join("bus");
        let parts = kit::parts(&environment.get(), &layout, &bus)?;
        if self.overall() == Overall::Active {
            return Ok(());
        }
        if self.has_display(&parts) {
            return self
                .complete(parts, &folder, &layout, environment, means)
                .await;
        }
        self.halt().await;
        announce(environment, &layout, &bus)?;
        prepare(folder.clone(), layout.display)
            .await
            .map_err(Error::Folder)?;
        let programs: Vec<_> = parts
            .into_iter()
            .map(|part| Program::new(part, &folder))
            .collect();
        self.replace(&programs);
        let variables = environment.get();
        let up = Self::bring_up(&programs, &layout, &variables, means);
        let outcome = match timeout(START_MAX, up).await {
            Ok(outcome) => outcome,
            Err(_) => Err(not_up(&programs, &layout)),
        };
        if outcome.is_err() {
            self.halt().await;
        } else {
            self.keep_on_display(layout.display, means);
        }
        outcome
    }

    /// Whether there is a display server such as the one of `parts`.
    fn has_display(&self, parts: &[Part]) -> bool {
        let programs = self.programs();
        let servers = programs
            .iter()
            .filter(|one| one.part.name == DISPLAY_SERVER && one.pid().is_some());
        let is_wanted = |server: &Arc<Program>| {
            let mut parts = parts.iter();
            parts.any(|part| part.name == DISPLAY_SERVER && part.argv == server.part.argv)
        };
        servers.into_iter().any(is_wanted)
    }

    /// Begins anew what has ended for good. Nothing else is touched, also when that fails.
    async fn complete(
        &self,
        parts: Vec<Part>,
        folder: &Path,
        layout: &Layout,
        environment: &Environment,
        means: &Means,
    ) -> Result<(), Error> {
        let present = self.programs();
        let kept = |part: &Part| {
            let mut present = present.iter();
            let same = present.find(|one| one.part.name == part.name)?;
            (same.state() != State::Over).then(|| Arc::clone(same))
        };
        let programs: Vec<_> = parts
            .into_iter()
            .map(|part| kept(&part).unwrap_or_else(|| Program::new(part, folder)))
            .collect();
        self.replace(&programs);
        let variables = environment.get();
        let is_new = |one: &&Arc<Program>| !present.iter().any(|old| Arc::ptr_eq(old, one));
        for program in programs.iter().filter(is_new) {
            begin(program, &variables, means);
        }
        match timeout(START_MAX, all_serve(&programs, layout)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(not_up(&programs, layout)),
        }
    }

    fn replace(&self, programs: &[Arc<Program>]) {
        let mut present = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        *present = programs.to_vec();
    }

    pub(crate) async fn stop(&self) {
        let _turn = self.changing.lock().await;
        self.halt().await;
    }

    /// Last started, first stopped.
    async fn halt(&self) {
        for program in self.programs().iter().rev() {
            program.stop().await;
        }
    }

    pub(crate) async fn restart(&self, asked: &str) -> Result<(), Error> {
        let _turn = self.changing.lock().await;
        let program = self.program(asked)?.ok_or(Error::NotRunning)?;
        if program.state() == State::Over {
            return Err(Error::NotRunning);
        }
        let before = program.pid();
        let mut states = program.states();
        program.restart();
        let again = states.wait_for(|state| match state {
            State::Up(pid) => Some(*pid) != before,
            State::Down => false,
            State::Over => true,
        });
        match timeout(RESTART_MAX, again).await {
            Ok(Ok(state)) if *state != State::Over => Ok(()),
            _ => Err(Error::NotUp {
                what: program.part.name,
                log: program.log(true),
            }),
        }
    }

    async fn bring_up(
        programs: &[Arc<Program>],
        layout: &Layout,
        variables: &Variables,
        means: &Means,
    ) -> Result<(), Error> {
        let run = |program| begin(program, variables, means);
        let (first, rest) = by_display(programs);
        first.iter().for_each(run);
        while !display::answers(layout.display).await {
            alive(first)?;
            sleep(LOOK_AGAIN).await;
        }
        // A picture without a background is no reason not to start.
        let _plain = display::with(layout.display, paint).await;
        rest.iter().for_each(run);
        all_serve(programs, layout).await
    }

    /// A new display server knows none of the programs that drew on the old one.
    fn keep_on_display(&self, display: u16, means: &Means) {
        let programs = self.programs();
        let Some(server) = programs.iter().find(|one| one.part.name == DISPLAY_SERVER) else {
            return;
        };
        let mut states = server.states();
        // Those of that moment: some may have been begun anew.
        let programs = Arc::clone(&self.programs);
        let mut known = server.pid();
        means.tasks.spawn("desktop display", async move {
            loop {
                let changed = states.wait_for(|state| match state {
                    State::Up(pid) => Some(*pid) != known,
                    State::Down => false,
                    State::Over => true,
                });
                let Ok(State::Up(pid)) = changed.await.map(|state| *state) else {
                    return;
                };
                known = Some(pid);
                let deadline = Instant::now() + RESTART_MAX;
                while !display::answers(display).await && Instant::now() < deadline {
                    sleep(LOOK_AGAIN).await;
                }
                let _plain = display::with(display, paint).await;
                let programs = all_of(&programs);
                let (_, rest) = by_display(&programs);
                rest.iter().for_each(|program| program.restart());
            }
        });
    }
}

fn all_of(programs: &Programs) -> Vec<Arc<Program>> {
    let programs = programs.lock();
    programs.unwrap_or_else(PoisonError::into_inner).clone()
}

fn begin(program: &Arc<Program>, variables: &Variables, means: &Means) {
    let run = Arc::clone(program).run(
        Arc::clone(&means.processes),
        variables.clone(),
        layout::home(variables),
    );
    means.tasks.spawn("desktop program", run);
}

/// Waits until none is on its way, and people and programs can use the desktop.
async fn all_serve(programs: &[Arc<Program>], layout: &Layout) -> Result<(), Error> {
    let is_on_its_way = |one: &Arc<Program>| one.state() == State::Down;
    while programs.iter().any(is_on_its_way) || !is_served(layout).await {
        alive(programs)?;
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// As the user, who owns what is made.
async fn prepare(folder: PathBuf, display: u16) -> io::Result<()> {
    let done = tokio::task::spawn_blocking(move || {
        fs::create_dir_all(&folder)?;
        remove(&folder.join("bus"))?;
        let sockets = Path::new("/tmp/.X11-unix");
        match fs::DirBuilder::new().mode(0o777).create(sockets) {
            // Everybody's, as the display server demands; we made it, so it is no link.
            Ok(()) => fs::set_permissions(sockets, fs::Permissions::from_mode(0o1777))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if matches!(Display::open(display), Err(display::Error::Absent)) {
            // Left by a server that was killed; its number may be another process's by now.
            remove(Path::new(&format!("/tmp/.X{display}-lock")))?;
        }
        Ok(())
    });
    done.await.map_err(io::Error::other)?
}

/// What must be there before anything can be drawn, and the rest.
fn by_display(programs: &[Arc<Program>]) -> (&[Arc<Program>], &[Arc<Program>]) {
    let server = programs
        .iter()
        .position(|one| one.part.name == DISPLAY_SERVER);
    programs.split_at(server.map_or(0, |at| at + 1))
}

/// Tells what is run from now on where the desktop is, unless the sandbox says otherwise.
fn announce(
    environment: &Environment,
    layout: &Layout,
    bus: &Path,
) -> Result<(), environment::Error> {
    let present = environment.get();
    let address = format!("unix:path={}", bus.display());
    let wanted = [
        ("DISPLAY", format!(":{}", layout.display)),
        ("DBUS_SESSION_BUS_ADDRESS", address),
        ("NO_AT_BRIDGE", "0".to_owned()),
        ("QT_ACCESSIBILITY", "1".to_owned()),
        ("ACCESSIBILITY_ENABLED", "1".to_owned()),
    ];
    let set = wanted
        .into_iter()
        .filter(|(name, _)| !present.contains_key(*name))
        .map(|(name, value)| (name.to_owned(), value));
    let change = Change {
        set: Some(set.collect()),
        ..Change::default()
    };
    environment.change(change).map(drop)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The first that was given up on ends the wait for all.
fn alive(programs: &[Arc<Program>]) -> Result<(), Error> {
    match programs
        .iter()
        .find(|one| one.state() == State::Over && one.part.auto_restart)
    {
        Some(dead) => Err(Error::NotUp {
            what: dead.part.name,
            log: dead.log(true),
        }),
        None => Ok(()),
    }
}

async fn is_served(layout: &Layout) -> bool {
    let listening = ports::listening();
    listening.contains(&layout.vnc_port)
        && listening.contains(&layout.web_port)
        && display::with(layout.display, has_window_manager)
            .await
            .unwrap_or(false)
}

fn not_up(programs: &[Arc<Program>], layout: &Layout) -> Error {
    let listening = ports::listening();
    let silent = |name: &str| match name {
        "x11vnc" => !listening.contains(&layout.vnc_port),
        "novnc" => !listening.contains(&layout.web_port),
        _ => false,
    };
    let culprit = programs
        .iter()
        .find(|one| one.pid().is_none() || silent(one.part.name));
    Error::NotUp {
        what: culprit.map_or("the desktop", |one| one.part.name),
        log: culprit.map_or_else(String::new, |one| one.log(true)),
    }
}

fn has_window_manager(display: &Display) -> Result<bool, display::Error> {
    use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _};
    let check = display.atom("_NET_SUPPORTING_WM_CHECK")?;
    let found = display
        .x
        .get_property(false, display.root, check, AtomEnum::WINDOW, 0, 1)?
        .reply()?;
    Ok(found.value_len > 0)
}

fn paint(display: &Display) -> Result<(), display::Error> {
    use x11rb::protocol::xproto::{ChangeWindowAttributesAux, ConnectionExt as _};
    let plain = ChangeWindowAttributesAux::new().background_pixel(BACKGROUND);
    display.x.change_window_attributes(display.root, &plain)?;
    display.x.clear_area(false, display.root, 0, 0, 0, 0)?;
    display.settle()
}
