//! Who may use the service: root, the service's own user, and a group, `hcs` if not told otherwise.
#![expect(unsafe_code, reason = "SO_PEERGROUPS is not in rustix")]

use std::os::fd::{AsFd, AsRawFd};

use hcs_ipc::socket::Peer;

/// The rule of access, made once at the start.
pub struct Access {
    own_uid: u32,
    group: Option<u32>,
}

impl Access {
    /// Looks the group up.
    pub fn new(name: &str) -> Access {
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let group = groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
        });
        if group.is_none() {
            tracing::info!(name, "there is no such group; root alone may use the service");
        }
        Access { own_uid: rustix::process::geteuid().as_raw(), group }
    }

    /// The group's number, for the rights of the socket file.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Whether the process at the other end of a socket may use the service.
    pub fn allows(&self, peer: Peer, socket: impl AsFd) -> bool {
        peer.uid == 0
            || peer.uid == self.own_uid
            || self.group.is_some_and(|group| peer.gid == group || groups_of_peer(socket).contains(&group))
    }
}

/// The supplementary groups of the process at the other end, as they were when it connected.
fn groups_of_peer(socket: impl AsFd) -> Vec<u32> {
    let mut groups = vec![0u32; 1024];
    let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
    // SAFETY: the buffer is as long as `length` says, and the kernel writes no more than that; the descriptor
    // is borrowed for the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    groups.truncate(if result == 0 { length as usize / size_of::<u32>() } else { 0 });
    groups
}
