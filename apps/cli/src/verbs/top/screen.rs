//! A terminal that is drawn over and over. It is as it was when this is dropped, also after a signal that ends programs.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use hcs_core::ready;
use rustix::event::{PollFd, PollFlags};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    low_level::pipe,
};

use crate::{
    failure::Failure,
    terminal::{self, Raw},
};

/// Another screen than that of the shell, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first place, and away with what is right of the cursor, or below it.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST: &str = "\x1b[J";

/// The keys that leave: q, and Ctrl-C, which is no signal in raw mode.
const LEAVING: [u8; 2] = [b'q', 3];

/// The screen.
pub struct Screen {
    /// Dropped after our own drop, as members are.
    _raw: Option<Raw>,
    signals: UnixStream,
    has_keys: bool,
}

impl Screen {
    /// Takes the terminal.
    pub fn open() -> Result<Screen, Failure> {
        let signals = signals().map_err(|error| Failure::io(&error, "taking signals"))?;
        let raw = Raw::enter();
        let screen = Screen { has_keys: raw.is_some(), _raw: raw, signals };
        write(ENTER)?;
        Ok(screen)
    }

    /// Draws lines in the place of what was there, as many and as much of them as there is room for.
    pub fn draw(&self, lines: &[String]) -> Result<(), Failure> {
        let (rows, columns) = terminal::size().unwrap_or((24, 80));
        let mut text = HOME.to_owned();
        for line in lines.iter().take(usize::from(rows).saturating_sub(1)) {
            text.extend(line.chars().take(usize::from(columns)));
            text += REST_OF_LINE;
            text += "\r\n";
        }
        text += REST;
        write(&text)
    }

    /// Waits so long; whether a key or a signal says that it is enough.
    pub fn is_left_within(&mut self, time: Duration) -> Result<bool, Failure> {
        let deadline = Instant::now() + time;
        loop {
            let stdin = io::stdin();
            let mut sources = vec![PollFd::new(&self.signals, PollFlags::IN)];
            if self.has_keys {
                sources.push(PollFd::new(&stdin, PollFlags::IN));
            }
            // A signal is in the pipe when it cuts the wait short.
            match ready::any_until(&mut sources, Some(deadline)) {
                Err(errno) => return Err(Failure::io(&errno.into(), "waiting for a key")),
                Ok(0) => return Ok(false),
                Ok(_) if !sources[0].revents().is_empty() => return Ok(true),
                Ok(_) => {}
            }
            let mut keys = [0; 16];
            let count = rustix::io::read(&stdin, &mut keys)
                .map_err(|errno| Failure::io(&errno.into(), "reading a key"))?;
            // A terminal that is gone sends no more.
            self.has_keys = count > 0;
            if count == 0 || keys[..count].iter().any(|key| LEAVING.contains(key)) {
                return Ok(true);
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = write(LEAVE);
    }
}

/// From which the signals that end programs are heard.
fn signals() -> io::Result<UnixStream> {
    let (signals, sender) = UnixStream::pair()?;
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        pipe::register(signal, sender.try_clone()?)?;
    }
    Ok(signals)
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::output)
}
