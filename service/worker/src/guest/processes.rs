//! The processes of a guest, and the pipes of their streams.

use std::os::fd::OwnedFd;

use hcs_container::{ProcessPlan, console::Size};
use hcs_core::{Cause, Error};
use hcs_gcs::{
    Rpc,
    records::{
        Execute, ExecuteSettings, FOR_EVER, NULL_ID, Nested, ProcessParameters, Resize, Signal, StreamPorts,
        Wait,
    },
};
use hcs_ipc::worker::{ProcessExit, ProcessRecord};
use hcs_mux::Stream;
use rustix::{fs::OFlags, pipe::PipeFlags};
use serde_json::json;

use super::{Guest, Key, What, parameters, questions::Question};
use crate::{output, tracked::Ends};

/// How many ended processes are remembered, so that a machine that runs for years does not grow.
const REMEMBERED: usize = 4096;

/// What ends a process for which nobody asks for another signal.
const END: u32 = rustix::process::Signal::KILL.as_raw().cast_unsigned();

/// What waits at a port for its stream.
pub(super) enum End {
    /// What is said here is sent.
    Source(OwnedFd),
    /// What comes is written here.
    Sink(OwnedFd),
}

/// A process that was started, or is about to be.
pub(super) struct GuestProcess {
    record: ProcessRecord,
    has_console: bool,
    /// The ports of its input, output and errors.
    ports: [Option<u32>; 3],
    /// The last that it was sent.
    signal: Option<i32>,
}

/// A process that the agent is about to start.
pub(super) struct Starting {
    has_console: bool,
    ports: [Option<u32>; 3],
    /// What the client gets: input, output, errors.
    ends: [Option<OwnedFd>; 3],
    /// So much of output and errors is kept, and the client does not get them.
    keep_output: Option<u64>,
}

impl Guest {
    /// What is known of its processes.
    pub fn records(&self, of: &str) -> Vec<ProcessRecord> {
        let there = self.processes.iter().filter(|((place, _), _)| place == of);
        there.map(|(_, process)| process.record.clone()).collect()
    }

    pub(super) fn living(&self) -> impl Iterator<Item = Key> {
        let living = self.processes.iter().filter(|(_, process)| process.record.exit.is_none());
        living.map(|(key, _)| key.clone())
    }

    /// Has the agent start a process; it is told under this number when it runs.
    pub fn start_process(&mut self, of: &str, number: u64, plan: &ProcessPlan) -> Result<(), Error> {
        let failed = |errno: rustix::io::Errno| Error::from_errno(errno.raw_os_error(), "making a pipe");
        let mut starting = Starting {
            has_console: plan.console.is_some(),
            ports: [None; 3],
            ends: [None, None, None],
            keep_output: plan.keep_output,
        };
        let wanted = [plan.stdin, plan.stdout, plan.stderr && plan.console.is_none()];
        let parameters = match self.is_of_this_house() {
            true => parameters::whole(plan, of)?,
            false => parameters::of(plan)?,
        };
        let mut offered = Vec::new();
        for (which, _) in wanted.into_iter().enumerate().filter(|(_, wanted)| *wanted) {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
            let (ours, theirs) =
                if which == 0 { (End::Source(read), write) } else { (End::Sink(write), read) };
            let port = self.next_port;
            self.next_port += 1;
            starting.ports[which] = Some(port);
            starting.ends[which] = Some(theirs);
            offered.push((port, ours));
        }
        let [stdin, stdout, stderr] = starting.ports;
        let settings = ExecuteSettings {
            process_parameters: Nested(parameters),
            vsock_stdio_relay_settings: StreamPorts { stdin, stdout, stderr },
        };
        let ports = starting.ports;
        // Somebody listens before the agent knows where.
        let expected = ports.iter().flatten().try_for_each(|port| self.carrier.expect(*port));
        self.offered.extend(offered);
        let question = Question::Process(of.to_owned(), number, starting);
        let asked = expected.and_then(|()| self.ask(Rpc::ExecuteProcess, of, Execute { settings }, question));
        asked.inspect_err(|_| ports.into_iter().flatten().for_each(|port| self.offer_no_more(port)))
    }

    /// Somebody takes a stream, or wants one that is none.
    pub(super) fn take_stream(&mut self, stream: Stream, port: u32) {
        match self.offered.remove(&port) {
            Some(End::Source(pipe)) => self.carrier.accept_source(stream, pipe),
            Some(End::Sink(pipe)) => self.carrier.accept_sink(stream, pipe),
            None => return self.carrier.reset(stream),
        }
        self.streams.insert(port, stream);
    }

    fn offer_no_more(&mut self, port: u32) {
        if self.offered.remove(&port).is_some() {
            self.carrier.expect_no_more(port);
        }
    }

    pub(super) fn process_started(&mut self, of: String, number: u64, starting: Starting, process_id: u32) {
        let Starting { has_console, ports, ends: [stdin, mut stdout, mut stderr], keep_output } = starting;
        // Who has said that it runs has called before.
        for port in ports.into_iter().flatten() {
            if let Some(stream) = self.carrier.admit(port) {
                self.take_stream(stream, port);
            }
        }
        let record = ProcessRecord { process_id, exit: None };
        let key = (of, process_id);
        self.ended.retain(|ended| *ended != key);
        self.processes.insert(key.clone(), GuestProcess { record, has_console, ports, signal: None });
        if let Some(most) = keep_output {
            let pipes = [stdout.take(), stderr.take()];
            self.tell(&key.0, What::Kept { process_id, most, pipes });
        }
        let ends = Ends { process_id, stdin, stdout, stderr };
        self.settle(&key.0, number, Ok(ends.into_answer()));
        self.await_end(key);
    }

    pub(super) fn process_failed(&mut self, starting: Starting) {
        for port in starting.ports.into_iter().flatten() {
            self.offer_no_more(port);
            if let Some(stream) = self.streams.remove(&port) {
                self.carrier.reset(stream);
            }
        }
    }

    /// How a process has ended, of which its agent says this. One of others does not say which signal has ended it.
    pub(super) fn exit_code(&self, key: &Key, said: u32) -> u32 {
        match self.processes.get(key) {
            Some(process) if said == u32::MAX && !self.is_of_this_house() => {
                128 + process.signal.and_then(|signal| u32::try_from(signal).ok()).unwrap_or(END)
            }
            _ => said,
        }
    }

    pub(super) fn process_ended(&mut self, key: &Key, exit: ProcessExit) {
        let Some(process) = self.processes.get_mut(key) else { return };
        process.record.exit = Some(exit);
        let (record, ports) = (process.record.clone(), process.ports);
        // What it has said may still be under way, and comes before its end as far as it is here; its streams end by themselves.
        for port in ports.into_iter().flatten() {
            self.offer_no_more(port);
            if let Some(stream) = self.streams.remove(&port) {
                self.carrier.take_rest(stream);
            }
        }
        self.tell(&key.0, What::ProcessEnded(record));
        self.ended.push_back(key.clone());
        if self.ended.len() > REMEMBERED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.processes.remove(&oldest);
        }
    }

    fn process(&self, of: &str, process_id: u32) -> Result<&GuestProcess, Error> {
        match self.processes.get(&(of.to_owned(), process_id)) {
            None => Err(Error::new(Cause::NotFound, format!("there is no process {process_id}"))),
            Some(process) if process.record.exit.is_some() => Err(Cause::ProcessAlreadyStopped.into()),
            Some(process) => Ok(process),
        }
    }

    /// Sends a signal.
    pub fn signal(&mut self, of: &str, number: u64, process_id: u32, signal: i32) -> Result<(), Error> {
        self.process(of, process_id)?;
        if let Some(process) = self.processes.get_mut(&(of.to_owned(), process_id)) {
            process.signal = Some(signal);
        }
        let body = Signal { process_id, options: Some(json!({"Signal": signal})) };
        let question = Question::Signal { of: of.to_owned(), number, process_id, signal };
        self.ask(Rpc::SignalProcess, of, body, question)
    }

    /// Sends a signal to a process of the machine where the agent does so for containers only, as hosts do that: by a program.
    pub(super) fn signal_by_program(
        &mut self,
        number: u64,
        process_id: u32,
        signal: i32,
    ) -> Result<(), Error> {
        let path = ("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        let parameters = ProcessParameters {
            command_args: vec!["kill".to_owned(), format!("-{signal}"), process_id.to_string()],
            working_directory: "/".to_owned(),
            environment: [path].into(),
            ..ProcessParameters::default()
        };
        let settings =
            ExecuteSettings { process_parameters: Nested(parameters), ..ExecuteSettings::default() };
        self.ask(Rpc::ExecuteProcess, NULL_ID, Execute { settings }, Question::Killer(number))
    }

    /// It runs, and what it ends with is what has become of the signal.
    pub(super) fn await_killer(&mut self, number: u64, process_id: u32) {
        let wait = Wait { process_id, timeout_in_ms: FOR_EVER };
        if let Err(error) = self.ask(Rpc::WaitForProcess, NULL_ID, wait, Question::Killed(number)) {
            self.settle(NULL_ID, number, Err(error));
        }
    }

    /// Changes the size of a console.
    pub fn resize(&mut self, of: &str, number: u64, process_id: u32, size: Size) -> Result<(), Error> {
        if !self.process(of, process_id)?.has_console {
            return Err(crate::system::no_console());
        }
        let body = Resize { process_id, height: size.rows, width: size.columns };
        self.act(of, number, Rpc::ResizeConsole, body)
    }

    /// Ends the input of a process. What the client wrote before is still delivered.
    pub fn close_stdin(&mut self, of: &str, process_id: u32) -> Result<(), Error> {
        /// What a terminal takes for the end of the input, unless it was told otherwise.
        const END_OF_INPUT: u8 = 4;
        let process = self.process(of, process_id)?;
        let has_console = process.has_console;
        let Some(stream) = process.ports[0].and_then(|port| self.streams.get(&port)).copied() else {
            return Ok(());
        };
        if has_console {
            let pipe = self.carrier.pipe_of(stream).ok_or(Cause::ProcessAlreadyStopped)?;
            let typed =
                rustix::io::write(output::open(pipe, OFlags::WRONLY | OFlags::NONBLOCK)?, &[END_OF_INPUT]);
            return typed
                .map(|_| ())
                .map_err(|errno| Error::from_errno(errno.raw_os_error(), "ending a console's input"));
        }
        if self.carrier.finish_source(stream).is_err() {
            self.cut();
        }
        Ok(())
    }

    /// Fresh pipe ends of a living process.
    pub fn ends(&self, of: &str, process_id: u32) -> Result<Ends, Error> {
        let process = self.process(of, process_id)?;
        let again = |which: usize, flags: OFlags| -> Result<Option<OwnedFd>, Error> {
            let stream = process.ports[which].and_then(|port| self.streams.get(&port));
            let Some(pipe) = stream.and_then(|stream| self.carrier.pipe_of(*stream)) else { return Ok(None) };
            let end = output::open(pipe, flags | OFlags::NONBLOCK)?;
            rustix::fs::fcntl_setfl(&end, OFlags::empty())
                .map_err(|errno| Error::from_errno(errno.raw_os_error(), "preparing a pipe"))?;
            Ok(Some(end))
        };
        Ok(Ends {
            process_id,
            stdin: again(0, OFlags::WRONLY)?,
            stdout: again(1, OFlags::RDONLY)?,
            stderr: again(2, OFlags::RDONLY)?,
        })
    }
}
