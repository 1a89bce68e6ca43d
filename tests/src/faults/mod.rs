//! Faults at will: every system call with an effect that a service and what it starts make is a step, and at each of them
//! something can be killed, refused, held back or cut. Nothing in the product knows of it.
//!
//! `calls` says what a step is, `listener` has the kernel stop at it, `step` names it, `watch` records and strikes.

mod calls;
mod listener;
pub mod step;
mod watch;

pub use step::{Made, Step};
pub use watch::{Fault, Watch};
