//! What an operator can set of the service.
//!
//! There is one list of settings, in [`settings`]. Each has one name, `guest-patience` for instance, and three ways to be
//! said: the argument `--guest-patience`, the variable `HCS_GUEST_PATIENCE`, the line `guest-patience = …` of the file.
//! An argument beats a variable, a variable beats the file, and what nobody says is as usual.
//!
//! ```text
//!   settings  the list; what one source says of it (Settings); what holds in the end (Config)
//!   value     what a value may be, as text and in TOML
//!   file      a configuration file as Settings, or every mistake in it
//!   example   the file with everything in it as a comment
//! ```
//!
//! `hcsd` runs by it, `hcs config` checks and shows it. Nothing here opens a file or asks the environment: both do that
//! themselves, so one of them can look at what the other would get.
#![forbid(unsafe_code)]

mod example;
mod file;
mod settings;
mod value;

pub use example::example;
pub use file::{Mistake, parse, usual_path};
pub use settings::{Config, SETTINGS, Setting, Settings};
pub use value::{LogFilter, LogFormat, Program};
