//! QMP: lines of JSON, one after the other. We ask, QEMU answers, and between the answers it tells what happens.
//!
//! By hand, because the crate for it has closed types that lag behind QEMU. A guest may have taken its QEMU over, so
//! nothing that comes from there is trusted: lines have a limit, and so has the patience.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{RecvFlags, SendFlags},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest line; what QEMU says of its devices has some 100 KiB.
const LONGEST: usize = 4 << 20;
/// The most events that wait.
const MOST_EVENTS: usize = 1000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A conversation with a QEMU.
pub struct Qmp {
    socket: OwnedFd,
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
    /// Waits for the greeting and begins. Fails with `None` if QEMU has hung up, which says why elsewhere.
    pub fn begin(socket: OwnedFd) -> Result<(Qmp, Value), Option<Error>> {
        let mut qmp = Qmp { socket, received: Vec::new(), events: VecDeque::new(), next: 0 };
        let deadline = Instant::now() + PATIENCE;
        let version = loop {
            match qmp.line(deadline).map_err(gone)? {
                Said { greeting: Some(greeting), .. } => break greeting["version"]["qemu"].clone(),
                _ => continue,
            }
        };
        qmp.run("qmp_capabilities", Value::Null).map_err(Some)?;
        Ok((qmp, version))
    }

    /// Has a command run, and returns its answer.
    pub fn run(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        let failed = |error: io::Error| Error::from_io(&error, format!("asking QEMU for {command}"));
        self.next += 1;
        let mut request = json!({"execute": command, "id": self.next});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let deadline = Instant::now() + PATIENCE;
        self.send(format!("{request}\n").as_bytes(), deadline).map_err(failed)?;
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

    /// What has happened since the last time this was asked; nothing is waited for. `None` when QEMU has hung up and
    /// everything is told.
    pub fn events(&mut self) -> Option<Vec<Event>> {
        let is_open = self.take_what_came().is_ok();
        while let Ok(Some(said)) = self.next_line() {
            self.note(said);
        }
        let events: Vec<Event> = self.events.drain(..).collect();
        (is_open || !events.is_empty()).then_some(events)
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

    fn take_what_came(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, length)) => self.received.extend_from_slice(&buffer[..length]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wait(&self, what: PollFlags, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "QEMU does not answer"));
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match rustix::event::poll(&mut [PollFd::new(&self.socket, what)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn gone(error: io::Error) -> Option<Error> {
    let hung_up = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    (!hung_up.contains(&error.kind())).then(|| Error::from_io(&error, "waiting for QEMU"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::UnixStream,
        thread,
    };

    use super::*;

    /// Speaks with somebody who says these lines, the rest of them each after a line of ours.
    fn with(lines: &'static [&'static str], act: impl FnOnce(OwnedFd)) {
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
        act(ours.into());
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
            |socket| {
                let (mut qmp, version) = Qmp::begin(socket).map_err(|_| ()).unwrap();
                assert_eq!(version["major"], 11);
                assert_eq!(qmp.run("query-status", Value::Null).unwrap()["status"], "paused");
                let error = qmp.run("cont", Value::Null).unwrap_err();
                assert!(error.detail.contains("not so"), "{error:?}");
                let events = qmp.events().unwrap();
                let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
                assert_eq!(names, ["STOP", "RESUME"]);
                assert_eq!(events[1].data["a"], 1);
            },
        );
    }

    #[test]
    fn garbage_and_the_end_are_errors() {
        with(&["garbage\n"], |socket| assert!(matches!(Qmp::begin(socket), Err(Some(_)))));
        with(&[""], |socket| assert!(matches!(Qmp::begin(socket), Err(None))));
        with(&[GREETING, ""], |socket| assert!(matches!(Qmp::begin(socket), Err(Some(_)))));
    }
}
