//! What is on the screen: pictures of it, its displays, its windows.
//!
//! Must not: touch anything. Next: `capture` for pixels, `picture` for files made of them.

mod capture;
pub(crate) mod displays;
mod picture;
pub(crate) mod screenshot;
pub(crate) mod windows;
