//! Mouse and keyboard, as the X server's test extension plays them.
//!
//! A request has all input to itself until it ends. Whatever it holds down is let go again even
//! when its client leaves: pressing and letting go run in a task that nobody can drop.
//! Must not: start programs. Next: `keys` for names, `mouse` and `keyboard` for actions.

pub(crate) mod keyboard;
mod keymap;
mod keys;
pub(crate) mod mouse;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    AtomEnum, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ClientMessageEvent, ConnectionExt as _,
    CreateWindowAux, EventMask, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT,
    WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;

use super::display::{self, Display};
use super::layout;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// How long a request waits for another's input to end.
const TURN_MAX: Duration = Duration::from_secs(30);

/// A window manager that is slower is not waited for.
const MANAGER_WAIT_MAX: Duration = Duration::from_secs(1);
const MANAGER_LOOK: Duration = Duration::from_millis(2);

/// Which way a key or a button goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stroke {
    Press,
    Release,
}

/// Does `action` when no other input is under way, to its end even when the client leaves.
async fn exclusively<T: Send + 'static>(
    toolbox: &Arc<Toolbox>,
    action: impl FnOnce(&Display) -> Result<T, display::Error> + Send + 'static,
) -> Result<T, Failure> {
    let number = layout::display(&toolbox.environment.get())?;
    super::kit::has_display_server(&toolbox.environment.get())?;
    let owner = Arc::clone(toolbox);
    let task = toolbox.tasks.spawn("input", async move {
        let turn = timeout(TURN_MAX, owner.computer.input.lock()).await;
        let _turn = turn.map_err(|_| display::Error::Busy)?;
        display::with(number, action).await
    });
    match task.await {
        Ok(Some(done)) => done.map_err(Failure::from),
        _ => Err(Failure::internal("the input did not finish")),
    }
}

impl Display {
    fn fake(&self, event: u8, detail: u8, x: i16, y: i16) -> Result<(), display::Error> {
        self.x
            .xtest_fake_input(event, detail, x11rb::CURRENT_TIME, self.root, x, y, 0)?;
        Ok(())
    }

    fn move_to(&self, x: i16, y: i16) -> Result<(), display::Error> {
        self.fake(MOTION_NOTIFY_EVENT, 0, x, y)
    }

    fn button(&self, button: u8, stroke: Stroke) -> Result<(), display::Error> {
        let event = match stroke {
            Stroke::Press => BUTTON_PRESS_EVENT,
            Stroke::Release => BUTTON_RELEASE_EVENT,
        };
        self.fake(event, button, 0, 0)
    }

    fn key(&self, code: u8, stroke: Stroke) -> Result<(), display::Error> {
        let event = match stroke {
            Stroke::Press => KEY_PRESS_EVENT,
            Stroke::Release => KEY_RELEASE_EVENT,
        };
        self.fake(event, code, 0, 0)
    }

    /// Where the pointer really is.
    pub(crate) fn pointer(&self) -> Result<(i16, i16), display::Error> {
        let pointer = self.x.query_pointer(self.root)?.reply()?;
        Ok((pointer.root_x, pointer.root_y))
    }

    /// Lets time pass while the server works; programs need some between two positions of a drag.
    fn pause(&self, pause: Duration) -> Result<(), display::Error> {
        self.x.flush()?;
        let nothing = &mut [];
        let pause = rustix::event::Timespec::try_from(pause).ok();
        // Waits for no descriptor at all; a signal only makes it shorter.
        let _passed = rustix::event::poll(nothing, pause.as_ref());
        Ok(())
    }

    /// Waits until the window manager has done all that happened before: while it takes note of a
    /// changed keyboard, it misses presses. It is asked for something that it answers in turn; one
    /// that never does costs [`MANAGER_WAIT_MAX`].
    fn wait_for_manager(&self) -> Result<(), display::Error> {
        let question = self.atom("_NET_REQUEST_FRAME_EXTENTS")?;
        let answer = self.atom("_NET_FRAME_EXTENTS")?;
        let window = self
            .x
            .generate_id()
            .map_err(|error| display::Error::Broken(error.to_string()))?;
        let unseen = CreateWindowAux::new().override_redirect(1);
        let class = WindowClass::INPUT_OUTPUT;
        self.x
            .create_window(0, window, self.root, 0, 0, 1, 1, 0, class, 0, &unseen)?;
        let message = ClientMessageEvent::new(32, window, question, [0; 5]);
        let to_manager = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
        self.x.send_event(false, self.root, to_manager, message)?;
        let deadline = Instant::now() + MANAGER_WAIT_MAX;
        loop {
            let property = self
                .x
                .get_property(false, window, answer, AtomEnum::ANY, 0, 1)?
                .reply()?;
            if property.value_len > 0 || Instant::now() >= deadline {
                break;
            }
            self.pause(MANAGER_LOOK)?;
        }
        self.x.destroy_window(window)?;
        Ok(())
    }

    /// Holds keys while `action` runs, and lets go of them however it ends.
    fn holding<T>(
        &self,
        codes: &[u8],
        action: impl FnOnce() -> Result<T, display::Error>,
    ) -> Result<T, display::Error> {
        let pressed = codes
            .iter()
            .try_for_each(|code| self.key(*code, Stroke::Press));
        let done = pressed.and_then(|()| action());
        let released = codes
            .iter()
            .rev()
            .try_for_each(|code| self.key(*code, Stroke::Release));
        let done = done?;
        released?;
        Ok(done)
    }
}
