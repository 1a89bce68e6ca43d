//! The few requests of rtnetlink that networks of containers need, and adapters of a machine that the agent in it sets
//! up. Here are interfaces; [`routing`] has their addresses and the ways from them.
//!
//! Written by hand: they fit into two files, and the crates for it bring a whole model of the protocol into a worker
//! that is to stay small.

pub mod routing;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice},
};

/// A conversation with the network of the namespace in which it was begun.
pub struct Netlink {
    socket: OwnedFd,
}

/// The other end of a pair of interfaces.
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a str,
    /// The namespace in which it is.
    pub namespace: BorrowedFd<'a>,
}

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;

impl Netlink {
    /// Begins one.
    pub fn open() -> Result<Netlink, Errno> {
        let flags = SocketFlags::CLOEXEC;
        // The family of routes and links has the number 0.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Netlink { socket })
    }

    /// Makes a bridge and brings it up.
    pub fn add_bridge(&self, name: &str) -> Result<(), Errno> {
        let mut request = link(true);
        request.text(IFLA_IFNAME, name);
        request.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        self.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Makes a pair of interfaces, this end up and at a bridge.
    pub fn add_pair(&self, name: &str, bridge: u32, peer: &Peer<'_>) -> Result<(), Errno> {
        let mut request = link(true);
        request.text(IFLA_IFNAME, name);
        request.bytes(IFLA_MASTER, &bridge.to_ne_bytes());
        request.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth");
            info.nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |end| {
                    end.append(&link(false));
                    end.text(IFLA_IFNAME, peer.name);
                    end.bytes(IFLA_NET_NS_FD, &peer.namespace.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Brings an interface up.
    pub fn bring_up(&self, name: &str) -> Result<(), Errno> {
        let mut request = link(true);
        request.text(IFLA_IFNAME, name);
        self.ask(RTM_NEWLINK, 0, request)
    }

    /// Takes an interface down, and with it the routes over it.
    pub fn take_down(&self, name: &str) -> Result<(), Errno> {
        let mut request = link(true);
        // That it is meant stays, what it is to be does not.
        request.0[8..12].fill(0);
        request.text(IFLA_IFNAME, name);
        self.ask(RTM_NEWLINK, 0, request)
    }

    /// Says how long a packet of an interface may be.
    pub fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), Errno> {
        let mut request = link(false);
        request.text(IFLA_IFNAME, name);
        request.bytes(IFLA_MTU, &mtu.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, request)
    }

    /// Puts an interface at a bridge, and brings it up.
    pub fn attach(&self, name: &str, bridge: u32) -> Result<(), Errno> {
        let mut request = link(true);
        request.text(IFLA_IFNAME, name);
        request.bytes(IFLA_MASTER, &bridge.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, request)
    }

    /// Has an interface say something of itself.
    pub fn set_alias(&self, name: &str, alias: &str) -> Result<(), Errno> {
        let mut request = link(false);
        request.text(IFLA_IFNAME, name);
        request.text(IFLA_IFALIAS, alias);
        self.ask(RTM_NEWLINK, 0, request)
    }

    /// Moves an interface into another namespace, where it has another name. It goes down on the way, and loses what it was given.
    pub fn move_to(&self, name: &str, namespace: BorrowedFd<'_>, new_name: &str) -> Result<(), Errno> {
        let mut request = link(false);
        request.0[4..8].copy_from_slice(&self.index(name)?.to_ne_bytes());
        request.text(IFLA_IFNAME, new_name);
        request.bytes(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, request)
    }

    /// Removes an interface.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        let mut request = link(false);
        request.text(IFLA_IFNAME, name);
        self.ask(RTM_DELLINK, 0, request)
    }

    /// The number of an interface.
    pub fn index(&self, name: &str) -> Result<u32, Errno> {
        netdevice::name_to_index(self.socket.as_fd(), name)
    }

    fn ask(&self, kind: u16, flags: u16, body: Request) -> Result<(), Errno> {
        const HEADER: usize = 16;
        let mut message = Vec::with_capacity(HEADER + body.0.len());
        message.extend(((HEADER + body.0.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body.0);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        let mut reply = [0; 4096];
        let (length, _) = rustix::net::recv(&self.socket, &mut reply, RecvFlags::empty())?;
        // Each request is answered by exactly one acknowledgement, which is an error message with the number 0.
        let reply = &reply[..length];
        let is_answer = reply.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes()[..]);
        match reply.get(HEADER..HEADER + 4).and_then(|code| code.try_into().ok()).filter(|_| is_answer) {
            Some(code) => match i32::from_ne_bytes(code) {
                0 => Ok(()),
                code => Err(Errno::from_raw_os_error(-code)),
            },
            None => Err(Errno::PROTO),
        }
    }
}

/// What begins a request about an interface that its name tells.
fn link(up: bool) -> Request {
    let up = if up { IFF_UP } else { 0 };
    let mut request = Request::default();
    request.0.extend([0; 8]);
    request.0.extend(up.to_ne_bytes());
    request.0.extend(up.to_ne_bytes());
    request
}

/// A request without its header.
#[derive(Default)]
struct Request(Vec<u8>);

impl Request {
    fn append(&mut self, other: &Request) {
        self.0.extend(&other.0);
    }

    fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat());
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) {
        let mut inner = Request::default();
        fill(&mut inner);
        self.bytes(kind, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_bytes_and_count_their_own_length() {
        let mut request = Request::default();
        request.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "veth"));
        let text = [9, 0, 1, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0];
        assert_eq!(request.0, [&[16, 0, 18, 0], &text[..]].concat());
    }
}
