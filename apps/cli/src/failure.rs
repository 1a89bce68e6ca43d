//! Why a verb failed: one line for the standard error, and an exit code.

use std::{io, process::ExitCode};

/// A failure.
#[derive(Debug)]
pub struct Failure {
    /// One line, with the hint.
    pub message: String,
    /// What the command ends with.
    pub code: ExitCode,
    kind: Option<io::ErrorKind>,
}

impl Failure {
    /// A failure that is told like this.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: ExitCode::FAILURE, kind: None }
    }

    /// A failure of the operating system; `doing` says what was tried.
    pub fn io(error: &io::Error, doing: &str) -> Failure {
        Failure { kind: Some(error.kind()), ..Failure::new(format!("{doing}: {error}")) }
    }

    /// The same with another exit code.
    pub fn exit_with(self, code: u8) -> Failure {
        Failure { code: ExitCode::from(code), ..self }
    }

    /// Whether whoever read our output has gone.
    pub fn is_broken_pipe(&self) -> bool {
        self.kind == Some(io::ErrorKind::BrokenPipe)
    }
}

impl From<hcs::Error> for Failure {
    fn from(error: hcs::Error) -> Failure {
        Failure::new(error.message)
    }
}

impl From<hcs::images::StoreError> for Failure {
    fn from(error: hcs::images::StoreError) -> Failure {
        hcs::Error::from(error).into()
    }
}

impl From<io::Error> for Failure {
    /// Nearly all that a verb does itself is to write its output.
    fn from(error: io::Error) -> Failure {
        Failure::io(&error, "writing the output")
    }
}
