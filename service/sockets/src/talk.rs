//! What QEMU says: one request after the other, each with its descriptors. Who says half a request holds up his own sockets only.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_vhost::{
    Broken,
    message::{HEADER, Header, MOST_REGIONS, Request},
};
use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
};

/// The connection.
pub struct Talk(OwnedFd);

/// Why there is no more to be heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// QEMU is gone.
    HungUp,
    /// It says what cannot be.
    Broken(Broken),
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Over {
        Over::Broken(broken)
    }
}

impl Talk {
    /// By this socket.
    pub fn by(socket: OwnedFd) -> Talk {
        Talk(socket)
    }

    /// Hears a request, with the descriptors that came with it.
    pub fn hear(&self) -> Result<(Header, Request, Vec<OwnedFd>), Over> {
        let (mut bytes, mut files) = ([0; HEADER], Vec::new());
        self.fill(&mut bytes, &mut files)?;
        let header = Header::read(&bytes)?;
        let mut body = vec![0; header.size];
        self.fill(&mut body, &mut files)?;
        let request = header.request(&body)?;
        Ok((header, request, files))
    }

    fn fill(&self, mut place: &mut [u8], files: &mut Vec<OwnedFd>) -> Result<(), Over> {
        while !place.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_REGIONS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(place)];
            let heard = rustix::net::recvmsg(&self.0, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    files.extend(rights);
                }
            }
            if files.len() > MOST_REGIONS {
                return Err(Broken("QEMU gives more descriptors than it may").into());
            }
            match heard {
                Ok(heard) if heard.bytes > 0 => place = &mut place[heard.bytes..],
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return Err(Over::HungUp),
            }
        }
        Ok(())
    }

    /// Answers. It is little, and QEMU waits for it.
    pub fn answer(&self, mut bytes: &[u8]) -> Result<(), Over> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.0, bytes) {
                Ok(said) => bytes = &bytes[said..],
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over::HungUp),
            }
        }
        Ok(())
    }
}

impl AsFd for Talk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
