//! What will be done for a process in a container, as plain data.

use hcs_core::{Cause, Error};
use hcs_schema::{ProcessParameters, Reading};
use serde::{Deserialize, Serialize};

use crate::{
    command_line,
    policy::{self, Notice},
};

/// A process to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// The program, if it is not the first argument.
    pub program: Option<String>,
    /// The arguments; at least one.
    pub arguments: Vec<String>,
    /// The environment, as `NAME=value`, complete but for HOME, which depends on the user.
    pub environment: Vec<String>,
    /// The working directory.
    pub working_directory: String,
    /// `name`, `uid`, `name:group` or `uid:gid`; empty is root.
    pub user: String,
    /// A pipe for the standard input is wanted.
    pub stdin: bool,
    /// A pipe for the standard output is wanted.
    pub stdout: bool,
    /// A pipe for the standard error is wanted.
    pub stderr: bool,
}

/// What PATH is when the client says nothing, as in every container engine.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl ProcessPlan {
    /// Plans a process.
    pub fn new(reading: &Reading<ProcessParameters>) -> Result<(ProcessPlan, Vec<Notice>), Error> {
        let notices = policy::apply(policy::PROCESS, &reading.present)?;
        let parameters = &reading.value;
        let plan = ProcessPlan {
            program: parameters.application_name.clone().filter(|name| !name.is_empty()),
            arguments: arguments(parameters)?,
            environment: environment(parameters)?,
            working_directory: working_directory(parameters)?,
            user: without_nul(parameters.user.clone().unwrap_or_default(), "$.User")?,
            stdin: parameters.create_std_in_pipe.unwrap_or(false),
            stdout: parameters.create_std_out_pipe.unwrap_or(false),
            stderr: parameters.create_std_err_pipe.unwrap_or(false),
        };
        Ok((plan, notices))
    }
}

fn arguments(parameters: &ProcessParameters) -> Result<Vec<String>, Error> {
    let line = parameters.command_line.as_deref().unwrap_or_default();
    let given = parameters.command_args.clone().unwrap_or_default();
    let arguments = match (line.is_empty(), given.is_empty()) {
        (false, false) => {
            return Err(Error::new(Cause::InvalidData, "found both CommandLine and CommandArgs")
                .at("$.CommandArgs")
                .hint("Send one of them."));
        }
        (false, true) => command_line::split(line).map_err(|error| error.at("$.CommandLine"))?,
        (true, false) => given,
        (true, true) => parameters.application_name.clone().into_iter().filter(|name| !name.is_empty()).collect(),
    };
    if arguments.first().is_none_or(String::is_empty) {
        return Err(Error::new(Cause::InvalidData, "there is no program to run")
            .at("$.CommandLine")
            .hint("Send CommandLine or CommandArgs."));
    }
    arguments
        .into_iter()
        .enumerate()
        .map(|(index, argument)| without_nul(argument, &format!("$.CommandArgs[{index}]")))
        .collect()
}

fn environment(parameters: &ProcessParameters) -> Result<Vec<String>, Error> {
    let given = parameters.environment.clone().unwrap_or_default();
    let mut environment = Vec::with_capacity(given.len() + 1);
    if !given.contains_key("PATH") {
        environment.push(DEFAULT_PATH.to_owned());
    }
    for (name, value) in given {
        let path = format!("$.Environment.{name}");
        if name.is_empty() || name.contains('=') {
            return Err(Error::new(Cause::InvalidData, format!("found the variable name {name:?}"))
                .at(path)
                .hint("A name is not empty and has no '='."));
        }
        environment.push(without_nul(format!("{name}={value}"), &path)?);
    }
    Ok(environment)
}

fn working_directory(parameters: &ProcessParameters) -> Result<String, Error> {
    const PATH: &str = "$.WorkingDirectory";
    let directory = parameters.working_directory.clone().filter(|path| !path.is_empty()).unwrap_or("/".to_owned());
    if !directory.starts_with('/') {
        return Err(
            Error::new(Cause::InvalidData, format!("found {directory:?}, expected an absolute path")).at(PATH)
        );
    }
    without_nul(directory, PATH)
}

fn without_nul(text: String, path: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(Error::new(Cause::InvalidData, "found a NUL character").at(path));
    }
    Ok(text)
}
