//! System calls that wait for permission: the kernel's seccomp notifications.
//!
//! A thread puts a filter on itself; what it starts, and whatever that starts, has the filter too. A watched call of any
//! of them stands still until it is answered here: go on, or fail with this error. Who stands still can be killed.
//!
//! Not ptrace: a tracer must keep count of every thread and fork, its stops are mixed up with the waiting for children,
//! and a process that is left by its tracer at a stop hangs. Here there is nothing to lose. Whoever is born has the
//! filter from birth, who dies is forgotten by the kernel, and other processes of the test may be waited for as usual.
#![expect(unsafe_code, reason = "seccomp and its ioctls have no safe form")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_IOCTL_NOTIF_ID_VALID, SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF, SECCOMP_SET_MODE_FILTER,
    SECCOMP_USER_NOTIF_FLAG_CONTINUE, seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog,
};

/// Where the number of the call is in what a filter looks at.
const NUMBER: u32 = 0;

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    id: u64,
    /// The thread that has made it.
    pub thread: u32,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// The end at which calls are heard and answered.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Watches these calls of the calling thread and of all that it starts from now on.
    pub fn on_this_thread(calls: &[i64]) -> io::Result<Listener> {
        let filter = filter(calls);
        let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // Once it has been heard, a call is interrupted by nothing but the death of its thread.
        let flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // SAFETY: the program points to a filter of that length, which outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made the descriptor, and nobody else knows of it.
        Ok(Listener(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// The next call that waits; none when nobody is left who could make one.
    pub fn next(&self) -> io::Result<Option<Waiting>> {
        loop {
            if !self.wait()? {
                return Ok(None);
            }
            // SAFETY: numbers and arrays of numbers, of which zeros are valid.
            let mut heard: seccomp_notif = unsafe { std::mem::zeroed() };
            match self.control(SECCOMP_IOCTL_NOTIF_RECV, &mut heard) {
                Ok(()) => {
                    return Ok(Some(Waiting {
                        id: heard.id,
                        thread: heard.pid,
                        number: heard.data.nr.into(),
                        arguments: heard.data.args,
                    }));
                }
                // It was killed, or a signal came, before it was heard.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets a call happen, or fail with an error. That its caller has died meanwhile is no matter.
    pub fn answer(&self, waiting: &Waiting, error: Option<i32>) {
        let flags = if error.is_none() { SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 } else { 0 };
        let mut answer =
            seccomp_notif_resp { id: waiting.id, val: 0, error: -error.unwrap_or_default(), flags };
        let _ = self.control(SECCOMP_IOCTL_NOTIF_SEND, &mut answer);
    }

    /// Whether a call still waits, so that what was read of its process was its own.
    pub fn still_waits(&self, waiting: &Waiting) -> bool {
        self.control(SECCOMP_IOCTL_NOTIF_ID_VALID, &mut waiting.id.clone()).is_ok()
    }

    /// Waits for a call; false when there is nobody left.
    fn wait(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return Ok(fds[0].revents().contains(PollFlags::IN)),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// One of the listener's ioctls, with what it takes.
    fn control<T>(&self, what: libc::Ioctl, with: &mut T) -> io::Result<()> {
        // SAFETY: each caller passes the type that belongs to the number, and the kernel keeps nothing of it.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), what, std::ptr::from_mut(with)) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A filter that has these calls wait and lets all others happen. The programs are all of one architecture.
fn filter(calls: &[i64]) -> Vec<sock_filter> {
    let instruction =
        |code: u32, jt: usize, k: u32| sock_filter { code: code as u16, jt: jt as u8, jf: 0, k };
    let mut filter = vec![instruction(BPF_LD | BPF_W | BPF_ABS, 0, NUMBER)];
    for (at, call) in calls.iter().enumerate() {
        // Over the comparisons that follow, and over the return behind them.
        filter.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, calls.len() - at, *call as u32));
    }
    filter.push(instruction(BPF_RET | BPF_K, 0, SECCOMP_RET_ALLOW));
    filter.push(instruction(BPF_RET | BPF_K, 0, SECCOMP_RET_USER_NOTIF));
    filter
}
