//! Programs of the host that do what we do not do ourselves. Services and workers have no PATH.

use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::event::PollFlags;

use crate::{Cause, Error, ready};

/// Where they are.
pub const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

/// Finds one, or says which package has it.
pub fn find(name: &str, package: &str) -> Result<PathBuf, Error> {
    let paths = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name));
    paths.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(Cause::NotSupported, format!("the program {name} is not installed"))
            .hint(format!("Install the package {package}."))
    })
}

/// Runs a program to its end, or puts an end to it when that takes too long. It has ended when nobody can say anything any more.
/// What it reads and where it writes is what the caller has said.
pub fn run(command: &mut Command, patience: Duration) -> Result<(), Error> {
    run_to_end("", command, patience)
}

/// The same of one that reads this, which must be short, and writes nothing.
pub fn run_with(input: &str, command: &mut Command, patience: Duration) -> Result<(), Error> {
    run_to_end(input, command.stdin(Stdio::piped()).stdout(Stdio::null()), patience)
}

fn run_to_end(input: &str, command: &mut Command, patience: Duration) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error| Error::from_io(&error, format!("running {name}"));
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who ends without reading says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let mut said = Vec::new();
    let until = Instant::now() + patience;
    let mut is_late = false;
    if let Some(mut stderr) = child.stderr.take() {
        loop {
            if ready::until(&stderr, PollFlags::IN, Some(until)) == Ok(PollFlags::empty()) {
                is_late = true;
                let _ = child.kill();
                break;
            }
            let mut buffer = [0; 1024];
            match stderr.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => said.extend_from_slice(&buffer[..length]),
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    if is_late {
        return Err(Error::new(Cause::DeadlineExceeded, format!("{name} has not ended in {patience:?}")));
    }
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(Error::new(Cause::Unexpected, format!("{name} failed ({status}): {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str, patience: Duration) -> Result<(), Error> {
        run_with(input, Command::new("sh").args(["-c", script]), patience)
    }

    #[test]
    fn what_a_program_complains_of_is_told() {
        let patience = Duration::from_secs(60);
        shell("exit 0", "nobody reads this", patience).unwrap();
        shell("test $(cat) = said", "said", patience).unwrap();
        let error = shell("echo no such disk >&2; exit 3", "", patience).unwrap_err();
        assert!(error.detail.contains("no such disk") && error.detail.contains('3'), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let error = shell("exec sleep 600", "", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.cause, Cause::DeadlineExceeded);
    }
}
