//! The link's inside: the pool of connections, the thread that watches over them, and the way back to a
//! service that was restarted.
//!
//! ```text
//!             the service is lost                 no session within PATIENCE
//!  Attached ───────────────────────> Away ──────────────────────────────────> Over
//!     ^                                │
//!     └── Attach with token and claims ┘   calls made meanwhile wait in `waiting`
//! ```
//!
//! A session can also be without a thread as long as nothing has to be done behind its owner's back ([`Shared::look`]).
//!
//! Lock order: what is unattended, the state, then a connection. Completions and listeners run with neither of the last two.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::SyncSender},
    time::{Duration, Instant},
};

use hcs_core::random;
use hcs_ipc::{
    compute::{Attach, AttachReply, CloseComputeSystem, Join, Method},
    socket, varlink,
};
use rustix::event::{EventfdFlags, epoll::EventFlags, eventfd};

use super::{
    PATIENCE,
    attachment::Attachment,
    connection::{Connection, Pending, Pumped},
    failure::{is_absence, lost, over, over_because, unreachable},
    poller::Poller,
    quiet,
    session::{Listener, News, Watched},
    way_back::WayBack,
};
use crate::Error;

/// Connections that stay open when they are not used.
const MOST_IDLE: usize = 8;
/// How long the first reply may take.
const FIRST_REPLY: Duration = Duration::from_secs(10);
/// How long somebody waits for events that are there to be heard.
const CATCHING_UP: Duration = Duration::from_secs(1);

const WAKE: u64 = 0;
const ATTACHMENT: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

/// What the callers and the link's thread share.
pub struct Shared {
    path: PathBuf,
    poller: Poller,
    wake: OwnedFd,
    state: Mutex<State>,
    /// What the thread looks after, while there is none.
    unattended: Mutex<Option<WayBack>>,
}

struct State {
    phase: Phase,
    token: String,
    connections: HashMap<u64, Arc<Connection>>,
    idle: Vec<Arc<Connection>>,
    waiting: VecDeque<Pending>,
    watched: Watched,
    /// Who waits until the events that are there have been heard.
    catching_up: Vec<SyncSender<()>>,
    /// Whether the service has said something, or the first connection that is to tell that is there.
    is_answered: bool,
    next_key: u64,
    stopped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Attached,
    Away { until: Instant },
    Over,
}

impl Shared {
    /// Begins a session, and the thread that looks after it.
    pub fn start(path: PathBuf) -> Result<Arc<Shared>, Error> {
        let mut watched = Watched::default();
        let mut attachment = attach(&path, &watched.claim(None))?;
        let mut token = None;
        let mut early = Vec::new();
        for reply in attachment.first(FIRST_REPLY)? {
            match reply {
                AttachReply { attached: Some(attached), .. } => token = Some(attached.token),
                AttachReply { event, .. } => early.extend(event),
            }
        }
        for event in early {
            watched.happened(event);
        }
        let token = token.ok_or_else(|| lost(io::ErrorKind::InvalidData.into()))?;
        let shared = Shared::new(path, attachment, token, watched, true).map_err(internal)?;
        shared.attend()?;
        Ok(shared)
    }

    /// Begins a session without a thread. It is not even awaited: the token is ours, so the first call can be made at once, and the
    /// connection for it is on its way.
    pub fn start_unattended(path: PathBuf) -> Result<Arc<Shared>, Error> {
        let token = random::secret().map_err(|errno| internal(errno.into()))?.to_string();
        let watched = Watched::default();
        let attachment = attach(&path, &watched.claim(Some(token.clone())))?;
        let shared = Shared::new(path, attachment, token, watched, false).map_err(internal)?;
        // Why there is none, if there is none, the first call will say.
        if let Ok(connection) = shared.open() {
            shared.put_back(&connection);
        }
        Ok(shared)
    }

    fn new(
        path: PathBuf,
        attachment: Attachment,
        token: String,
        watched: Watched,
        is_answered: bool,
    ) -> io::Result<Arc<Shared>> {
        let poller = Poller::new()?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        poller.add(&wake, WAKE, EventFlags::IN)?;
        poller.add(&attachment, ATTACHMENT, EventFlags::IN)?;
        let state = State {
            phase: Phase::Attached,
            token,
            connections: HashMap::new(),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            watched,
            catching_up: Vec::new(),
            is_answered,
            next_key: FIRST_CONNECTION,
            stopped: false,
        };
        let unattended = Mutex::new(Some(WayBack::of(attachment)));
        Ok(Arc::new(Shared { path, poller, wake, state: Mutex::new(state), unattended }))
    }

    /// Makes the thread, if there is none.
    pub fn attend(self: &Arc<Self>) -> Result<(), Error> {
        let Some(way) = self.unattended().take() else { return Ok(()) };
        let own = self.clone();
        let thread = quiet::spawn("hcs-link", move || own.run(way)).map_err(internal);
        // The session has ended with the attachment.
        thread.map(drop).inspect_err(|error| self.give_up(Some(error)))
    }

    /// Does what is to be done now, where there is no thread. While the service is away that is more than a look now and then,
    /// so then one is made.
    pub fn look(self: &Arc<Self>) {
        let is_away = {
            let mut unattended = self.unattended();
            let Some(way) = &mut *unattended else { return };
            self.turn(way, Some(Duration::ZERO));
            self.next_look(way).is_some()
        };
        if is_away {
            // A failure has been told to everybody who waits.
            let _ = self.attend();
        }
    }

    /// Ends the session.
    pub fn stop(&self) {
        self.lock().stopped = true;
        let way = self.unattended().take();
        match way {
            Some(_) => self.give_up(None),
            None => self.wake(),
        }
    }

    /// Whether the session is over.
    pub fn is_lost(&self) -> bool {
        self.lock().phase == Phase::Over
    }

    /// Makes a call. The connection that it is on and its number there, unless it is over or has to wait for the
    /// service to come back.
    pub fn begin(self: &Arc<Self>, mut call: Pending) -> Option<(Arc<Connection>, u64)> {
        loop {
            let idle = {
                let mut state = self.lock();
                match state.phase {
                    Phase::Attached => state.idle.pop(),
                    Phase::Away { .. } => {
                        state.waiting.push_back(call);
                        return None;
                    }
                    Phase::Over => {
                        drop(state);
                        (call.done)(Err(over()));
                        return None;
                    }
                }
            };
            let connection = match idle.map_or_else(|| self.open(), Ok) {
                Ok(connection) => connection,
                Err(error) if is_absence(&error) => {
                    // The thread has not noticed yet. It will, or the call's time runs out there.
                    self.postpone(call, unreachable(&self.path, &error));
                    return None;
                }
                Err(error) => {
                    (call.done)(Err(unreachable(&self.path, &error)));
                    return None;
                }
            };
            match connection.send(call) {
                Ok(number) => {
                    self.arm(&connection);
                    return Some((connection, number));
                }
                Err(unsent) => {
                    self.discard(&connection);
                    call = unsent;
                }
            }
        }
    }

    fn open(&self) -> io::Result<Arc<Connection>> {
        let (key, join, joined_by) = {
            let mut state = self.lock();
            state.next_key += 1;
            let is_first = !std::mem::replace(&mut state.is_answered, true);
            let joined_by = is_first.then(|| Instant::now() + FIRST_REPLY);
            (state.next_key, Join { token: state.token.clone() }, joined_by)
        };
        let join = varlink::encode_call(Join::NAME, &join, false)?;
        let connection = Arc::new(Connection::open(key, &self.path, join, joined_by)?);
        self.poller.add(&*connection, key, EventFlags::empty())?;
        self.lock().connections.insert(key, connection.clone());
        Ok(connection)
    }

    /// Makes a call of which nobody wants to know what it comes to. A connection that is free is not asked for an answer, which
    /// would only be something more to take in.
    pub fn tell<M: Method>(self: &Arc<Self>, call: &M) {
        // Numbers can be written.
        let Ok(text) = varlink::encode_oneway(M::NAME, call) else { return };
        let idle = self.lock().idle.pop();
        if let Some(connection) = idle {
            if connection.tell(text) {
                return self.put_back(&connection);
            }
            self.discard(&connection);
        }
        if let Ok(text) = varlink::encode_call(M::NAME, call, false) {
            self.begin(Pending::new(text, Box::new(|_| ())));
        }
    }

    /// Has the link's thread look after a connection from here on.
    pub fn arm(&self, connection: &Connection) {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, connection.wants_to_write());
        self.poller.change(connection, connection.key, flags);
    }

    /// Has the link's thread keep away from a connection.
    pub fn disarm(&self, connection: &Connection) {
        self.poller.change(connection, connection.key, EventFlags::empty());
    }

    /// Does what a look at a connection has found to do.
    pub fn settle(self: &Arc<Self>, connection: &Arc<Connection>, pumped: Pumped) {
        if pumped.closed {
            self.discard(connection);
        } else if pumped.finished.is_some() {
            self.put_back(connection);
        }
        if let Some((call, why)) = pumped.unseen {
            self.postpone(call, why);
        }
        if let Some((done, outcome)) = pumped.finished {
            done(outcome);
        }
    }

    /// Keeps a connection for the next call, if there are not enough.
    fn put_back(&self, connection: &Arc<Connection>) {
        let mut state = self.lock();
        if state.idle.len() < MOST_IDLE && state.phase == Phase::Attached {
            state.idle.push(connection.clone());
        } else {
            drop(state);
            self.discard(connection);
        }
    }

    fn discard(&self, connection: &Connection) {
        let mut state = self.lock();
        state.connections.remove(&connection.key);
        state.idle.retain(|other| other.key != connection.key);
        // Another thread may hold the descriptor open for a moment longer.
        self.poller.remove(connection);
    }

    /// Keeps a call that the service cannot have seen for when it is back, from the first time on for so long at most.
    fn postpone(&self, mut call: Pending, why: Error) {
        let until = call.postponed.map_or_else(|| Instant::now() + PATIENCE, |(until, _)| until);
        call.postponed = Some((until, Box::new(why)));
        let mut state = self.lock();
        if state.phase == Phase::Over {
            drop(state);
            (call.done)(Err(over()));
            return;
        }
        state.waiting.push_back(call);
        drop(state);
        self.wake();
    }

    fn wake(&self) {
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// See [`super::Link::catch_up`].
    pub fn catch_up(self: &Arc<Self>) {
        // A failure has been told to everybody who waits, and nothing more is to be heard.
        if self.attend().is_err() {
            return;
        }
        let (heard, waiter) = std::sync::mpsc::sync_channel(1);
        self.lock().catching_up.push(heard);
        self.wake();
        // A listener that is slow is waited for no longer than this.
        let _ = waiter.recv_timeout(CATCHING_UP);
    }

    /// See [`super::Link::watch_system`].
    pub fn watch_system(&self, handle: u64, id: &str, instance: &str, listener: Listener) {
        let news = self.lock().watched.system(handle, id, instance, listener);
        spread(news);
    }

    /// See [`super::Link::watch_process`].
    pub fn watch_process(&self, process: u64, system: u64, process_id: u32, listener: Listener) {
        let news = self.lock().watched.process(process, system, process_id, listener);
        spread(news);
    }

    /// See [`super::Link::close_system`].
    pub fn forget_system(&self, handle: u64) {
        self.lock().watched.forget_system(handle);
    }

    /// See [`super::Link::close_process`].
    pub fn forget_process(&self, process: u64) {
        self.lock().watched.forget_process(process);
    }

    fn run(self: Arc<Self>, mut way: WayBack) {
        while !self.lock().stopped {
            let patience = self.next_look(&way);
            self.turn(&mut way, patience);
        }
        // Dropping the attachment ends the session, and with it whatever is under way.
        self.give_up(None);
    }

    /// Waits until there is something to do, for so long at most, and does it.
    fn turn(self: &Arc<Self>, way: &mut WayBack, patience: Option<Duration>) {
        let mut ready = Vec::new();
        self.poller.wait(patience, &mut ready);
        for key in ready {
            match key {
                WAKE => {
                    let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
                    let catching_up = std::mem::take(&mut self.lock().catching_up);
                    if !catching_up.is_empty() {
                        self.listen(way);
                    }
                    for waiter in catching_up {
                        let _ = waiter.try_send(());
                    }
                }
                ATTACHMENT => self.listen(way),
                key => {
                    let connection = self.lock().connections.get(&key).cloned();
                    if let Some(connection) = connection {
                        let pumped = connection.pump(false);
                        self.settle(&connection, pumped);
                    }
                }
            }
        }
        if !self.lock().stopped {
            self.find_the_way(way);
        }
    }

    /// How long the thread may sleep.
    fn next_look(&self, way: &WayBack) -> Option<Duration> {
        let state = self.lock();
        let until_then = |then: Instant| then.saturating_duration_since(Instant::now());
        match state.phase {
            Phase::Away { until } if way.attachment.is_some() => Some(until_then(until)),
            Phase::Away { until } => Some(until_then(until.min(way.next_try))),
            // A call was postponed although the service seems to be there: the socket is gone, or was for a moment.
            Phase::Attached if !state.waiting.is_empty() => Some(until_then(way.next_try)),
            _ => None,
        }
    }

    fn listen(self: &Arc<Self>, way: &mut WayBack) {
        while let Some(attachment) = &mut way.attachment {
            match attachment.receive() {
                Ok(replies) if replies.is_empty() => return,
                Ok(replies) => replies.into_iter().for_each(|reply| self.hear(reply, way)),
                Err(error) => {
                    way.attachment = None;
                    way.why = Some(error);
                    if std::mem::take(&mut way.attached) {
                        way.try_soon();
                        self.lose();
                    }
                }
            }
        }
    }

    fn hear(self: &Arc<Self>, reply: AttachReply, way: &mut WayBack) {
        if let Some(attached) = reply.attached {
            way.attached = true;
            way.try_soon();
            let (news, superfluous, waiting) = {
                let mut state = self.lock();
                // Of a session that was not awaited. It began with nothing, and what has been made meanwhile is not in this.
                if state.phase == Phase::Attached {
                    return;
                }
                state.phase = Phase::Attached;
                let (news, superfluous) = state.watched.resumed(&attached);
                (news, superfluous, std::mem::take(&mut state.waiting))
            };
            spread(news);
            for call in waiting {
                self.begin(call);
            }
            for handle in superfluous {
                self.tell(&CloseComputeSystem { handle });
            }
        }
        if let Some(event) = reply.event {
            let news = self.lock().watched.happened(event);
            spread(news);
        }
    }

    /// The service is gone, for now.
    fn lose(&self) {
        let mut state = self.lock();
        state.phase = Phase::Away { until: Instant::now() + PATIENCE };
        // They are of the old service. Those with a call under way tell their end themselves.
        for connection in std::mem::take(&mut state.idle) {
            state.connections.remove(&connection.key);
        }
    }

    /// Tries to get back, sends what was postponed, or gives up.
    fn find_the_way(self: &Arc<Self>, way: &mut WayBack) {
        let (phase, is_idle) = {
            let state = self.lock();
            (state.phase, state.waiting.is_empty())
        };
        match phase {
            Phase::Away { until } if Instant::now() >= until => self.give_up(way.why.as_ref()),
            Phase::Away { .. } if way.attachment.is_none() && way.is_time() => {
                let call = {
                    let state = self.lock();
                    state.watched.claim(Some(state.token.clone()))
                };
                // At once, or not now: this thread has a time to keep.
                let connected = socket::connect_at_once(&self.path);
                match connected.and_then(|socket| Attachment::begin(socket, &call)) {
                    Ok(attachment) => {
                        let mut flags = EventFlags::IN;
                        flags.set(EventFlags::OUT, attachment.wants_to_write());
                        if self.poller.add(&attachment, ATTACHMENT, flags).is_ok() {
                            way.attachment = Some(attachment);
                        }
                    }
                    Err(error) => way.why = Some(unreachable(&self.path, &error)),
                }
            }
            Phase::Attached if is_idle => way.rest(),
            Phase::Attached if way.is_time() => {
                let waiting = std::mem::take(&mut self.lock().waiting);
                for call in waiting {
                    match call.postponed {
                        Some((until, why)) if Instant::now() >= until => (call.done)(Err(*why)),
                        postponed => drop(self.begin(Pending { postponed, ..call })),
                    }
                }
            }
            _ => {}
        }
    }

    /// The session is over: everybody is told.
    fn give_up(&self, why: Option<&Error>) {
        let (news, waiting) = {
            let mut state = self.lock();
            state.phase = Phase::Over;
            (state.watched.over(), std::mem::take(&mut state.waiting))
        };
        waiting.into_iter().for_each(|call| (call.done)(Err(over_because(why))));
        spread(news);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unattended(&self) -> MutexGuard<'_, Option<WayBack>> {
        self.unattended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Shared {
    /// Readable when there is something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// Connects, and asks for the session.
fn attach(path: &Path, call: &Attach) -> Result<Attachment, Error> {
    let connected = socket::connect(path).and_then(|socket| Attachment::begin(socket, call));
    connected.map_err(|error| unreachable(path, &error))
}

fn internal(error: io::Error) -> Error {
    hcs_core::Error::from_io(&error, "making what a connection needs").into()
}

fn spread(news: News) {
    for (listener, event) in news {
        listener(event);
    }
}
