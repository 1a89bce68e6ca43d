//! Why a verb failed: one line for the standard error, and an exit code.

use std::{io, process::ExitCode};

use hcs::Cause;

/// The command line asks for what does not go together.
pub const WRONG_USAGE: u8 = 2;
/// There is no such system, process, image or report.
const NOT_THERE: u8 = 3;
/// No service can be reached.
pub const NO_SERVICE: u8 = 4;

/// What exit codes mean, for the help and for the manual.
pub const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "the call failed"),
    ("2", "wrong usage"),
    ("3", "there is no such system, process, image or report"),
    ("4", "no service can be reached"),
    ("124", "`hcs wait --timeout`: the time is over"),
    (
        "125",
        "`hcs exec`, `hcs run`: the process could not be run; any other code is that of the process,\n\
         128 and the signal's number if it died of a signal",
    ),
];

/// The same as lines.
pub fn exit_codes() -> String {
    let line =
        |(code, meaning): &(&str, &str)| format!("\n  {code:<4} {}", meaning.replace('\n', "\n       "));
    "Exit codes:".to_owned() + &EXIT_CODES.iter().map(line).collect::<String>()
}

/// A failure.
#[derive(Debug)]
pub struct Failure {
    /// One line, with the hint.
    pub message: String,
    code: u8,
    is_broken_pipe: bool,
}

impl Failure {
    /// A failure that is told like this.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 1, is_broken_pipe: false }
    }

    /// Something that was named is not there.
    pub fn not_there(message: impl Into<String>) -> Failure {
        Failure::new(message).exit_with(NOT_THERE)
    }

    /// A failure of the operating system; `doing` says what was tried.
    pub fn io(error: &io::Error, doing: &str) -> Failure {
        Failure::new(format!("{doing}: {error}"))
    }

    /// The output cannot be written. Whoever read it may have read enough.
    pub fn output(error: io::Error) -> Failure {
        Failure {
            is_broken_pipe: error.kind() == io::ErrorKind::BrokenPipe,
            ..Failure::io(&error, "writing the output")
        }
    }

    /// The same with another exit code.
    pub fn exit_with(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    /// The same of something: its name stands before the message.
    pub fn of(self, what: &str) -> Failure {
        Failure { message: format!("{what}: {}", self.message), ..self }
    }

    /// The same with an advice behind it.
    pub fn and(self, advice: &str) -> Failure {
        Failure { message: format!("{} {advice}", self.message), ..self }
    }

    /// What the command ends with.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Whether whoever read our output has gone.
    pub fn is_broken_pipe(&self) -> bool {
        self.is_broken_pipe
    }
}

impl From<hcs::Error> for Failure {
    fn from(error: hcs::Error) -> Failure {
        let code = match error.cause {
            Cause::SystemNotFound | Cause::NotFound => NOT_THERE,
            Cause::ServiceNotAvailable | Cause::ServiceDisconnect | Cause::NotPrivileged => NO_SERVICE,
            _ => 1,
        };
        Failure::new(error.message).exit_with(code)
    }
}
