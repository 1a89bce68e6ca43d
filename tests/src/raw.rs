//! Varlink by hand: bytes on a socket and nothing of the client library, to say what it never would.

use std::{
    io::{self, IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

/// The most descriptors that the kernel takes with one message.
const SCM_MAX_FD: usize = 253;

/// A connection.
pub struct Raw {
    /// The socket.
    pub socket: UnixStream,
    unread: Vec<u8>,
}

/// A reply: the parameters, or the error's name and its parameters.
pub type Replied = Result<Value, (String, Value)>;

impl Raw {
    /// Connects.
    pub fn connect(path: &Path) -> Raw {
        let socket = UnixStream::connect(path).expect("connecting to the service");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        Raw { socket, unread: Vec::new() }
    }

    /// Makes a call of io.hcs.Compute.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Replied {
        self.call_text(method, &parameters.to_string())
    }

    /// The same with parameters that no JSON library would write.
    pub fn call_text(&mut self, method: &str, parameters: &str) -> Replied {
        self.send(&call_text(method, parameters)).expect("sending a call");
        self.receive().expect("a reply")
    }

    /// Sends a message.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.socket.write_all(&[text.as_bytes(), b"\0"].concat())
    }

    /// Sends a message with descriptors.
    pub fn send_with(&mut self, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SCM_MAX_FD))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "the kernel does not take so many");
        let bytes = [text.as_bytes(), b"\0"].concat();
        Ok(sendmsg(self.socket.as_fd(), &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?)
    }

    /// The next reply; an error when the service has closed the connection.
    pub fn receive(&mut self) -> io::Result<Replied> {
        let end = loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == 0) {
                break end;
            }
            let mut buffer = [0; 16 << 10];
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                // The end of a child that comes while another is started interrupts reads that have a time limit.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let message: Vec<u8> = self.unread.drain(..=end).collect();
        let mut reply: Value = serde_json::from_slice(&message[..end]).expect("a reply is JSON");
        let parameters = reply["parameters"].take();
        Ok(match reply["error"].as_str() {
            Some(error) => Err((error.to_owned(), parameters)),
            None => Ok(parameters),
        })
    }

    /// Whether the service has closed the connection, without a reply before.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.receive(), Err(error) if error.kind() != io::ErrorKind::WouldBlock)
    }
}

/// The text of a call.
pub fn call_text(method: &str, parameters: &str) -> String {
    let name = if method.contains('.') { method.to_owned() } else { format!("io.hcs.Compute.{method}") };
    format!(r#"{{"method":{},"parameters":{parameters}}}"#, json!(name))
}
