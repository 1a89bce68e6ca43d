//! An agent that is not ours, which calls at sockets: what it is asked, and what it is not asked.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use hcs_container::ProcessPlan;
use hcs_core::Cause;
use hcs_gcs::{
    Rpc, code,
    guest::{self as agent, Failure, Guest as Conversation, Heard, Question},
    records::{Execute, Executed, NULL_ID, Nothing, Signal, Wait, Waited},
};
use rustix::event::{PollFd, Timespec};
use serde::Serialize;
use serde_json::json;

use super::*;

/// A machine with such an agent.
struct Machine {
    folder: PathBuf,
    guest: Guest,
}

/// The agent.
struct Agent {
    bridge: UnixStream,
    conversation: Conversation,
}

impl Machine {
    fn new(name: &str) -> Machine {
        let folder = std::env::temp_dir().join(format!("hcs-stranger-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let sockets = listen(&folder).unwrap();
        let start = (1, Instant::now() + Duration::from_secs(60));
        let guest = Guest::new(Box::new(sockets), false, start, Name::default());
        Machine { folder, guest }
    }

    fn call(&self, port: u32) -> UnixStream {
        let called = UnixStream::connect(self.folder.join(format!("connect_{port}"))).unwrap();
        called.set_nonblocking(true).unwrap();
        called
    }

    /// Does what can be done at once.
    fn turn(&mut self) {
        let (which, mut polled): (Vec<Which>, Vec<_>) = self
            .guest
            .interest()
            .map(|(which, fd, wanted)| (which, PollFd::from_borrowed_fd(fd, wanted)))
            .unzip();
        rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (which, _) in which.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            self.guest.ready(which);
        }
    }

    /// What was told.
    fn told(&mut self) -> Vec<What> {
        (0..10).for_each(|_| self.turn());
        self.guest.take_told().into_iter().map(|told| told.what).collect()
    }

    /// How the request of this number was settled.
    fn settled(&mut self, number: u64) -> Result<(Answer, Vec<OwnedFd>), Error> {
        let told = self.told();
        let outcome = told.into_iter().find_map(|what| match what {
            What::Settled(found, outcome) if found == number => Some(outcome),
            What::NotStarted(found, error) if found == number => Some(Err(error)),
            _ => None,
        });
        outcome.expect("it is settled")
    }

    /// Its agent calls, and says that it is of this system.
    fn agent(&mut self, system: &str) -> Agent {
        let capabilities = Capabilities {
            runtime_os_type: system.to_owned(),
            guest_defined_capabilities: json!({"SignalProcessSupported": true}).as_object().unwrap().clone(),
            ..Capabilities::default()
        };
        let bridge = self.call(BRIDGE_PORT);
        let mut agent = Agent { bridge, conversation: Conversation::new(capabilities) };
        agent.hear(self);
        agent
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.guest.cut();
        std::fs::remove_dir(&self.folder).expect("nothing is left in the folder");
    }
}

impl Agent {
    /// What the host asks.
    fn hear(&mut self, machine: &mut Machine) -> Vec<Question> {
        let mut questions = Vec::new();
        for _ in 0..10 {
            machine.turn();
            let mut bytes = [0; 4096];
            match self.bridge.read(&mut bytes) {
                Ok(length) => self.conversation.push(&bytes[..length]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            while let Some(heard) = self.conversation.hear().unwrap() {
                match heard {
                    Heard::Answered(answer) => self.bridge.write_all(&answer).unwrap(),
                    Heard::Question(question) => questions.push(question),
                }
            }
        }
        questions
    }

    /// The one question that the host asks.
    fn asked(&mut self, machine: &mut Machine, rpc: Rpc) -> Question {
        let mut questions = self.hear(machine);
        assert_eq!(questions.iter().map(|question| question.rpc).collect::<Vec<_>>(), [rpc]);
        questions.remove(0)
    }

    fn answer<T: Serialize>(&mut self, question: &Question, outcome: Result<T, Failure>) {
        self.bridge.write_all(&agent::answer(question, outcome).unwrap()).unwrap();
    }

    /// Runs the process that the host wants, which has these streams.
    fn run(&mut self, machine: &mut Machine, process_id: u32) -> (Execute, Vec<UnixStream>) {
        let question = self.asked(machine, Rpc::ExecuteProcess);
        let execute: Execute = question.read().unwrap();
        let ports = execute.settings.vsock_stdio_relay_settings;
        let streams = [ports.stdin, ports.stdout, ports.stderr];
        let streams = streams.into_iter().flatten().map(|port| machine.call(port)).collect();
        self.answer(&question, Ok(Executed { process_id }));
        (execute, streams)
    }
}

fn plan(parameters: &str) -> ProcessPlan {
    ProcessPlan::new(&hcs_schema::read(parameters).unwrap()).unwrap().0
}

const SLEEP: &str = r#"{"CommandArgs":["sleep","9"],"WorkingDirectory":"/tmp","CreateStdInPipe":true,"CreateStdOutPipe":true}"#;

#[test]
fn a_machine_has_started_when_an_agent_of_others_is_there_and_no_other_takes_its_place() {
    let mut machine = Machine::new("start");
    let mut entropy = machine.call(ENTROPY_PORT);
    machine.told();
    let mut random = Vec::new();
    entropy.read_to_end(&mut random).unwrap();
    assert_eq!(random.len(), ENTROPY);
    assert!(!machine.guest.is_connected());
    let mut agent = machine.agent("Linux");
    assert!(matches!(machine.settled(1), Ok((Answer::Done, _))));
    assert!(machine.guest.is_connected());
    assert!(agent.hear(&mut machine).is_empty(), "it is not asked what only ours understands");
    // Any program of the guest can call.
    let mut impostor = machine.call(BRIDGE_PORT);
    machine.told();
    assert_eq!(impostor.read(&mut [0; 8]).unwrap(), 0);
    assert!(machine.guest.is_connected());
    drop(agent);
    assert!(matches!(machine.told()[..], [What::Closed]));
    let _agent = machine.agent("Linux");
    assert!(matches!(machine.told()[..], [What::Met]));
}

#[test]
fn an_agent_of_windows_is_refused_by_name() {
    let mut machine = Machine::new("windows");
    machine.agent("");
    let refused = machine.settled(1).unwrap_err();
    assert_eq!(
        (refused.cause, refused.path.as_deref()),
        (Cause::NotSupported, Some("$.VirtualMachine.GuestConnection"))
    );
}

#[test]
fn its_processes_have_streams_of_their_own_and_end_as_it_says() {
    let mut machine = Machine::new("process");
    let mut agent = machine.agent("Linux");
    machine.told();
    machine.guest.start_process(NULL_ID, 2, &plan(SLEEP)).unwrap();
    let (execute, mut streams) = agent.run(&mut machine, 40);
    let parameters = execute.settings.process_parameters.0;
    assert_eq!(parameters.command_args, ["sleep", "9"]);
    assert_eq!(parameters.environment["HOME"], "/root");
    assert_eq!(parameters.working_directory, "/tmp");
    assert_eq!(parameters.plan, None);
    assert_eq!(execute.settings.vsock_stdio_relay_settings.stderr, None);
    let (answer, mut clients) = machine.settled(2).unwrap();
    assert!(matches!(answer, Answer::Started { process_id: 40, stdin: true, stdout: true, stderr: false }));
    let wait = agent.asked(&mut machine, Rpc::WaitForProcess);
    assert_eq!(wait.read::<Wait>().unwrap().process_id, 40);

    // Its input ends at once, and its output when it has ended.
    machine.guest.close_stdin(NULL_ID, 40).unwrap();
    let ends = machine.guest.ends(NULL_ID, 40).unwrap();
    assert!(ends.stdin.is_none() && ends.stdout.is_some());
    machine.turn();
    assert_eq!(streams[0].read(&mut [0; 8]).unwrap(), 0);
    streams[1].write_all(b"said").unwrap();
    agent.answer(&wait, Ok(Waited { exit_code: 3, out_of_memory: false }));
    let told = machine.told();
    let exits: Vec<u32> = told
        .iter()
        .filter_map(|what| match what {
            What::ProcessEnded(record) => Some(record.exit?.code),
            _ => None,
        })
        .collect();
    assert_eq!(exits, [3]);
    drop(streams);
    machine.told();
    let mut heard = String::new();
    drop(ends);
    std::fs::File::from(clients.remove(1)).read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "said");
}

#[test]
fn where_it_sends_no_signals_to_processes_of_the_machine_a_program_does() {
    let mut machine = Machine::new("signal");
    let mut agent = machine.agent("Linux");
    machine.guest.start_process(NULL_ID, 2, &plan(SLEEP)).unwrap();
    agent.run(&mut machine, 40);
    let wait = agent.asked(&mut machine, Rpc::WaitForProcess);
    let no_container = || Err::<Nothing, _>(Failure::new(code::NO_CONTAINER, "no container"));

    for (number, exit_code) in [(3, 0), (4, 1)] {
        machine.guest.signal(NULL_ID, number, 40, 15).unwrap();
        let question = agent.asked(&mut machine, Rpc::SignalProcess);
        assert_eq!(question.read::<Signal>().unwrap().options, Some(json!({"Signal": 15})));
        agent.answer(&question, no_container());
        let (kill, _) = agent.run(&mut machine, 50);
        assert_eq!(kill.settings.process_parameters.0.command_args, ["kill", "-15", "40"]);
        let killed = agent.asked(&mut machine, Rpc::WaitForProcess);
        agent.answer(&killed, Ok(Waited { exit_code, out_of_memory: false }));
        let settled = machine.settled(number);
        assert_eq!(settled.map_err(|error| error.cause).is_ok(), exit_code == 0);
    }
    // It does not say of what.
    agent.answer(&wait, Ok(Waited { exit_code: u32::MAX, out_of_memory: false }));
    let ended = machine.told();
    assert!(
        matches!(&ended[..], [What::ProcessEnded(record)] if record.exit.is_some_and(|exit| exit.code == 128 + 15))
    );
}

#[test]
fn what_only_ours_does_is_refused_by_name_and_not_asked() {
    let mut machine = Machine::new("refused");
    let mut agent = machine.agent("Linux");
    machine.told();
    let guest = &mut machine.guest;
    let other = plan(r#"{"CommandArgs":["id"],"User":"nobody"}"#);
    let limited = plan(r#"{"CommandArgs":["id"],"OciProcess":{"cwd":"/","args":["id"],"oomScoreAdj":5}}"#);
    for (refused, path) in [
        (guest.start_process(NULL_ID, 2, &other), Some("$.User")),
        (guest.start_process(NULL_ID, 3, &limited), Some("$.OciProcess")),
        (guest.create_container("web", 4, json!({})), Some("$.HostingSystemId")),
        (guest.properties(NULL_ID, 5, "ProcessList"), None),
    ] {
        let error = refused.unwrap_err();
        assert_eq!((error.cause, error.path.as_deref()), (Cause::NotSupported, path), "{error}");
    }
    assert!(agent.hear(&mut machine).is_empty());
    assert_eq!(std::fs::read_dir(&machine.folder).unwrap().count(), 3, "nobody listens for what is refused");
}

#[test]
fn what_it_logs_is_heard_from_a_few_at_a_time() {
    let mut machine = Machine::new("log");
    let mut logs: Vec<UnixStream> = (0..MOST_LOGS + 1).map(|_| machine.call(LOG_PORT)).collect();
    machine.told();
    let mut refused = logs.pop().unwrap();
    assert_eq!(refused.read(&mut [0; 8]).unwrap(), 0);
    for log in &mut logs {
        log.write_all(b"{\"level\":\"info\"}\nhalf a").unwrap();
        assert_eq!(log.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    machine.told();
    logs.pop();
    machine.told();
    let mut again = machine.call(LOG_PORT);
    machine.told();
    assert_eq!(again.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
