//! Waiting for a call without the detour over the link's thread.
//!
//! The thread that waits takes the reply in itself: that saves two switches between threads, which is most of
//! what a call costs. Only one thread can do so for a connection at a time; others are told by `done`.

use std::{sync::Arc, time::Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{connection::Connection, thread::Shared};

/// A call that was made.
pub struct Ticket(Option<Made>);

struct Made {
    shared: Arc<Shared>,
    /// Where it is, and its number there. A call that is nowhere waits for the service to come back.
    under_way: Option<(Arc<Connection>, u64)>,
}

impl Ticket {
    /// Of a call that is over.
    pub fn over() -> Ticket {
        Ticket(None)
    }

    pub(super) fn new(shared: &Arc<Shared>, under_way: Option<(Arc<Connection>, u64)>) -> Ticket {
        Ticket(Some(Made { shared: shared.clone(), under_way }))
    }

    /// Takes the reply in when it comes. Returns when the call is over, when the time has come, or at once when
    /// another thread does this already; so the caller then waits for what `done` does.
    pub fn wait(&self, deadline: Option<Instant>) {
        let Some(Made { shared, under_way }) = &self.0 else { return };
        let is_over =
            under_way.as_ref().is_some_and(|(connection, call)| take_in(shared, connection, *call, deadline));
        if !is_over {
            // Somebody has to be there for it. A failure has been told to everybody who waits.
            let _ = shared.attend();
        }
    }
}

/// Takes the reply to a call in. False if that is left to others.
fn take_in(shared: &Arc<Shared>, connection: &Arc<Connection>, call: u64, deadline: Option<Instant>) -> bool {
    let Some(_lead) = Lead::take(shared, connection) else { return false };
    while connection.awaits(call) {
        let pumped = connection.pump(true);
        let over = pumped.finished.is_some();
        shared.settle(connection, pumped);
        if over {
            return true;
        }
        if !connection.awaits(call) {
            return false;
        }
        let left_until = |then: Instant| then.saturating_duration_since(Instant::now());
        let left = deadline.map(left_until);
        if left.is_some_and(|left| left.is_zero()) {
            return false;
        }
        let left = left.into_iter().chain(connection.joined_by().map(left_until)).min();
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, connection.wants_to_write());
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        // An interrupted or failed wait is a look too early; the loop looks again.
        let _ = poll(&mut [PollFd::new(&**connection, flags)], timeout.as_ref());
    }
    true
}

/// The right to take a connection's replies in; the link's thread keeps away meanwhile.
struct Lead<'a>(&'a Shared, &'a Connection);

impl<'a> Lead<'a> {
    fn take(shared: &'a Shared, connection: &'a Connection) -> Option<Lead<'a>> {
        if !connection.lead() {
            return None;
        }
        shared.disarm(connection);
        Some(Lead(shared, connection))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // A connection without a call stays unwatched: its end is seen when it is used.
        if self.1.follow() {
            self.0.arm(self.1);
        }
    }
}
