//! The code interpreter: Python that remembers. Each context is a process of its own which keeps
//! variables, imports and functions from one cell to the next.
//!
//! Must not: run other languages; those have `/process/code-run`.
//! Next: `routes` for what is served, `context` for a context's life, `cell` for one execution,
//! `inside.py` for what runs inside.

mod cell;
mod context;
mod ending;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod leftovers;
mod protocol;
mod python;
pub(crate) mod routes;
mod socket;
mod stream;
mod text;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use context::Context;

use crate::process;
use crate::process::session::uuid;
use crate::toolbox::Toolbox;
use crate::upgrade::{Busy, Packer, Unpacker, state};

/// Contexts that clients have made, at one time. Each is a process of some ten megabytes.
const CONTEXTS_MAX: usize = 32;
/// Names the context that is there without being made.
const DEFAULT_ID: &str = "default";

/// All contexts of the sandbox.
#[derive(Debug, Default)]
pub(crate) struct Interpreter {
    contexts: Mutex<Contexts>,
}

#[derive(Debug, Default)]
struct Contexts {
    default: Option<Arc<Context>>,
    /// In the order in which they were made.
    made: Vec<Arc<Context>>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{CONTEXTS_MAX} interpreter contexts exist, the maximum; delete one first")]
    TooMany,
    #[error("start the interpreter")]
    Start(#[from] process::Error),
}

impl Interpreter {
    fn create(&self, toolbox: &Arc<Toolbox>, cwd: &Path) -> Result<Arc<Context>, Error> {
        let mut contexts = self.lock();
        if contexts.made.len() >= CONTEXTS_MAX {
            return Err(Error::TooMany);
        }
        let context = Arc::new(Context::start(toolbox, uuid(), cwd)?);
        contexts.made.push(Arc::clone(&context));
        Ok(context)
    }

    pub(crate) fn save(&self, packer: &mut Packer) -> Result<Vec<state::Context>, Busy> {
        let contexts = self.lock();
        let default = contexts.default.iter().map(|context| (context, true));
        let made = contexts.made.iter().map(|context| (context, false));
        default
            .chain(made)
            .map(|(context, is_default)| context.save(is_default, packer))
            .collect()
    }

    pub(crate) fn take_up(
        &self,
        toolbox: &Arc<Toolbox>,
        saved: &[state::Context],
        unpacker: &mut Unpacker,
    ) {
        let mut contexts = self.lock();
        for one in saved {
            let context = Arc::new(Context::take_up(toolbox, one, unpacker));
            if one.is_default {
                contexts.default = Some(context);
            } else {
                contexts.made.push(context);
            }
        }
    }

    fn list(&self) -> Vec<Arc<Context>> {
        self.lock().made.clone()
    }

    /// Whether there was one. It ends when nobody holds it any more.
    fn delete(&self, id: &str) -> bool {
        let mut contexts = self.lock();
        let before = contexts.made.len();
        contexts.made.retain(|context| context.id != id);
        contexts.made.len() < before
    }

    /// The context of that id; without one, the default context.
    fn find(&self, toolbox: &Arc<Toolbox>, id: Option<&str>) -> Option<Arc<Context>> {
        let mut contexts = self.lock();
        match id {
            None | Some("" | DEFAULT_ID) => {
                let default = contexts.default.get_or_insert_with(|| {
                    let id = DEFAULT_ID.to_owned();
                    Arc::new(Context::lazy(toolbox, id, &toolbox.work_dir))
                });
                Some(Arc::clone(default))
            }
            Some(id) => {
                let mut made = contexts.made.iter();
                made.find(|context| context.id == id).map(Arc::clone)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Contexts> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
