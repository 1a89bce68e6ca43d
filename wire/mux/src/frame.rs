//! Frames and markers.
//!
//! ```text
//!   frame:   kind u8 · stream u32 · value u32 · bytes (of data alone, as many as the value says) · mark u32
//!   marker:  0xff · 14 bytes that are always the same · which u8 · session, 16 bytes
//!   nothing: 0x00
//! ```
//!
//! Numbers are little-endian. Who has lost the place looks for the next marker. Who sends a marker to somebody that may be
//! in the middle of a frame sends as much nothing before it as a frame can have at most: its end cannot bear the mark then.

/// The number of a session: nobody can guess it, so nobody can have said it before.
pub type Session = [u8; 16];

/// The most bytes that a frame brings.
pub const MOST: usize = 32 << 10;

const DATA: u8 = 3;

const HEAD: usize = 9;
const MARK: usize = 4;
const BEGIN: [u8; 15] = *b"\xffhcs streams 1\n";
const MARKER: usize = BEGIN.len() + 1 + size_of::<Session>();

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A stream to a port is wanted.
    Open(u32),
    /// The stream that was wanted is there.
    Opened,
    /// Bytes.
    Data(Vec<u8>),
    /// So many bytes more may be sent.
    Credit(u32),
    /// No more bytes come.
    End,
    /// The stream is gone, or there is none.
    Gone,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A frame of the session.
    Frame(u32, Said),
    /// A host begins a session.
    Hello(Session),
    /// A guest takes part in it.
    Welcome(Session),
    /// A guest wants a session to begin.
    Ask,
    /// What came is no frame of the session. This is told once, and markers alone are found from here on.
    Lost,
}

/// The mark of a session. It is never nothing.
fn mark(session: &Session) -> [u8; MARK] {
    [session[0] | 1, session[1], session[2], session[3]]
}

/// Writes a frame. Bytes must be [`MOST`] at most.
pub fn frame(session: &Session, stream: u32, said: &Said, out: &mut Vec<u8>) {
    let (kind, value, bytes): (u8, u32, &[u8]) = match said {
        Said::Open(port) => (1, *port, &[]),
        Said::Opened => (2, 0, &[]),
        Said::Data(bytes) => (DATA, bytes.len() as u32, bytes),
        Said::Credit(more) => (4, *more, &[]),
        Said::End => (5, 0, &[]),
        Said::Gone => (6, 0, &[]),
    };
    write(session, stream, (kind, value), bytes, out);
}

/// Writes a frame of bytes, which must be [`MOST`] at most.
pub fn data(session: &Session, stream: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write(session, stream, (DATA, bytes.len() as u32), bytes, out);
}

fn write(session: &Session, stream: u32, (kind, value): (u8, u32), bytes: &[u8], out: &mut Vec<u8>) {
    debug_assert!(bytes.len() <= MOST);
    out.reserve(HEAD + bytes.len() + MARK);
    out.push(kind);
    out.extend(stream.to_le_bytes());
    out.extend(value.to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend(mark(session));
}

/// Writes the marker with which a host begins a session.
pub fn hello(session: &Session, out: &mut Vec<u8>) {
    nothing(out);
    marker(1, session, out);
}

/// Writes the marker with which a guest takes part. A host looks for it from where it began: nothing is needed before it.
pub fn welcome(session: &Session, out: &mut Vec<u8>) {
    marker(2, session, out);
}

/// Writes the marker with which a guest asks for a session.
pub fn ask(out: &mut Vec<u8>) {
    nothing(out);
    marker(3, &Session::default(), out);
}

fn nothing(out: &mut Vec<u8>) {
    out.resize(out.len() + HEAD + MOST + MARK, 0);
}

fn marker(which: u8, session: &Session, out: &mut Vec<u8>) {
    out.extend(BEGIN);
    out.push(which);
    out.extend(session);
}

/// Finds frames and markers in what comes in pieces.
#[derive(Debug)]
pub struct Decoder {
    received: Vec<u8>,
    /// How much of that was looked at.
    at: usize,
    /// The session whose frames are found; without one, markers alone are.
    session: Option<Session>,
}

impl Decoder {
    /// Finds markers alone, until it is told a session.
    pub fn new() -> Decoder {
        Decoder { received: Vec::new(), at: 0, session: None }
    }

    /// Frames of this session are what comes next, or nothing but markers is.
    pub fn expect(&mut self, session: Option<Session>) {
        self.session = session;
    }

    /// Something has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.drain(..self.at);
        self.at = 0;
        self.received.extend_from_slice(bytes);
    }

    /// The next that is whole.
    pub fn next_found(&mut self) -> Option<Found> {
        let Some(session) = self.session else { return self.seek() };
        let rest = &self.received[self.at..];
        self.at += rest.iter().take_while(|byte| **byte == 0).count();
        let rest = &self.received[self.at..];
        if rest.first() == Some(&BEGIN[0]) {
            let known = rest.len().min(BEGIN.len());
            if rest[..known] != BEGIN[..known] {
                return self.lost();
            }
            if rest.len() < MARKER {
                return None;
            }
            return self.seek();
        }
        let head: &[u8; HEAD] = rest.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (stream, value) = (word(1), word(5));
        let bytes = if head[0] == DATA { value as usize } else { 0 };
        if bytes > MOST {
            return self.lost();
        }
        let end = HEAD + bytes + MARK;
        if rest.len() < end {
            return None;
        }
        let said = match head[0] {
            1 => Said::Open(value),
            2 => Said::Opened,
            DATA => Said::Data(rest[HEAD..HEAD + bytes].to_vec()),
            4 => Said::Credit(value),
            5 => Said::End,
            6 => Said::Gone,
            _ => return self.lost(),
        };
        if rest[end - MARK..end] != mark(&session) {
            return self.lost();
        }
        self.at += end;
        Some(Found::Frame(stream, said))
    }

    fn lost(&mut self) -> Option<Found> {
        self.session = None;
        Some(Found::Lost)
    }

    /// The next marker, wherever it is.
    fn seek(&mut self) -> Option<Found> {
        loop {
            let rest = &self.received[self.at..];
            let begins = |at: &usize| {
                let known = (rest.len() - at).min(BEGIN.len());
                rest[*at..*at + known] == BEGIN[..known]
            };
            let Some(at) = (0..rest.len()).find(begins) else {
                self.at = self.received.len();
                return None;
            };
            self.at += at;
            let rest = &self.received[self.at..];
            let (which, session) = rest.get(..MARKER)?[BEGIN.len()..].split_first()?;
            let session = *session.first_chunk()?;
            let found = match which {
                1 => Found::Hello(session),
                2 => Found::Welcome(session),
                3 => Found::Ask,
                _ => {
                    self.at += 1;
                    continue;
                }
            };
            self.at += MARKER;
            return Some(found);
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}
