//! `hcs console`: a terminal at a serial port of a machine, and at the console of a process.

use std::{
    cell::RefCell,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hcs::Cause;
use hcs_tests::{
    Service,
    machine::{self, Guest},
    processes,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
    termios::{LocalModes, tcgetattr},
};

use crate::{
    cli::{resize, terminal},
    contained, exit_code,
    process::await_line,
    refused, run, write_all,
};

/// A command on a terminal: our side of that, and the side of the command.
struct OnTerminal {
    child: Child,
    terminal: OwnedFd,
    side: OwnedFd,
    before: LocalModes,
    /// What it has shown and nobody has looked at.
    shown: RefCell<String>,
}

impl OnTerminal {
    fn start(command: &mut Command) -> OnTerminal {
        let (terminal, side) = terminal(24, 80);
        let before = tcgetattr(&side).unwrap().local_modes;
        let end = || Stdio::from(side.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        OnTerminal { child, terminal, side, before, shown: RefCell::default() }
    }

    fn types(&self, keys: &str) {
        write_all(&self.terminal, keys);
    }

    /// Waits until it shows a text. What comes behind that is looked at the next time.
    fn until(&self, text: &str) {
        while !self.has_shown(text) {
            self.read();
        }
    }

    /// Starts a command for a serial port that somebody has just left. QEMU sees a moment later that it was left; until then
    /// others are refused.
    fn start_behind_another(command: &mut Command, greeting: &str) -> OnTerminal {
        const SOON: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + SOON;
        loop {
            let next = OnTerminal::start(command);
            if next.says_first(greeting, TAKEN) {
                return next;
            }
            assert_eq!(next.end(), Some(1));
            assert!(Instant::now() < deadline, "the port is not free within {SOON:?}");
        }
    }

    /// Waits until it shows one of two texts; whether that is the first of them.
    fn says_first(&self, one: &str, other: &str) -> bool {
        loop {
            if self.has_shown(other) {
                return false;
            }
            if self.has_shown(one) {
                return true;
            }
            self.read();
        }
    }

    /// Types something at another terminal again and again until this one shows a text.
    fn until_typing(&self, at: &OnTerminal, keys: &str, text: &str) {
        const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        while !self.has_shown(text) {
            at.types(keys);
            while poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], Some(&PAUSE)).unwrap() > 0 {
                self.read();
            }
        }
    }

    /// Reads what is shown; of a command that has ended nothing more is.
    fn read(&self) {
        const LONGEST: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
        let mut buffer = [0; 1024];
        let ready = poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], Some(&LONGEST)).unwrap();
        assert!(ready > 0, "nothing comes any more behind {:?}", self.shown.borrow());
        let length = rustix::io::read(&self.terminal, &mut buffer).unwrap();
        self.shown.borrow_mut().push_str(&String::from_utf8_lossy(&buffer[..length]));
    }

    fn has_shown(&self, text: &str) -> bool {
        let mut shown = self.shown.borrow_mut();
        let Some(at) = shown.find(text) else { return false };
        shown.drain(..at + text.len());
        true
    }

    /// Waits for its end; the terminal must be what it was.
    fn end(mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        assert_eq!(tcgetattr(&self.side).unwrap().local_modes, self.before, "the terminal is not as it was");
        status.code()
    }
}

/// The command for a system.
fn console_of(service: &Service, system: &str) -> Command {
    let mut command = service.hcs();
    command.args(["console", system]);
    command
}

/// Why a second one at a serial port is refused.
const TAKEN: &str = "somebody is connected";

/// A second one is refused with this.
fn is_refused(command: &mut Command, why: &str) {
    let refused = command.output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains(why), "{told}");
}

#[test]
fn a_terminal_at_a_serial_port_is_attached_detached_and_attached_again() {
    let service = Service::start();
    let guest = Guest::make(service.root(), machine::SHELL);
    let system = service.running_from("vm", &guest.document());
    let mut output = system.output(None, true).wait().unwrap();
    crate::logs::until(&mut output, "ready");
    let console = || console_of(&service, "vm");
    let one = OnTerminal::start(&mut console());
    one.until("Ctrl-] detaches");
    one.types("echo $((6 * 7))\r");
    one.until("42");
    one.until("=0");
    is_refused(&mut console(), TAKEN);
    refused(system.open_serial_port(0).wait(), Cause::InUse);
    one.types("\x1d");
    assert_eq!(one.end(), Some(0));

    // By the socket of the document, which is anybody's who may use it.
    let mut by_path = guest.console();
    by_path.type_line("echo $((5 * 5))");
    by_path.until("25");
    is_refused(&mut console(), TAKEN);
    drop(by_path);

    // COM2 is in no document.
    let mut second = service.hcs();
    second.args(["console", "vm", "--port", "2"]);
    let two = OnTerminal::start(&mut second);
    two.until("serial port 2");
    let mut again = service.hcs();
    is_refused(again.args(["console", "vm", "--port", "2"]), TAKEN);
    let one = OnTerminal::start_behind_another(&mut console(), "serial port 1");
    one.types("(while read -r x; do echo got $x; done < /dev/ttyS1) &\r");
    // Of what is typed before somebody listens there a part is lost.
    one.until_typing(&two, "from-two\r", "got from-two");
    two.types("\x1d");
    assert_eq!(two.end(), Some(0));
    let two = OnTerminal::start_behind_another(&mut again, "serial port 2");

    one.types("poweroff -f\r");
    one.until("has ended");
    assert_eq!((one.end(), two.end()), (Some(0), Some(0)));
    service.await_nothing_left();
}

#[test]
fn a_terminal_at_the_console_of_a_process_gives_it_its_size_and_leaves_it_running() {
    let (service, system) = contained();
    let script = "trap 'echo interrupted; exit 3' INT; echo begun
        while read -r x; do stty size; echo got $x; done";
    let arguments = ["sh", "-c", script].map(str::to_owned).to_vec();
    let parameters = hcs::schema::ProcessParameters::default()
        .command_args(arguments)
        .emulate_console(true)
        .create_std_in_pipe(true)
        .create_std_out_pipe(true);
    let mut process = run(&system, &parameters);
    await_line(&process.pipes.stdout.take().unwrap(), "begun");
    process.pipes.stdin = None;
    let console = || console_of(&service, "web");
    let one = OnTerminal::start(&mut console());
    one.until("Ctrl-] detaches");
    resize(&one.terminal, 40, 100);
    processes::signal(one.child.id(), Signal::WINCH);
    // The size is passed on by another process, and until then it is that of the beginning.
    one.until_typing(&one, "hello\r", "40 100");
    is_refused(&mut console(), "another `hcs console`");
    one.types("\x1d");
    assert_eq!(one.end(), Some(0));

    // A signal ends the command, not the process, and the terminal is restored too.
    let mut by_number = service.hcs();
    let two = OnTerminal::start(by_number.args(["console", "web", "--process", &process.id().to_string()]));
    two.until("Ctrl-] detaches");
    processes::signal(two.child.id(), Signal::TERM);
    assert_eq!(two.end(), Some(143));

    let three = OnTerminal::start(&mut console());
    three.until("Ctrl-] detaches");
    three.types("\x03");
    three.until("interrupted");
    three.until("has ended");
    assert_eq!(three.end(), Some(0));
    assert_eq!(exit_code(&process), 3);
    is_refused(&mut console(), "no process with a console");
    is_refused(service.hcs().args(["console", "web", "--port", "1"]), "no serial ports");
}

#[test]
fn who_types_to_a_process_that_does_not_listen_can_still_leave() {
    let (service, system) = contained();
    let parameters = hcs::schema::ProcessParameters::default()
        .command_args(["sh", "-c", "stty raw -echo; echo begun; sleep 1000"].map(str::to_owned).to_vec())
        .emulate_console(true)
        .create_std_in_pipe(true)
        .create_std_out_pipe(true);
    let mut process = run(&system, &parameters);
    await_line(&process.pipes.stdout.take().unwrap(), "begun");
    let one = OnTerminal::start(service.hcs().args(["console", "web"]));
    one.until("Ctrl-] detaches");
    for _ in 0..64 {
        one.types(&"x".repeat(1024));
    }
    one.types("\x1d");
    assert_eq!(one.end(), Some(0));
    process.kill().wait().unwrap();
    process.wait_blocking().unwrap();
}

#[test]
fn a_console_that_is_no_terminal_passes_everything_on() {
    let (service, system) = contained();
    let script = "stty raw -echo; echo begun; head -c 5 | od -An -tx1";
    let parameters = hcs::schema::ProcessParameters::default()
        .command_args(["sh", "-c", script].map(str::to_owned).to_vec())
        .emulate_console(true)
        .create_std_in_pipe(true)
        .create_std_out_pipe(true);
    let mut process = run(&system, &parameters);
    await_line(&process.pipes.stdout.take().unwrap(), "begun");
    process.pipes.stdin = None;
    let mut console = service.hcs();
    let mut console =
        console.args(["console", "web"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    console.stdin.take().unwrap().write_all(b"\x1d\x03\x04ab").unwrap();
    let mut said = String::new();
    console.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["1d", "03", "04", "61", "62"]);
    assert!(console.wait().unwrap().success());
}
