//! Programs of the host that do what we do not do ourselves.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use hcs_core::{Cause, Error};

const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

/// Finds one, or says which package has it.
pub fn find(name: &str, package: &str) -> Result<Command, Error> {
    let paths = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name));
    let path = paths.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(Cause::NotSupported, format!("the program {name} is not installed"))
            .hint(format!("Install the package {package}."))
    })?;
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Runs it to its end, which must be success; else what it said is the error.
pub fn run(command: &mut Command) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Error::from_io(&error, format!("running {name}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(Cause::Unexpected, format!("{name} failed ({}): {}", output.status, said.trim())))
}
