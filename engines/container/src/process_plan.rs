//! What will be done for a process in a container, as plain data.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use hcs_core::{Cause, Error, absolute};
use hcs_schema::{ProcessParameters, Reading, member_path};
use serde::{Deserialize, Serialize};

use crate::{
    attributes::Attributes,
    command_line, console, oci,
    policy::{self, Notice},
    said::{Said, say},
};

/// A process to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// The program, if it is not the first argument.
    pub program: Option<String>,
    /// The arguments. None at all means the process that the container is for.
    pub arguments: Vec<String>,
    /// The environment, as `NAME=value`, complete but for HOME, which depends on the user.
    pub environment: Vec<String>,
    /// The working directory.
    pub working_directory: String,
    /// `name`, `uid`, `name:group` or `uid:gid`; empty is root.
    pub user: String,
    /// What it is beside its program.
    #[serde(default)]
    pub attributes: Attributes,
    /// Where the document says it.
    pub blame: Blame,
    /// The console that takes the place of all three streams.
    #[serde(default)]
    pub console: Option<console::Size>,
    /// A pipe for the standard input is wanted, or the console.
    pub stdin: bool,
    /// A pipe for the standard output is wanted, or the console.
    pub stdout: bool,
    /// A pipe for the standard error is wanted; a console has none.
    pub stderr: bool,
    /// Who starts it reads both pipes and keeps that many bytes of what they said; nobody else has them.
    #[serde(default)]
    pub keep_output: Option<u64>,
}

/// The members of the document that are to blame when a step fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// The one that names the program.
    pub program: String,
    /// The working directory.
    pub working_directory: String,
    /// The user.
    pub user: String,
    /// The OCI process, if there is one.
    pub attributes: Option<String>,
}

/// What PATH is when the client says nothing, as in every container engine.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl ProcessPlan {
    /// Plans a process.
    pub fn new(reading: &Reading<ProcessParameters>) -> Result<(ProcessPlan, Vec<Notice>), Error> {
        let mut notices = policy::admit(policy::PROCESS, reading)?;
        let parameters = &reading.value;
        let mut said = said(parameters)?;
        if parameters.oci_process.is_none() && said.names_nothing() {
            let mut plan = ProcessPlan::of_container(&said, parameters, &mut notices);
            plan.keep(parameters)?;
            return Ok((plan, notices));
        }
        if let Some(process) = &parameters.oci_process {
            oci::process::add(&mut said, process, "$.OciProcess", &mut notices)?;
        }
        let mut plan = said.into_plan(parameters, &mut notices)?;
        plan.keep(parameters)?;
        Ok((plan, notices))
    }
}

impl ProcessPlan {
    /// A plan for the process that the container is for, of which only the streams are said here.
    fn of_container(said: &Wanted, parameters: &ProcessParameters, notices: &mut Vec<Notice>) -> ProcessPlan {
        let console = said.console(notices);
        ProcessPlan {
            program: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            working_directory: "/".to_owned(),
            user: String::new(),
            attributes: Attributes::default(),
            blame: Blame::default(),
            console,
            stdin: parameters.create_std_in_pipe.unwrap_or(false),
            stdout: parameters.create_std_out_pipe.unwrap_or(false),
            stderr: parameters.create_std_err_pipe.unwrap_or(false),
            keep_output: None,
        }
    }

    /// Has the output kept if that is wanted. There is one reader of a pipe, so nobody else reads it then.
    fn keep(&mut self, parameters: &ProcessParameters) -> Result<(), Error> {
        const AT: &str = "$.Linux.Log";
        let Some(log) = parameters.linux.as_ref().and_then(|linux| linux.log.as_ref()) else { return Ok(()) };
        let others = [
            ("CreateStdOutPipe", self.stdout),
            ("CreateStdErrPipe", self.stderr),
            ("EmulateConsole", self.console.is_some()),
        ];
        if let Some((other, _)) = others.into_iter().find(|(_, wanted)| *wanted) {
            return Err(not_kept(other));
        }
        let most = log.maximum_size_bytes.unwrap_or(KEPT.usual);
        if !(KEPT.least..=KEPT.most).contains(&most) {
            let detail = format!("found {most}, expected {} to {}", KEPT.least, KEPT.most);
            return Err(Error::new(Cause::InvalidData, detail).at(format!("{AT}.MaximumSizeBytes")));
        }
        self.keep_output = Some(most);
        (self.stdout, self.stderr) = (true, true);
        Ok(())
    }

    /// This plan, or one for the process that the container is for if this one names no program.
    pub(crate) fn or_that_of_container(
        &self,
        process: Option<&ProcessPlan>,
    ) -> Result<Cow<'_, ProcessPlan>, Error> {
        if !self.arguments.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        let process = process.ok_or_else(no_program)?;
        let console = self.console.or(process.console);
        if self.keep_output.is_some() && console.is_some() {
            return Err(not_kept("EmulateConsole"));
        }
        Ok(Cow::Owned(ProcessPlan {
            console,
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr && console.is_none(),
            keep_output: self.keep_output,
            ..process.clone()
        }))
    }
}

/// How much of its output a process may ask to be kept, in bytes.
struct Kept {
    least: u64,
    usual: u64,
    most: u64,
}

const KEPT: Kept = Kept { least: 4 << 10, usual: 1 << 20, most: 16 << 20 };

/// What is read by its worker cannot be read by others as well.
fn not_kept(other: &str) -> Error {
    let detail = format!("the output is kept by the worker, so there can be no {other}");
    Error::new(Cause::InvalidData, detail).at("$.Linux.Log").hint(format!("Leave out {other}, or Linux.Log."))
}

/// Neither a line nor a list names one.
pub fn no_program() -> Error {
    Error::new(Cause::InvalidData, "there is no program to run")
        .at("$.CommandLine")
        .hint("Send CommandLine or CommandArgs.")
}

/// What a document says of a process; what is said twice must agree.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub program: Option<Said<String>>,
    pub arguments: Option<Said<Vec<String>>>,
    pub environment: BTreeMap<String, Said<String>>,
    pub working_directory: Option<Said<String>>,
    pub user: Option<Said<String>>,
    pub console: Option<Said<bool>>,
    pub console_size: Option<Said<console::Size>>,
    pub attributes: Attributes,
    /// The OCI process, for blame.
    pub oci: Option<String>,
}

/// What the members of ProcessParameters itself say.
fn said(parameters: &ProcessParameters) -> Result<Wanted, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut wanted = Wanted::default();
    if let Some(program) = given(&parameters.application_name) {
        say(&mut wanted.program, program, "$.ApplicationName")?;
    }
    let list = parameters.command_args.clone().filter(|list| !list.is_empty());
    match (given(&parameters.command_line), list) {
        (Some(_), Some(_)) => {
            return Err(Error::new(Cause::InvalidData, "found both CommandLine and CommandArgs")
                .at("$.CommandArgs")
                .hint("Send one of them."));
        }
        (Some(line), None) => {
            let arguments = command_line::split(&line).map_err(|error| error.at("$.CommandLine"))?;
            say(&mut wanted.arguments, arguments, "$.CommandLine")?;
        }
        (None, Some(list)) => say(&mut wanted.arguments, list, "$.CommandArgs")?,
        (None, None) => {}
    }
    for (name, value) in parameters.environment.clone().unwrap_or_default() {
        let at = member_path("$.Environment", &name);
        wanted.set_variable(name, value, &at)?;
    }
    if let Some(directory) = given(&parameters.working_directory) {
        say(&mut wanted.working_directory, directory, "$.WorkingDirectory")?;
    }
    if let Some(user) = given(&parameters.user) {
        say(&mut wanted.user, user, "$.User")?;
    }
    if parameters.emulate_console.unwrap_or(false) {
        say(&mut wanted.console, true, "$.EmulateConsole")?;
    }
    if let Some([rows, columns]) = parameters.console_size.filter(|size| *size != [0, 0]) {
        say(&mut wanted.console_size, console::Size { rows, columns }, "$.ConsoleSize")?;
    }
    Ok(wanted)
}

impl Wanted {
    /// Whether there is nothing about a process in it but its console.
    fn names_nothing(&self) -> bool {
        self.program.is_none()
            && self.arguments.is_none()
            && self.environment.is_empty()
            && self.working_directory.is_none()
            && self.user.is_none()
    }

    /// Adds a variable of the environment.
    pub fn set_variable(&mut self, name: String, value: String, at: &str) -> Result<(), Error> {
        if name.is_empty() || name.contains('=') {
            return Err(Error::new(Cause::InvalidData, format!("found the variable name {name:?}"))
                .at(at)
                .hint("A name is not empty and has no '='."));
        }
        let mut place = self.environment.remove(&name);
        say(&mut place, value, at)?;
        self.environment.extend(place.map(|said| (name, said)));
        Ok(())
    }

    pub fn into_plan(
        self,
        parameters: &ProcessParameters,
        notices: &mut Vec<Notice>,
    ) -> Result<ProcessPlan, Error> {
        let console = self.console(notices);
        let environment = self.environment(console.is_some())?;
        let path = |said: &Option<Said<String>>, usual: &str| {
            said.as_ref().map_or(usual.to_owned(), |said| said.at.clone())
        };
        let arguments = self.arguments.as_ref().map(|said| said.at.as_str());
        let blame = Blame {
            program: match (&self.program, arguments) {
                (Some(program), _) => program.at.clone(),
                (None, Some("$.CommandLine")) => "$.CommandLine".to_owned(),
                (None, arguments) => format!("{}[0]", arguments.unwrap_or("$.CommandArgs")),
            },
            working_directory: path(&self.working_directory, "$.WorkingDirectory"),
            user: path(&self.user, "$.User"),
            attributes: self.oci,
        };
        Ok(ProcessPlan {
            arguments: list_of_arguments(self.arguments, &self.program)?,
            program: self.program.map(without_nul).transpose()?,
            environment,
            working_directory: working_directory(self.working_directory)?,
            user: self.user.map(without_nul).transpose()?.unwrap_or_default(),
            attributes: self.attributes,
            blame,
            console,
            stdin: parameters.create_std_in_pipe.unwrap_or(false),
            stdout: parameters.create_std_out_pipe.unwrap_or(false),
            stderr: parameters.create_std_err_pipe.unwrap_or(false) && console.is_none(),
            keep_output: None,
        })
    }

    /// The console that is wanted. One of no size has the usual one.
    fn console(&self, notices: &mut Vec<Notice>) -> Option<console::Size> {
        let size = self.console_size.as_ref();
        if self.console.as_ref().is_some_and(|said| said.value) {
            return Some(size.map_or_else(console::Size::default, |said| said.value));
        }
        if let Some(Said { at, .. }) = size {
            let name = at.rsplit('.').next().unwrap_or_default();
            notices.push(Notice {
                path: at.clone(),
                message: format!("{name} was accepted and has no effect: the process has no console"),
            });
        }
        None
    }

    fn environment(&self, has_console: bool) -> Result<Vec<String>, Error> {
        let mut environment = Vec::with_capacity(self.environment.len() + 3);
        if !self.environment.contains_key("PATH") {
            environment.push(DEFAULT_PATH.to_owned());
        }
        if has_console && !self.environment.contains_key("TERM") {
            environment.push("TERM=xterm".to_owned());
        }
        for (name, said) in &self.environment {
            let value = format!("{name}={}", said.value);
            environment.push(without_nul(Said { value, at: said.at.clone() })?);
        }
        Ok(environment)
    }
}

fn list_of_arguments(
    said: Option<Said<Vec<String>>>,
    program: &Option<Said<String>>,
) -> Result<Vec<String>, Error> {
    let said = match (said, program) {
        (Some(said), _) => said,
        (None, Some(program)) => Said { value: vec![program.value.clone()], at: "$.CommandArgs".to_owned() },
        (None, None) => Said { value: Vec::new(), at: String::new() },
    };
    if said.value.first().is_none_or(String::is_empty) {
        return Err(no_program());
    }
    let one = |(index, value)| without_nul(Said { value, at: format!("{}[{index}]", said.at) });
    said.value.into_iter().enumerate().map(one).collect()
}

fn working_directory(said: Option<Said<String>>) -> Result<String, Error> {
    let Some(said) = said else { return Ok("/".to_owned()) };
    absolute(&said.value, &said.at)?;
    Ok(said.value)
}

fn without_nul(said: Said<String>) -> Result<String, Error> {
    if said.value.contains('\0') {
        return Err(Error::new(Cause::InvalidData, "found a NUL character").at(said.at));
    }
    Ok(said.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_plan(text: &str) -> Result<(ProcessPlan, Vec<Notice>), Error> {
        ProcessPlan::new(&hcs_schema::read::<ProcessParameters>(text).unwrap())
    }

    fn plan(text: &str) -> (ProcessPlan, Vec<Notice>) {
        try_plan(text).unwrap()
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

    #[test]
    fn kept_output_has_no_other_reader_and_a_bound() {
        let (kept, notices) = plan(r#"{"CommandArgs":["web"],"CreateStdInPipe":true,"Linux":{"Log":{}}}"#);
        assert_eq!(
            (kept.stdin, kept.stdout, kept.stderr, kept.keep_output),
            (true, true, true, Some(1 << 20))
        );
        assert_eq!(notices, vec![]);
        for (more, path) in [
            (r#""CreateStdOutPipe":true,"Linux":{"Log":{}}"#, "$.Linux.Log"),
            (r#""CreateStdErrPipe":true,"Linux":{"Log":{}}"#, "$.Linux.Log"),
            (r#""EmulateConsole":true,"Linux":{"Log":{}}"#, "$.Linux.Log"),
            (r#""Linux":{"Log":{"MaximumSizeBytes":100}}"#, "$.Linux.Log.MaximumSizeBytes"),
            (r#""Linux":{"Log":{"MaximumSizeBytes":1000000000}}"#, "$.Linux.Log.MaximumSizeBytes"),
        ] {
            let error = try_plan(&format!(r#"{{"CommandArgs":["web"],{more}}}"#)).unwrap_err();
            assert_eq!((error.cause, error.path.as_deref()), (Cause::InvalidData, Some(path)), "{more}");
        }
        // The process that the container is for may have a console without anybody saying so here.
        let (asked, _) = plan(r#"{"Linux":{"Log":{}}}"#);
        let (mut process, _) = plan(r#"{"CommandArgs":["sh"],"EmulateConsole":true}"#);
        assert_eq!(
            asked.or_that_of_container(Some(&process)).unwrap_err().path.as_deref(),
            Some("$.Linux.Log")
        );
        process.console = None;
        let merged = asked.or_that_of_container(Some(&process)).unwrap();
        assert_eq!((merged.arguments.len(), merged.keep_output), (1, Some(1 << 20)));
    }

    #[test]
    fn what_is_said_twice_must_agree() {
        for (text, path) in [
            (r#"{"CommandLine":"ls -l","OciProcess":{"args":["ls"]}}"#, "$.OciProcess.args"),
            (r#"{"ApplicationName":"/bin/a","OciProcess":{"args":["/bin/b"]}}"#, "$.OciProcess.args[0]"),
            (r#"{"WorkingDirectory":"/a","OciProcess":{"args":["ls"],"cwd":"/b"}}"#, "$.OciProcess.cwd"),
            (
                r#"{"Environment":{"A":"1"},"OciProcess":{"args":["ls"],"env":["B=2","A=2"]}}"#,
                "$.OciProcess.env[1]",
            ),
            (r#"{"User":"5","OciProcess":{"args":["ls"],"user":{"uid":5,"gid":5}}}"#, "$.OciProcess.user"),
            (
                r#"{"EmulateConsole":true,"OciProcess":{"args":["ls"],"terminal":false}}"#,
                "$.OciProcess.terminal",
            ),
            (
                r#"{"ConsoleSize":[1,2],"OciProcess":{"args":["ls"],"consoleSize":{"height":2,"width":1}}}"#,
                "$.OciProcess.consoleSize",
            ),
        ] {
            let error = try_plan(text).unwrap_err();
            assert_eq!(error.cause, Cause::InvalidData, "{text}");
            assert_eq!(error.path.as_deref(), Some(path), "{text}");
            assert!(error.detail.contains("$."), "the other place is not named: {error}");
        }
        let (plan, notices) = plan(
            r#"{"CommandLine":"ls -l","WorkingDirectory":"/a","Environment":{"A":"1"},"User":"5:6",
                "OciProcess":{"args":["ls","-l"],"cwd":"/a","env":["A=1"],"user":{"uid":5,"gid":6}}}"#,
        );
        assert_eq!((plan.arguments.len(), plan.user.as_str(), notices), (2, "5:6", vec![]));
    }
}
