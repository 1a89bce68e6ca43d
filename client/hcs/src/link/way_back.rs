//! The way back to a service that was restarted: the session's connection, and when the next attempt at one is made.

use std::time::{Duration, Instant};

use super::attachment::Attachment;
use crate::Error;

/// The pauses between attempts to reach the service again: short, because a restart is.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What only the link's thread knows of the session's connection.
pub struct WayBack {
    /// The connection, once there is one.
    pub attachment: Option<Attachment>,
    /// Whether the service has taken the session in.
    pub attached: bool,
    /// Between two attempts.
    pause: Duration,
    /// Not before this: whatever wakes the thread, the service is asked no more often.
    pub next_try: Instant,
    /// Why the latest attempt has failed.
    pub why: Option<Error>,
}

impl WayBack {
    /// Of a session that has just begun.
    pub fn of(attachment: Attachment) -> WayBack {
        WayBack {
            attachment: Some(attachment),
            attached: true,
            pause: FIRST_PAUSE,
            next_try: Instant::now(),
            why: None,
        }
    }

    /// Whether it is time for an attempt; then the next one is later.
    pub fn is_time(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next_try {
            return false;
        }
        self.next_try = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// Nothing is to be attempted. What the latest attempt has come to may be heard only in a while.
    pub fn rest(&mut self) {
        if Instant::now() >= self.next_try + LONGEST_PAUSE {
            self.try_soon();
        }
    }

    /// There is no failed attempt behind us.
    pub fn try_soon(&mut self) {
        self.pause = FIRST_PAUSE;
        self.next_try = Instant::now();
    }
}
