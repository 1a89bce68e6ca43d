//! What will be done for a process in a container, as plain data.

use hcs_core::{Cause, Error};
use hcs_schema::{ProcessParameters, Reading};
use serde::{Deserialize, Serialize};

use crate::{
    command_line, console,
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
    /// The member that names the program, to be blamed for it.
    pub program_path: String,
    /// The console that takes the place of all three streams.
    #[serde(default)]
    pub console: Option<console::Size>,
    /// A pipe for the standard input is wanted, or the console.
    pub stdin: bool,
    /// A pipe for the standard output is wanted, or the console.
    pub stdout: bool,
    /// A pipe for the standard error is wanted; a console has none.
    pub stderr: bool,
}

/// What PATH is when the client says nothing, as in every container engine.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl ProcessPlan {
    /// Plans a process.
    pub fn new(reading: &Reading<ProcessParameters>) -> Result<(ProcessPlan, Vec<Notice>), Error> {
        let mut notices = policy::apply(policy::PROCESS, &reading.present)?;
        let parameters = &reading.value;
        let console = console(parameters, &mut notices);
        let plan = ProcessPlan {
            program: parameters.application_name.clone().filter(|name| !name.is_empty()),
            arguments: arguments(parameters)?,
            environment: environment(parameters, console.is_some())?,
            working_directory: working_directory(parameters)?,
            user: without_nul(parameters.user.clone().unwrap_or_default(), "$.User")?,
            program_path: program_path(parameters).to_owned(),
            console,
            stdin: parameters.create_std_in_pipe.unwrap_or(false),
            stdout: parameters.create_std_out_pipe.unwrap_or(false),
            stderr: parameters.create_std_err_pipe.unwrap_or(false) && console.is_none(),
        };
        Ok((plan, notices))
    }
}

/// The console that is wanted. One of no size has the usual one.
fn console(parameters: &ProcessParameters, notices: &mut Vec<Notice>) -> Option<console::Size> {
    let size = parameters.console_size.filter(|size| *size != [0, 0]);
    if parameters.emulate_console.unwrap_or(false) {
        return Some(
            size.map_or_else(console::Size::default, |[rows, columns]| console::Size { rows, columns }),
        );
    }
    if size.is_some() {
        notices.push(Notice {
            path: "$.ConsoleSize".to_owned(),
            message: "ConsoleSize was accepted and has no effect: the process has no console".to_owned(),
        });
    }
    None
}

fn program_path(parameters: &ProcessParameters) -> &'static str {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if given(&parameters.application_name) {
        "$.ApplicationName"
    } else if given(&parameters.command_line) {
        "$.CommandLine"
    } else {
        "$.CommandArgs[0]"
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
        (true, true) => {
            parameters.application_name.clone().into_iter().filter(|name| !name.is_empty()).collect()
        }
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

fn environment(parameters: &ProcessParameters, has_console: bool) -> Result<Vec<String>, Error> {
    let given = parameters.environment.clone().unwrap_or_default();
    let mut environment = Vec::with_capacity(given.len() + 3);
    if !given.contains_key("PATH") {
        environment.push(DEFAULT_PATH.to_owned());
    }
    if has_console && !given.contains_key("TERM") {
        environment.push("TERM=xterm".to_owned());
    }
    for (name, value) in given {
        if name.is_empty() || name.contains('=') {
            return Err(Error::new(Cause::InvalidData, format!("found the variable name {name:?}"))
                .at(format!("$.Environment[{name:?}]"))
                .hint("A name is not empty and has no '='."));
        }
        environment.push(without_nul(format!("{name}={value}"), &format!("$.Environment.{name}"))?);
    }
    Ok(environment)
}

fn working_directory(parameters: &ProcessParameters) -> Result<String, Error> {
    const PATH: &str = "$.WorkingDirectory";
    let directory =
        parameters.working_directory.clone().filter(|path| !path.is_empty()).unwrap_or("/".to_owned());
    if !directory.starts_with('/') {
        return Err(Error::new(
            Cause::InvalidData,
            format!("found {directory:?}, expected an absolute path"),
        )
        .at(PATH));
    }
    without_nul(directory, PATH)
}

fn without_nul(text: String, path: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(Error::new(Cause::InvalidData, "found a NUL character").at(path));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> (ProcessPlan, Vec<Notice>) {
        ProcessPlan::new(&hcs_schema::read::<ProcessParameters>(text).unwrap()).unwrap()
    }

    #[test]
    fn a_console_takes_the_place_of_the_streams_and_names_its_kind() {
        let (plan, notices) = plan(
            r#"{"CommandLine":"sh","EmulateConsole":true,"ConsoleSize":[50,120],"CreateStdInPipe":true,
                "CreateStdOutPipe":true,"CreateStdErrPipe":true}"#,
        );
        assert_eq!(plan.console, Some(console::Size { rows: 50, columns: 120 }));
        assert_eq!((plan.stdin, plan.stdout, plan.stderr), (true, true, false));
        assert!(plan.environment.contains(&"TERM=xterm".to_owned()));
        assert_eq!(notices, vec![]);
    }

    #[test]
    fn a_size_without_a_console_is_reported() {
        let (plan, notices) = plan(r#"{"CommandArgs":["sh"],"ConsoleSize":[50,120]}"#);
        assert_eq!(plan.console, None);
        assert_eq!(notices[0].path, "$.ConsoleSize");
        assert!(!plan.environment.iter().any(|variable| variable.starts_with("TERM=")));
    }
}
