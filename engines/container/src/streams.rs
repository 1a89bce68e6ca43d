//! The standard streams of a process: pipes, or a console in the place of all three.

use std::os::fd::{BorrowedFd, OwnedFd};

use hcs_core::Error;
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
    thread::Uid,
};

use crate::{
    console::{self, Console},
    process_plan::ProcessPlan,
    report::Step,
    sys,
};

/// The child's ends.
pub enum ChildStreams {
    /// Input, output, error.
    Pipes([OwnedFd; 3]),
    /// A terminal that is all three, and that it takes as its own.
    Console(OwnedFd),
}

/// The worker's ends.
pub struct Streams {
    /// Write end of the input.
    pub stdin: Option<OwnedFd>,
    /// Read end of the output.
    pub stdout: Option<OwnedFd>,
    /// Read end of the errors.
    pub stderr: Option<OwnedFd>,
    /// The console instead of all three.
    pub console: Option<Console>,
}

/// Makes both sides. `init` stands for the container, `user` is whose console it is.
pub fn make(plan: &ProcessPlan, init: BorrowedFd<'_>, user: u32) -> Result<(ChildStreams, Streams), Error> {
    if let Some(size) = plan.console {
        let (console, slave) = console::open(init, size, user)?;
        let ours = Streams { stdin: None, stdout: None, stderr: None, console: Some(console) };
        return Ok((ChildStreams::Console(slave), ours));
    }
    let (stdin_of_child, stdin) = input(plan.stdin, user)?;
    let (stdout_of_child, stdout) = output(plan.stdout, user)?;
    let (stderr_of_child, stderr) = output(plan.stderr, user)?;
    let theirs = ChildStreams::Pipes([stdin_of_child, stdout_of_child, stderr_of_child]);
    Ok((theirs, Streams { stdin, stdout, stderr, console: None }))
}

/// A pipe that belongs to the process's user, so that it can be opened again by its name, /dev/stdout for instance.
fn pipe(user: u32) -> Result<(OwnedFd, OwnedFd), Error> {
    let make = || {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        if user != 0 {
            rustix::fs::fchown(&read, Some(Uid::from_raw(user)), None)?;
        }
        Ok((read, write))
    };
    make().map_err(|errno: Errno| Error::from_errno(errno.raw_os_error(), "making a pipe"))
}

fn input(wanted: bool, user: u32) -> Result<(OwnedFd, Option<OwnedFd>), Error> {
    if !wanted {
        return Ok((null(OFlags::RDONLY)?, None));
    }
    let (read, write) = pipe(user)?;
    Ok((read, Some(write)))
}

fn output(wanted: bool, user: u32) -> Result<(OwnedFd, Option<OwnedFd>), Error> {
    if !wanted {
        return Ok((null(OFlags::WRONLY)?, None));
    }
    let (read, write) = pipe(user)?;
    Ok((write, Some(read)))
}

fn null(flags: OFlags) -> Result<OwnedFd, Error> {
    rustix::fs::openat(CWD, c"/dev/null", flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::from_errno(error.raw_os_error(), "opening /dev/null"))
}

/// Puts the streams at 0, 1 and 2 and marks everything else as closed on exec.
pub fn connect(streams: &ChildStreams) -> Result<(), (Step, Errno)> {
    let [stdin, stdout, stderr] = match streams {
        ChildStreams::Pipes([stdin, stdout, stderr]) => [stdin, stdout, stderr],
        ChildStreams::Console(slave) => {
            // The child leads a session without a terminal by now, so it may take one.
            rustix::process::ioctl_tiocsctty(slave).map_err(|errno| (Step::Console, errno))?;
            [slave, slave, slave]
        }
    };
    let connect = || {
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        rustix::stdio::dup2_stderr(stderr)?;
        sys::close_on_exec_from(3)
    };
    connect().map_err(|errno| (Step::Streams, errno))
}
