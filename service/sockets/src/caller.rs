//! Who has connected to `connect` and has not said yet which port of the guest he wants: `CONNECT`, a number and a newline.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// Longer than any such line.
const LONGEST: usize = 32;

/// A caller.
#[derive(Debug)]
pub struct Caller {
    socket: OwnedFd,
    /// What he has said of it.
    line: Vec<u8>,
}

/// What he wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// He has not said it all.
    Unsaid,
    /// This port.
    Port(u32),
    /// Nothing that can be.
    Nothing,
}

impl Caller {
    /// Who has just connected.
    pub fn new(socket: OwnedFd) -> Caller {
        Caller { socket, line: Vec::new() }
    }

    /// What he wants. Of what he says, the line is taken and nothing behind it, which is for the guest.
    pub fn wish(&mut self) -> Wish {
        let mut byte = [0];
        while self.line.len() < LONGEST {
            match rustix::io::read(&self.socket, &mut byte) {
                Ok(0) => return Wish::Nothing,
                Ok(_) if byte == *b"\n" => return port(&self.line).map_or(Wish::Nothing, Wish::Port),
                Ok(_) => self.line.extend(byte),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Wish::Unsaid,
                Err(_) => return Wish::Nothing,
            }
        }
        Wish::Nothing
    }

    /// His socket.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn port(line: &[u8]) -> Option<u32> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let (verb, port) = (words.next()?, words.next()?);
    let is_all = words.next().is_none();
    (is_all && verb.eq_ignore_ascii_case("connect")).then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::*;

    fn call() -> (OwnedFd, Caller) {
        let (mine, his) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        (mine, Caller::new(his))
    }

    #[test]
    fn the_line_is_taken_and_what_is_behind_it_is_left() {
        let (mine, mut his) = call();
        rustix::io::write(&mine, b"Connect 50").unwrap();
        assert_eq!(his.wish(), Wish::Unsaid);
        rustix::io::write(&mine, b"00\nhello").unwrap();
        assert_eq!(his.wish(), Wish::Port(5000));
        let mut rest = [0; 16];
        assert_eq!(rustix::io::read(his.into_socket(), &mut rest), Ok(5));
        assert_eq!(&rest[..5], b"hello");
    }

    #[test]
    fn who_says_something_else_or_goes_wants_nothing() {
        for said in
            ["GET /\n", "connect\n", "connect 1 2\n", "connect -1\n", "connect 4294967296\n", &"c".repeat(40)]
        {
            let (mine, mut his) = call();
            rustix::io::write(&mine, said.as_bytes()).unwrap();
            assert_eq!(his.wish(), Wish::Nothing, "{said}");
        }
        let (mine, mut his) = call();
        drop(mine);
        assert_eq!(his.wish(), Wish::Nothing);
    }
}
