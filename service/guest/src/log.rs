//! What the agent complains of, and those that it runs: it goes to the host as long as one listens, else to where it went before.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::Error;
use hcs_gcs::records::LOG_PORT;
use hcs_mux::Stream;
use hcs_worker::carrier::{Carrier, Cut};
use rustix::{io::Errno, pipe::PipeFlags};

/// The most that waits for a host that does not listen; what comes then is lost.
const MOST_UNHEARD: usize = 256 << 10;

/// What was said to the standard error, and where it goes.
pub struct Log {
    said: OwnedFd,
    /// Where it went before.
    console: Option<OwnedFd>,
    stream: Option<Stream>,
}

impl Log {
    /// From now on this hears what is said to the standard error of this process and of those that it makes.
    pub fn begin() -> Result<Log, Error> {
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "hearing the standard error");
        let console = std::io::stderr().as_fd().try_clone_to_owned().ok();
        let (said, say) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed)?;
        rustix::stdio::dup2_stderr(&say).map_err(failed)?;
        Ok(Log { said, console, stream: None })
    }

    /// Readable when something was said.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.said.as_fd()
    }

    /// There is a session, in which the host may listen.
    pub fn connect(&mut self, carrier: &mut dyn Carrier) {
        self.stream = carrier.open(LOG_PORT);
        if let Some(stream) = self.stream {
            carrier.join_talk(stream);
        }
    }

    /// A stream is gone.
    pub fn forget(&mut self, stream: Stream) {
        self.stream.take_if(|own| *own == stream);
    }

    /// There is no session any more.
    pub fn disconnect(&mut self) {
        self.stream = None;
    }

    /// Passes on what was said.
    pub fn pass_on(&self, carrier: &mut dyn Carrier) -> Result<(), Cut> {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = rustix::io::read(&self.said, &mut buffer) {
            let said = &buffer[..length];
            match (self.stream, &self.console) {
                // A host that does not listen must not fill our memory.
                (Some(stream), _) if carrier.unsent(stream) > MOST_UNHEARD => {}
                (Some(stream), _) => carrier.say(stream, said)?,
                // Who cannot be told is not told.
                (None, Some(console)) => drop(rustix::io::write(console, said)),
                (None, None) => {}
            }
        }
        Ok(())
    }
}
