//! Drives an agent whose bridge is its standard input and output, and checks that it answers as the protocol says. A
//! developer's tool: with it our side of the bridge meets agents that others have written, without a virtual machine.
//! `docs/src/work/foreign-agents.md` tells how.
//!
//! ```text
//!   drive PROGRAM ARG...      The program is the agent, or starts it and ends with it.
//! ```
//!
//! Only what needs no vsock is asked: no stream of a process, no container.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    ffi::OsString,
    io::{Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
};

use hcs_gcs::{
    Rpc,
    code::{self, Code},
    host::{Heard, Host, read},
    records::{
        Execute, Executed, FOR_EVER, NULL_ID, Negotiated, Nothing, ProcessParameters, Query, Response, Wait,
        Waited,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: drive PROGRAM ARG...");
        return ExitCode::from(2);
    };
    match drive(program, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drive: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drive(program: OsString, arguments: impl Iterator<Item = OsString>) -> Outcome<()> {
    let (mut agent, negotiation) = Agent::start(program, arguments)?;
    let negotiated: Negotiated = agent.done(negotiation)?;
    let capabilities = &negotiated.capabilities;
    println!("version {}, {}", negotiated.version, serde_json::to_string(capabilities)?);
    expect("the agent's system", capabilities.runtime_os_type.to_lowercase().as_str(), "linux")?;

    // It lives on while the other questions are asked, so its end is answered out of order.
    let slow = agent.execute("sleep 1; exit 7")?;
    println!("process {slow} runs");
    let end = agent.wait(slow, FOR_EVER)?;

    let soon = agent.wait(slow, 50)?;
    agent.refused(soon, code::TIMED_OUT)?;
    let nowhere = agent.ask(Rpc::GetProperties, "no-such-container", Query::default())?;
    agent.refused(nowhere, code::NO_CONTAINER)?;
    let nobody = agent.wait(u32::MAX, FOR_EVER)?;
    agent.refused(nobody, code::NO_PROCESS)?;
    let missing = agent.begin(&["/no/such/program"])?;
    agent.refused(missing, code::FAILED)?;

    let stacks = agent.ask(Rpc::DumpStacks, NULL_ID, Nothing {})?;
    let stacks: Value = agent.done(stacks)?;
    let length = stacks["GuestStacks"].as_str().map_or(0, str::len);
    println!("{length} bytes of stacks");
    expect("that there are stacks", length > 0, true)?;

    let killed = agent.execute("kill -KILL $$")?;
    let killed = agent.wait(killed, FOR_EVER)?;
    let killed: Waited = agent.done(killed)?;
    println!("a killed process ends with {}", killed.exit_code);
    // Microsoft's agent hands on the -1 of its library; ours says what a shell would.
    expect("that the exit code tells of a signal", [u32::MAX, 128 + 9].contains(&killed.exit_code), true)?;

    let ended: Waited = agent.done(end)?;
    println!("process {slow} has ended with {}", ended.exit_code);
    expect("the exit code", ended.exit_code, 7)
}

/// Fails unless what was found is what the specification says.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Outcome<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{what}: found {found:?}, and the specification says {wanted:?}").into()),
    }
}

/// An agent that runs. It is killed when it is dropped: at the end of its input it would wait for another host.
struct Agent {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    host: Host,
    /// Answers that came before they were waited for.
    early: BTreeMap<u64, (Rpc, Vec<u8>)>,
}

impl Agent {
    /// Starts one and says the first message, whose answer has the number that is returned.
    fn start(program: OsString, arguments: impl Iterator<Item = OsString>) -> Outcome<(Agent, u64)> {
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the agent has no streams".into());
        };
        let (host, first) = Host::begin()?;
        let number = host.open().next().ok_or("nothing was asked")?;
        let mut agent = Agent { child, to, from, host, early: BTreeMap::new() };
        agent.to.write_all(&first)?;
        Ok((agent, number))
    }

    /// Asks, and does not wait for the answer.
    fn ask(&mut self, rpc: Rpc, container: &str, body: impl Serialize) -> Outcome<u64> {
        let (id, bytes) = self.host.ask(rpc, container, body)?;
        self.to.write_all(&bytes).map_err(|error| format!("{rpc:?} cannot be asked: {error}"))?;
        Ok(id)
    }

    /// Asks for a process of the machine without streams.
    fn begin(&mut self, command: &[&str]) -> Outcome<u64> {
        let mut wanted = Execute::default();
        wanted.settings.process_parameters.0 = ProcessParameters {
            command_args: command.iter().map(|&part| part.to_owned()).collect(),
            working_directory: "/".to_owned(),
            environment: [("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())].into(),
            ..ProcessParameters::default()
        };
        self.ask(Rpc::ExecuteProcess, NULL_ID, wanted)
    }

    /// Runs a line of a shell. The number of its process.
    fn execute(&mut self, line: &str) -> Outcome<u32> {
        let id = self.begin(&["/bin/sh", "-c", line])?;
        Ok(self.done::<Executed>(id)?.process_id)
    }

    fn wait(&mut self, process_id: u32, timeout_in_ms: u32) -> Outcome<u64> {
        self.ask(Rpc::WaitForProcess, NULL_ID, Wait { process_id, timeout_in_ms })
    }

    /// What was asked for; it must have been done.
    fn done<T: DeserializeOwned>(&mut self, id: u64) -> Outcome<T> {
        Ok(self.hear(id, code::SUCCESS)?.body)
    }

    /// What was asked for must have been refused, with this code.
    fn refused(&mut self, id: u64, wanted: Code) -> Outcome<()> {
        let answer: Response<Nothing> = self.hear(id, wanted)?;
        println!("refused with {wanted:#010x}, as it must be: {}", answer.error_message);
        Ok(())
    }

    /// The answer to a question, with the result that the specification says.
    fn hear<T: DeserializeOwned>(&mut self, id: u64, wanted: Code) -> Outcome<Response<T>> {
        let (rpc, body) = loop {
            if let Some(answer) = self.early.remove(&id) {
                break answer;
            }
            match self.host.hear()? {
                Some(Heard::Answer { id, rpc, body }) => {
                    self.early.insert(id, (rpc, body));
                }
                Some(Heard::Happened(what)) => return Err(format!("no container was made: {what:?}").into()),
                None => {
                    let mut bytes = [0; 4096];
                    let count = self.from.read(&mut bytes)?;
                    if count == 0 {
                        return Err(format!("the agent has ended, and question {id} is open").into());
                    }
                    self.host.push(&bytes[..count]);
                }
            }
        };
        // What is in the body may be missing from a refusal, so the result is looked at first.
        let answer: Response<Nothing> = read(&body)?;
        if answer.result != wanted {
            let (found, text) = (answer.result, answer.error_message);
            return Err(
                format!("{rpc:?}: the result is {found:#010x} ({text}), and must be {wanted:#010x}").into()
            );
        }
        expect("the activity of an answer", answer.activity_id.as_str(), NULL_ID)?;
        Ok(read(&body)?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
