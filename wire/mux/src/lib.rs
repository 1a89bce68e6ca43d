//! Many streams over one byte stream between a host and the agent in a virtual machine, as that of a virtio port.
//!
//! Such a byte stream may break off anywhere and go on elsewhere: a machine is saved in the middle of a frame, and a clone of
//! it has another host; an agent dies and another takes its place. Nothing tells the other side. So a host begins a session
//! by saying a number that nobody can have said before, both sides find each other by it whatever they hear before it, and
//! every frame of a session bears its mark. Frames of another session are never taken for frames of this.
//!
//! Neither side does any input or output: bytes go into [`Mux::push`], events come out of [`Mux::next_event`], and what is to
//! be sent is in [`Mux::output`].
//!
//! - [`frame`]: frames and markers as bytes, and how they are found again.
//! - [`mux`]: sessions and streams: who may say what when, and how much.

pub mod frame;
pub mod mux;
#[cfg(test)]
mod mux_tests;

pub use frame::Session;
pub use mux::{Event, Mux, Stream};
