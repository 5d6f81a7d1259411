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

use tokio::time::timeout;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT,
};
use x11rb::protocol::xtest::ConnectionExt as _;

use super::display::{self, Display};
use super::layout;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// How long a request waits for another's input to end.
const TURN_MAX: Duration = Duration::from_secs(30);

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
