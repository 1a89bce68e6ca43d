//! The read end of a process's output pipe, kept so that it can be handed out again without being a reader.

use std::os::fd::{AsRawFd, OwnedFd};

use hcs_core::Error;
use rustix::fs::{CWD, Mode, OFlags};

/// Names a pipe. It is opened with O_PATH, so it delays neither end-of-file nor the writer's broken pipe.
pub struct Output(OwnedFd);

impl Output {
    /// Remembers the pipe behind a read end.
    pub fn remember(read_end: &OwnedFd) -> Result<Output, Error> {
        open(read_end, OFlags::PATH).map(Output)
    }

    /// A fresh read end.
    pub fn read_end(&self) -> Result<OwnedFd, Error> {
        // Opening waits for a writer otherwise, and there may be none any more.
        let fd = open(&self.0, OFlags::RDONLY | OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&fd, OFlags::empty())
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), "preparing a pipe"))?;
        Ok(fd)
    }
}

/// Opens the file behind a descriptor once more.
pub fn open(fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Error> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), "opening a pipe again"))
}
