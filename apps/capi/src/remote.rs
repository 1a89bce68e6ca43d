//! The service's handle behind a handle of the C API, which exists before the service has answered.

use std::sync::PoisonError;

use hcs_core::{Cause, Error};

use crate::sync::{Mutex, MutexGuard};

/// The service's handle, as far as there is one.
pub struct Remote(Mutex<State>);

enum State {
    /// The call that makes it is under way; its number, for cancelling, and what waits for its end.
    Making {
        number: u64,
        then: Vec<Then>,
        closed: bool,
    },
    Open(u64),
    /// There never was one, or it is closed.
    None(Cause),
}

/// What is to be done when it is known whether there is a handle.
pub type Then = Box<dyn FnOnce(Option<u64>) + Send>;

impl Remote {
    /// One that is being made by the call of this number.
    pub fn making(number: u64) -> Remote {
        Remote(Mutex::new(State::Making { number, then: Vec::new(), closed: false }))
    }

    /// One that is there.
    pub fn open(handle: u64) -> Remote {
        Remote(Mutex::new(State::Open(handle)))
    }

    /// The handle, for a call.
    pub fn get(&self) -> Result<u64, Error> {
        match &*self.lock() {
            State::Open(handle) => Ok(*handle),
            State::Making { .. } => Err(Error::new(Cause::InvalidState, "its creation has not completed")
                .hint("Wait for the operation of the creation first.")),
            State::None(cause) => Err(Error::new(*cause, "its creation failed")),
        }
    }

    /// Has something done once the making is over; tells the number of the call that makes it. Gives the task
    /// back when it is over already.
    pub fn after_making(&self, task: Then) -> Result<u64, Then> {
        match &mut *self.lock() {
            State::Making { number, then, closed: _ } => {
                then.push(task);
                Ok(*number)
            }
            _ => Err(task),
        }
    }

    /// The making is over. False when the handle was closed meanwhile, and what was made is to be given up.
    pub fn made(&self, result: Result<u64, Cause>) -> bool {
        let mut state = self.lock();
        let State::Making { then, closed, .. } = &mut *state else { return false };
        let (then, wanted) = (std::mem::take(then), !*closed);
        *state = if wanted {
            result.map_or_else(State::None, State::Open)
        } else {
            State::None(Cause::InvalidArgument)
        };
        drop(state);
        for task in then {
            task(result.ok());
        }
        wanted
    }

    /// Closes it; the service's handle, if there is one. One that is being made is given up once it is.
    pub fn close(&self) -> Option<u64> {
        let mut state = self.lock();
        if let State::Making { closed, .. } = &mut *state {
            *closed = true;
            return None;
        }
        match std::mem::replace(&mut *state, State::None(Cause::InvalidArgument)) {
            State::Open(handle) => Some(handle),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_handle_serves_calls_once_it_is_made() {
        let remote = Remote::making(5);
        assert_eq!(remote.get().unwrap_err().cause, Cause::InvalidState);
        assert!(remote.made(Ok(7)));
        assert_eq!(remote.get(), Ok(7));
        assert_eq!(remote.close(), Some(7));
        assert_eq!(remote.close(), None);
    }

    #[test]
    fn what_was_closed_while_it_was_made_is_given_up() {
        let remote = Remote::making(5);
        assert_eq!(remote.close(), None);
        assert!(!remote.made(Ok(7)));
        assert_eq!(remote.get().unwrap_err().cause, Cause::InvalidArgument);
    }

    #[test]
    fn who_waits_for_the_making_learns_its_end() {
        for result in [Ok(7), Err(Cause::SystemNotFound)] {
            let (sender, receiver) = mpsc::channel();
            let remote = Remote::making(5);
            assert!(matches!(remote.after_making(Box::new(move |made| sender.send(made).unwrap())), Ok(5)));
            assert!(remote.made(result));
            assert_eq!(receiver.try_recv(), Ok(result.ok()));
            assert!(remote.after_making(Box::new(|_| ())).is_err());
        }
    }
}
