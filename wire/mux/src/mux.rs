//! Sessions and streams.
//!
//! A host takes nothing that a guest says on trust: whatever breaks a rule loses the session, and what a guest can make
//! the host keep is bounded, by [`WINDOW`] for each stream that the host has accepted, [`MOST_STREAMS`] and [`MOST_UNSENT`].

use std::collections::{BTreeMap, VecDeque};

use crate::frame::{self, Decoder, Found, MOST, Said, Session};

/// How many bytes of a stream may be under way: sent, and not taken yet.
pub const WINDOW: u32 = 256 << 10;
/// How many streams there may be.
pub const MOST_STREAMS: usize = 1024;
/// How much waits to be sent before no more data is taken.
const ENOUGH_UNSENT: usize = 256 << 10;
/// How much may wait to be sent: who makes us answer this much and does not listen has lost the session.
pub const MOST_UNSENT: usize = 2 << 20;

/// A stream of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream(u32);

impl Stream {
    /// One that is carried by something else and has this number there.
    pub const fn numbered(number: u32) -> Stream {
        Stream(number)
    }
}

/// Something has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session has begun.
    Begun,
    /// There is no session any more, and none of its streams. A host begins another.
    Lost,
    /// The other side wants a stream to a port: [`Mux::accept`] or [`Mux::reset`] answers.
    Wanted(Stream, u32),
    /// The stream that we wanted is there.
    Opened(Stream),
    /// Bytes have come. [`Mux::took`] says when they were taken, so that more can come.
    Data(Stream, Vec<u8>),
    /// No more bytes come.
    Ended(Stream),
    /// The stream is gone, or what we wanted is refused.
    Gone(Stream),
}

/// Which side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Guest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// We asked for it.
    Opening,
    /// The other side asked for it.
    Wanted,
    Open,
}

#[derive(Debug)]
struct Flow {
    state: State,
    /// How much we may send.
    sendable: u32,
    /// How much may come.
    receivable: u32,
    /// How much was taken since we last said so.
    taken: u32,
    we_ended: bool,
    they_ended: bool,
}

impl Flow {
    fn new(state: State) -> Flow {
        Flow { state, sendable: WINDOW, receivable: WINDOW, taken: 0, we_ended: false, they_ended: false }
    }
}

/// Why what the other side says cannot be true.
struct Nonsense;

/// One side.
#[derive(Debug)]
pub struct Mux {
    side: Side,
    decoder: Decoder,
    /// The session that is, or that a host waits for.
    session: Option<Session>,
    begun: bool,
    streams: BTreeMap<u32, Flow>,
    /// The next stream that we open, and the least that the other side may.
    ours: u32,
    theirs: u32,
    unsent: Vec<u8>,
    /// How much of that was sent.
    sent: usize,
    events: VecDeque<Event>,
}

impl Mux {
    /// The side of a host. [`Mux::begin`] begins a session.
    pub fn host() -> Mux {
        Mux::new(Side::Host)
    }

    /// The side of a guest. It asks for a session.
    pub fn guest() -> Mux {
        let mut guest = Mux::new(Side::Guest);
        frame::ask(&mut guest.unsent);
        guest
    }

    fn new(side: Side) -> Mux {
        Mux {
            side,
            decoder: Decoder::new(),
            session: None,
            begun: false,
            streams: BTreeMap::new(),
            ours: 0,
            theirs: 0,
            unsent: Vec::new(),
            sent: 0,
            events: VecDeque::new(),
        }
    }

    /// Begins a session, of which nothing was ever said. Only a host does that: first, and whenever one is lost.
    pub fn begin(&mut self, session: Session) {
        self.forget();
        self.session = Some(session);
        frame::hello(&session, &mut self.unsent);
    }

    /// Something has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Some(found) = self.decoder.next_found() {
            match (self.side, found) {
                (_, Found::Frame(stream, said)) => {
                    if self.hear(stream, said).is_err() || self.output().len() > MOST_UNSENT {
                        self.lose();
                    }
                }
                (Side::Guest, Found::Hello(session)) => {
                    self.forget();
                    self.start(session);
                    frame::welcome(&session, &mut self.unsent);
                }
                (Side::Host, Found::Welcome(session)) => {
                    if self.session == Some(session) && !self.begun {
                        self.start(session);
                    }
                }
                (Side::Host, Found::Ask) | (_, Found::Lost) => self.lose(),
                // An echo of ourselves.
                (Side::Host, Found::Hello(_)) | (Side::Guest, Found::Welcome(_) | Found::Ask) => {}
            }
        }
    }

    /// The next thing that has happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent. [`Mux::sent`] says how much of it was, before anything else is done.
    pub fn output(&self) -> &[u8] {
        &self.unsent[self.sent..]
    }

    /// So much of it was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        // To move the rest each time would cost more than to send it.
        if self.sent == self.unsent.len() || self.sent > ENOUGH_UNSENT {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Wants a stream to a port of the other side. Without a session there is none.
    pub fn open(&mut self, port: u32) -> Option<Stream> {
        if !self.begun || self.streams.len() >= MOST_STREAMS {
            return None;
        }
        let stream = self.ours;
        self.ours = stream.checked_add(2)?;
        self.streams.insert(stream, Flow::new(State::Opening));
        self.say(stream, &Said::Open(port));
        Some(Stream(stream))
    }

    /// Gives the other side the stream that it wants.
    pub fn accept(&mut self, stream: Stream) {
        if let Some(flow) = self.streams.get_mut(&stream.0).filter(|flow| flow.state == State::Wanted) {
            flow.state = State::Open;
            self.say(stream.0, &Said::Opened);
        }
    }

    /// Whether the stream is there, or about to be.
    pub fn has(&self, stream: Stream) -> bool {
        self.streams.contains_key(&stream.0)
    }

    /// How much [`Mux::send`] takes now.
    pub fn room(&self, stream: Stream) -> usize {
        let Some(flow) = self.streams.get(&stream.0) else { return 0 };
        let may = flow.state == State::Open && !flow.we_ended && self.output().len() < ENOUGH_UNSENT;
        if may { flow.sendable as usize } else { 0 }
    }

    /// Sends as much as may be sent now, and says how much that is.
    pub fn send(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        let mut sent = 0;
        loop {
            let piece = self.room(stream).min(MOST).min(bytes.len() - sent);
            let (Some(session), Some(flow)) = (&self.session, self.streams.get_mut(&stream.0)) else { break };
            if piece == 0 {
                break;
            }
            flow.sendable -= piece as u32;
            frame::data(session, stream.0, &bytes[sent..sent + piece], &mut self.unsent);
            sent += piece;
        }
        sent
    }

    /// So many bytes that came were taken.
    pub fn took(&mut self, stream: Stream, bytes: usize) {
        let Some(flow) = self.streams.get_mut(&stream.0) else { return };
        // No more was taken than came.
        flow.taken =
            (flow.taken as usize).saturating_add(bytes).min((WINDOW - flow.receivable) as usize) as u32;
        if flow.taken >= WINDOW / 4 && !flow.they_ended {
            let more = std::mem::take(&mut flow.taken);
            flow.receivable += more;
            self.say(stream.0, &Said::Credit(more));
        }
    }

    /// Sends no more.
    pub fn end(&mut self, stream: Stream) {
        let Some(flow) = self.streams.get_mut(&stream.0) else { return };
        if flow.state == State::Open && !flow.we_ended {
            flow.we_ended = true;
            let is_over = flow.they_ended;
            self.say(stream.0, &Said::End);
            if is_over {
                self.streams.remove(&stream.0);
            }
        }
    }

    /// Ends a stream at once, or refuses it.
    pub fn reset(&mut self, stream: Stream) {
        if self.streams.remove(&stream.0).is_some() {
            self.say(stream.0, &Said::Gone);
        }
    }

    fn say(&mut self, stream: u32, said: &Said) {
        if let Some(session) = &self.session {
            frame::frame(session, stream, said, &mut self.unsent);
        }
    }

    fn start(&mut self, session: Session) {
        (self.session, self.begun) = (Some(session), true);
        (self.ours, self.theirs) = match self.side {
            Side::Host => (2, 1),
            Side::Guest => (1, 2),
        };
        self.decoder.expect(Some(session));
        self.events.push_back(Event::Begun);
    }

    /// Nothing that was holds any more, and nothing of it is sent.
    fn forget(&mut self) {
        if self.begun {
            self.events.push_back(Event::Lost);
        }
        (self.session, self.begun) = (None, false);
        self.streams.clear();
        self.unsent.clear();
        self.sent = 0;
        self.decoder.expect(None);
    }

    /// The other side is not where we thought. A guest asks for another session; a host is told to begin one.
    fn lose(&mut self) {
        let was_waiting = self.session.is_some() && !self.begun;
        self.forget();
        match self.side {
            Side::Guest => frame::ask(&mut self.unsent),
            Side::Host if was_waiting => self.events.push_back(Event::Lost),
            Side::Host => {}
        }
    }

    fn hear(&mut self, stream: u32, said: Said) -> Result<(), Nonsense> {
        if let Said::Open(port) = said {
            // Numbers only grow, so what is still said of a stream that is gone is never taken for another.
            if stream % 2 != self.theirs % 2 || stream < self.theirs {
                return Err(Nonsense);
            }
            self.theirs = stream.checked_add(2).ok_or(Nonsense)?;
            if self.streams.len() >= MOST_STREAMS {
                self.say(stream, &Said::Gone);
                return Ok(());
            }
            self.streams.insert(stream, Flow::new(State::Wanted));
            self.events.push_back(Event::Wanted(Stream(stream), port));
            return Ok(());
        }
        if stream >= if stream % 2 == self.theirs % 2 { self.theirs } else { self.ours } {
            return Err(Nonsense);
        }
        // It is gone here, and the other side has not heard of that yet.
        let Some(flow) = self.streams.get_mut(&stream) else { return Ok(()) };
        let id = Stream(stream);
        match (said, flow.state) {
            (Said::Gone, _) => {
                self.streams.remove(&stream);
                self.events.push_back(Event::Gone(id));
            }
            (Said::Opened, State::Opening) => {
                flow.state = State::Open;
                self.events.push_back(Event::Opened(id));
            }
            (Said::Data(bytes), State::Open) if !flow.they_ended && !bytes.is_empty() => {
                flow.receivable = flow.receivable.checked_sub(bytes.len() as u32).ok_or(Nonsense)?;
                self.events.push_back(Event::Data(id, bytes));
            }
            (Said::Credit(more), State::Open) => {
                flow.sendable =
                    flow.sendable.checked_add(more).filter(|all| *all <= WINDOW).ok_or(Nonsense)?;
            }
            (Said::End, State::Open) if !flow.they_ended => {
                flow.they_ended = true;
                let is_over = flow.we_ended;
                self.events.push_back(Event::Ended(id));
                if is_over {
                    self.streams.remove(&stream);
                }
            }
            _ => return Err(Nonsense),
        }
        Ok(())
    }
}
