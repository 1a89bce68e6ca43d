//! The terminal that `exec -t` runs on: raw while a process has it, and its size.

use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// The standard input in raw mode: every key goes to the process. Dropping it restores the terminal.
pub struct Raw(Termios);

impl Raw {
    /// Switches, if the standard input is a terminal.
    pub fn enter() -> Option<Raw> {
        let stdin = std::io::stdin();
        if !isatty(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Rows and columns of the terminal that we write to, or else read from.
pub fn size() -> Option<(u16, u16)> {
    let of = |fd: &dyn AsFd| tcgetwinsize(fd.as_fd()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    let size = of(&std::io::stdout()).or_else(|| of(&std::io::stdin()))?;
    Some((size.ws_row, size.ws_col))
}
