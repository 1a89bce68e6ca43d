//! Waiting until something can be done at a descriptor: now, until a time, or as long as it takes. A signal cuts the kernel's wait
//! short; these go on with what is left of the time, so no caller has to.

use std::{os::fd::AsFd, time::Instant};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::OFlags,
    io::Errno,
};

/// What of this can be done now, or has happened; nothing else is asked for if nothing is wanted but the end of the other side.
pub fn now(fd: impl AsFd, wanted: PollFlags) -> Result<PollFlags, Errno> {
    let mut fds = [PollFd::new(&fd, wanted)];
    rustix::event::poll(&mut fds, Some(&Timespec::default()))?;
    Ok(fds[0].revents())
}

/// Waits until something of this can be done or has happened; what. Nothing if the time has come before; without a time it is
/// waited for as long as it takes.
pub fn until(fd: impl AsFd, wanted: PollFlags, deadline: Option<Instant>) -> Result<PollFlags, Errno> {
    let mut fds = [PollFd::new(&fd, wanted)];
    any_until(&mut fds, deadline)?;
    Ok(fds[0].revents())
}

/// The same for several: at how many of them; each says what.
pub fn any_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<usize, Errno> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // More time than can be said is as long as it takes.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

/// Whoever reads or writes there never waits.
pub fn set_nonblocking(fd: impl AsFd) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread, time::Duration};

    use super::*;

    #[test]
    fn what_is_there_is_told_now_and_what_is_not_is_not_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert_eq!(now(&reader, PollFlags::IN), Ok(PollFlags::empty()));
        assert_eq!(now(&writer, PollFlags::OUT), Ok(PollFlags::OUT));
        writer.write_all(b"word").unwrap();
        assert_eq!(now(&reader, PollFlags::IN), Ok(PollFlags::IN));
        drop(reader);
        assert_eq!(now(&writer, PollFlags::empty()), Ok(PollFlags::ERR));
    }

    #[test]
    fn waiting_ends_with_its_time_or_before() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (begun, patience) = (Instant::now(), Duration::from_millis(20));
        assert_eq!(until(&reader, PollFlags::IN, Some(begun + patience)), Ok(PollFlags::empty()));
        assert!(begun.elapsed() >= patience);
        // A time that has gone by is now.
        assert_eq!(until(&reader, PollFlags::IN, Some(begun)), Ok(PollFlags::empty()));
        let writing = thread::spawn(move || writer.write_all(b"word").unwrap());
        assert_eq!(until(&reader, PollFlags::IN, None).map(|found| found.contains(PollFlags::IN)), Ok(true));
        writing.join().unwrap();
    }
}
