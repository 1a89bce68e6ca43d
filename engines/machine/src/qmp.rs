//! QMP: lines of JSON, one after the other. We ask, QEMU answers, and between the answers it tells what happens.
//!
//! By hand, because the crate for it has closed types that lag behind QEMU. A guest may have taken its QEMU over, so
//! nothing that comes from there is trusted: lines have a limit, and so has the patience.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, ready};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::tail::Ears;

/// The longest line; what QEMU says of its devices has some 100 KiB.
const LONGEST: usize = 4 << 20;
/// The most events that wait.
const MOST_EVENTS: usize = 1000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A conversation with a QEMU.
pub struct Qmp {
    socket: OwnedFd,
    /// What QEMU says elsewhere. It is taken while an answer is waited for, because who cannot speak does not answer.
    pub ears: Ears,
    /// What came and was not looked at yet.
    received: Vec<u8>,
    events: VecDeque<Event>,
    next: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub name: String,
    /// More of it.
    pub data: Value,
}

/// A line of QEMU.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    event: Option<String>,
    data: Option<Value>,
    id: Option<u64>,
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    desc: String,
}

impl Qmp {
    /// A conversation that is still to begin.
    pub fn new(socket: OwnedFd, ears: Ears) -> Qmp {
        Qmp { socket, ears, received: Vec::new(), events: VecDeque::new(), next: 0 }
    }

    /// Waits for the greeting and begins. Fails with `None` if QEMU has hung up, which says why elsewhere.
    pub fn begin(&mut self) -> Result<Value, Option<Error>> {
        let deadline = Instant::now() + PATIENCE;
        let version = loop {
            match self.line(deadline).map_err(gone)? {
                Said { greeting: Some(greeting), .. } => break greeting["version"]["qemu"].clone(),
                _ => continue,
            }
        };
        self.run("qmp_capabilities", Value::Null).map_err(Some)?;
        Ok(version)
    }

    /// Has a command run, and returns its answer.
    pub fn run(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        self.run_with(command, arguments, None)
    }

    /// The same, for what takes no longer than this or has failed.
    pub fn run_within(
        &mut self,
        command: &str,
        arguments: Value,
        patience: Duration,
    ) -> Result<Value, Error> {
        self.run_until(command, arguments, None, Instant::now() + patience)
    }

    /// The same, with a descriptor beside it.
    pub fn run_with(
        &mut self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Value, Error> {
        self.run_until(command, arguments, descriptor, Instant::now() + PATIENCE)
    }

    fn run_until(
        &mut self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> Result<Value, Error> {
        let failed = |error: io::Error| match has_hung_up(&error) {
            true => Error::new(Cause::UnexpectedExit, format!("QEMU has ended over {command}")),
            false => Error::from_io(&error, format!("asking QEMU for {command}")),
        };
        self.next += 1;
        let mut request = json!({"execute": command, "id": self.next});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        self.send(format!("{request}\n").as_bytes(), descriptor, deadline).map_err(failed)?;
        loop {
            let said = self.line(deadline).map_err(failed)?;
            if said.id != Some(self.next) {
                self.note(said);
                continue;
            }
            return match said.error {
                Some(Refused { desc }) => {
                    Err(Error::new(Cause::Unexpected, format!("QEMU refused {command}: {desc}")))
                }
                None => Ok(said.answer.unwrap_or_default()),
            };
        }
    }

    /// Readable when QEMU has said something.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether something has come that was not told yet: nothing more need come for it, so a poll would not see it.
    pub fn has_untold(&self) -> bool {
        !self.events.is_empty() || self.received.contains(&b'\n')
    }

    /// What has happened since the last time this was asked, and whether more can come; nothing is waited for. It cannot when
    /// QEMU says what cannot be understood, or, with `None`, has hung up.
    pub fn events(&mut self) -> (Vec<Event>, Result<(), Option<Error>>) {
        let mut more = self.take_what_came();
        loop {
            match self.next_line() {
                Ok(Some(said)) => self.note(said),
                Ok(None) => break,
                Err(error) => {
                    more = Err(error);
                    break;
                }
            }
        }
        (self.events.drain(..).collect(), more.map_err(gone))
    }

    /// What was told already and is as it is wanted; the others are kept.
    pub fn take_events(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (taken, kept): (Vec<Event>, Vec<Event>) = self.events.drain(..).partition(is_wanted);
        self.events = kept.into();
        taken
    }

    /// Waits for an event that is as it is wanted; the others are kept.
    pub fn await_event(
        &mut self,
        name: &str,
        is_wanted: impl Fn(&Value) -> bool,
        deadline: Instant,
    ) -> Result<Value, Error> {
        let mut looked_at = 0;
        loop {
            let found =
                self.events.iter().skip(looked_at).find(|event| event.name == name && is_wanted(&event.data));
            if let Some(event) = found {
                return Ok(event.data.clone());
            }
            looked_at = self.events.len();
            let said = self.line(deadline);
            self.note(said.map_err(|error| Error::from_io(&error, format!("waiting for {name} of QEMU")))?);
        }
    }

    fn note(&mut self, said: Said) {
        if let Some(name) = said.event
            && self.events.len() < MOST_EVENTS
        {
            self.events.push_back(Event { name, data: said.data.unwrap_or_default() });
        }
    }

    /// The next line, waited for.
    fn line(&mut self, deadline: Instant) -> io::Result<Said> {
        let mut ended = Ok(());
        loop {
            if let Some(said) = self.next_line()? {
                return Ok(said);
            }
            // Only when all that came before is looked at.
            ended?;
            self.wait(PollFlags::IN, deadline)?;
            ended = self.take_what_came();
        }
    }

    /// A whole line of what came.
    fn next_line(&mut self) -> io::Result<Option<Said>> {
        let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
            if self.received.len() > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "QEMU says too much"));
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// No more than is looked at before the next time: who takes a QEMU over must not fill our memory.
    fn take_what_came(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            if self.received.len() > LONGEST {
                return Ok(());
            }
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, length)) => self.received.extend_from_slice(&buffer[..length]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// A descriptor goes with the first bytes.
    fn send(
        &mut self,
        mut bytes: &[u8],
        mut descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let (mut space, beside) =
                ([MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))], descriptor.as_slice());
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !beside.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(beside));
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, flags) {
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    descriptor = None;
                }
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wait(&mut self, what: PollFlags, deadline: Instant) -> io::Result<()> {
        loop {
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "QEMU does not answer"));
            }
            let until = self.ears.pause_ends().map_or(deadline, |until| until.min(deadline));
            let mut polled = vec![PollFd::new(&self.socket, what)];
            polled.extend(self.ears.readable().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            ready::any_until(&mut polled, Some(until))?;
            if !polled[0].revents().is_empty() {
                return Ok(());
            }
            self.ears.take();
        }
    }
}

fn gone(error: io::Error) -> Option<Error> {
    (!has_hung_up(&error)).then(|| Error::from_io(&error, "waiting for QEMU"))
}

fn has_hung_up(error: &io::Error) -> bool {
    let hung_up = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    hung_up.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::UnixStream,
        thread,
    };

    use super::*;
    use crate::tail::Tail;

    /// Speaks with somebody who says these lines, the rest of them each after a line of ours.
    fn with(lines: &'static [&'static str], act: impl FnOnce(Qmp)) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let speaker = thread::spawn(move || {
            let mut asked = BufReader::new(theirs.try_clone().unwrap());
            for (index, line) in lines.iter().enumerate() {
                if index > 0 && asked.read_line(&mut String::new()).unwrap_or(0) == 0 {
                    return;
                }
                let _ = theirs.write_all(line.as_bytes());
            }
        });
        let (errors, consoles) = (Tail::new().unwrap().0, Tail::new().unwrap().0);
        act(Qmp::new(ours.into(), Ears { errors, consoles }));
        speaker.join().unwrap();
    }

    const GREETING: &str = "{\"QMP\":{\"version\":{\"qemu\":{\"major\":11,\"minor\":1,\"micro\":3}}}}\r\n";

    #[test]
    fn answers_are_told_from_events_and_events_are_kept() {
        with(
            &[
                GREETING,
                "{\"return\":{},\"id\":1}\n",
                "{\"event\":\"STOP\",\"timestamp\":{}}\n{\"return\":{\"status\":\"paused\"},\"id\":2}\n{\"event\":\"RES",
                "UME\",\"data\":{\"a\":1}}\n{\"error\":{\"class\":\"x\",\"desc\":\"not so\"},\"id\":3}\n",
            ],
            |mut qmp| {
                let version = qmp.begin().map_err(|_| ()).unwrap();
                assert_eq!(version["major"], 11);
                assert_eq!(qmp.run("query-status", Value::Null).unwrap()["status"], "paused");
                let error = qmp.run("cont", Value::Null).unwrap_err();
                assert!(error.detail.contains("not so"), "{error:?}");
                let (events, more) = qmp.events();
                // Who speaks here may have hung up.
                assert!(!matches!(more, Err(Some(_))));
                let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
                assert_eq!(names, ["STOP", "RESUME"]);
                assert_eq!(events[1].data["a"], 1);
            },
        );
    }

    #[test]
    fn a_line_without_end_is_not_kept_and_is_told() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let speaker = thread::spawn(move || while theirs.write_all(&[b' '; 64 << 10]).is_ok() {});
        let (errors, consoles) = (Tail::new().unwrap().0, Tail::new().unwrap().0);
        let mut qmp = Qmp::new(ours.into(), Ears { errors, consoles });
        let failure = loop {
            qmp.wait(PollFlags::IN, Instant::now() + PATIENCE).unwrap();
            let (events, more) = qmp.events();
            assert!(
                events.is_empty() && qmp.received.len() <= LONGEST + (16 << 10),
                "{}",
                qmp.received.len()
            );
            if let Err(failure) = more {
                break failure;
            }
        };
        assert!(failure.unwrap().detail.contains("too much"));
        drop(qmp);
        speaker.join().unwrap();
    }

    #[test]
    fn the_last_words_come_before_the_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"{\"event\":\"SHUTDOWN\"}\n").unwrap();
        drop(theirs);
        let (errors, consoles) = (Tail::new().unwrap().0, Tail::new().unwrap().0);
        let (events, more) = Qmp::new(ours.into(), Ears { errors, consoles }).events();
        assert_eq!(events[0].name, "SHUTDOWN");
        assert_eq!(more, Err(None));
    }

    #[test]
    fn garbage_and_the_end_are_errors() {
        with(&["garbage\n"], |mut qmp| assert!(matches!(qmp.begin(), Err(Some(_)))));
        with(&[""], |mut qmp| assert!(matches!(qmp.begin(), Err(None))));
        with(&[GREETING, ""], |mut qmp| assert!(matches!(qmp.begin(), Err(Some(_)))));
    }
}
