//! The edge as clients meet it: real TCP connections in front, real unix sockets behind, and a
//! directory of facts in between that each test writes for itself.

#[cfg(test)]
mod access;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod events;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod preview;
#[cfg(test)]
mod support;
#[cfg(test)]
mod toolbox;
#[cfg(test)]
mod upstream;
