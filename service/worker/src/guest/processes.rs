//! The processes of a guest, and the pipes of their streams.

use std::os::fd::OwnedFd;

use hcs_container::{ProcessPlan, console::Size};
use hcs_core::{Cause, Error};
use hcs_gcs::{
    Rpc,
    records::{Execute, ExecuteSettings, Nested, Resize, Signal, StreamPorts},
};
use hcs_ipc::worker::{ProcessExit, ProcessRecord};
use rustix::{fs::OFlags, pipe::PipeFlags};
use serde_json::json;

use super::{Guest, Key, What, parameters, questions::Question};
use crate::{output, tracked::Ends};

/// How many ended processes are remembered, so that a machine that runs for years does not grow.
const REMEMBERED: usize = 4096;

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
        let parameters = match self.is_of_this_house() {
            true => parameters::whole(plan, of)?,
            false => parameters::of(plan)?,
        };
        let [stdin, stdout, stderr] = starting.ports;
        let settings = ExecuteSettings {
            process_parameters: Nested(parameters),
            vsock_stdio_relay_settings: StreamPorts { stdin, stdout, stderr },
        };
        let ports = starting.ports;
        self.offered.extend(offered);
        let question = Question::Process(of.to_owned(), number, starting);
        self.ask(Rpc::ExecuteProcess, of, Execute { settings }, question).inspect_err(|_| {
            ports.iter().flatten().for_each(|port| drop(self.offered.remove(port)));
        })
    }

    pub(super) fn process_started(&mut self, of: String, number: u64, starting: Starting, process_id: u32) {
        let Starting { has_console, ports, ends: [stdin, mut stdout, mut stderr], keep_output } = starting;
        let record = ProcessRecord { process_id, exit: None };
        let key = (of, process_id);
        self.ended.retain(|ended| *ended != key);
        self.processes.insert(key.clone(), GuestProcess { record, has_console, ports });
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
            self.offered.remove(&port);
            if let Some(stream) = self.streams.remove(&port) {
                self.carrier.reset(stream);
            }
        }
    }

    pub(super) fn process_ended(&mut self, key: &Key, exit: ProcessExit) {
        let Some(process) = self.processes.get_mut(key) else { return };
        process.record.exit = Some(exit);
        let (record, ports) = (process.record.clone(), process.ports);
        self.tell(&key.0, What::ProcessEnded(record));
        // What it has said may still be under way; its streams end by themselves.
        for port in ports.into_iter().flatten() {
            self.offered.remove(&port);
            self.streams.remove(&port);
        }
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
        let body = Signal { process_id, options: Some(json!({"Signal": signal})) };
        self.act(of, number, Rpc::SignalProcess, body)
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
