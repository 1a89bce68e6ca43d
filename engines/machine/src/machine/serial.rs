//! Serial ports: where each is on the host, and who speaks there.
//!
//! A port is heard by one at a time, who connects to the socket that the document names or asks for a connection here. What the
//! guest says is heard beside that as one of its consoles.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_container::process;
use hcs_core::{Cause, Error};
use rustix::{io::Errno, net::sockopt};
use serde_json::{Value, json};

use super::{Machine, Running, hotplug::HANDED_OVER, start::conversation};
use crate::{
    devices::{self, Behind},
    host_socket,
    plan::Pipe,
};

impl Machine {
    /// Connects a serial port to a new socket, or to nothing.
    pub(super) fn connect_serial_port(&mut self, number: usize, pipe: Option<&Pipe>) -> Result<(), Error> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if let Some(pipe) = pipe {
            let same = self.plan.serial_ports.iter().flatten().any(|other| other.socket == pipe.socket);
            if same {
                let detail = format!("{} is the socket of a serial port already", pipe.socket);
                return Err(Error::new(Cause::AlreadyExists, detail).at(&pipe.blame));
            }
        }
        let socket = pipe.map(host_socket::listen).transpose()?;
        let behind = socket.as_ref().map_or(Behind::Nothing, |_| Behind::Listening(HANDED_OVER));
        running.put_behind(number, behind, socket.as_ref().map(AsFd::as_fd)).inspect_err(|_| {
            host_socket::remove(pipe.iter().map(|pipe| pipe.socket.as_str()));
        })
    }

    /// A connection to a serial port, for somebody who may be told no path. Who is there already keeps it.
    pub fn open_serial_port(&mut self, number: u32) -> Result<OwnedFd, Error> {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(pipe) = self.plan.serial_ports.get(at).cloned() else {
            let detail = format!("found the serial port {number}, expected 0 or 1");
            return Err(Error::new(Cause::InvalidArgument, detail));
        };
        let running = self.running()?;
        if running.is_connected(at)? {
            return Err(taken(number));
        }
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "connecting to a serial port");
        match pipe {
            Some(pipe) => match connect(&pipe.socket, process::number(running.pidfd.as_fd())) {
                // Those who wait to be let in are too many.
                Err(Errno::AGAIN) => Err(taken(number)),
                other => other.map_err(failed),
            },
            None => {
                let (ours, theirs) = conversation().map_err(failed)?;
                running.put_behind(at, Behind::Connected(HANDED_OVER), Some(theirs.as_fd()))?;
                Ok(ours)
            }
        }
    }
}

impl Running {
    /// Changes what is behind a serial port.
    fn put_behind(
        &mut self,
        number: usize,
        behind: Behind<'_>,
        socket: Option<BorrowedFd<'_>>,
    ) -> Result<(), Error> {
        if let Some(socket) = socket {
            self.hand_over(socket)?;
        }
        let behind = devices::behind_port(behind, self.log);
        let changed =
            self.qmp.run("chardev-change", json!({"id": format!("com{number}"), "backend": behind}));
        changed.map(|_: Value| ()).inspect_err(|_| self.take_back())
    }

    /// Whether somebody is connected to a serial port.
    fn is_connected(&mut self, number: usize) -> Result<bool, Error> {
        let answer = self.qmp.run("query-chardev", Value::Null)?;
        let label = format!("com{number}");
        let port = answer.as_array().into_iter().flatten().find(|port| port["label"] == label.as_str());
        let behind = port.and_then(|port| port["filename"].as_str()).unwrap_or_default();
        Ok(!behind.is_empty() && behind != "null" && !behind.starts_with("disconnected:"))
    }
}

fn taken(number: u32) -> Error {
    let detail = format!("somebody is connected to COM{} already", number + 1);
    Error::new(Cause::InUse, detail)
        .hint("A port speaks with one at a time; what it says is kept all the same.")
}

/// Connects to the socket at this path at which this QEMU listens, and to no other that has taken its place.
fn connect(path: &str, qemu: Option<u32>) -> Result<OwnedFd, Errno> {
    let socket = host_socket::connect_at_once(path)?;
    // The kernel remembers who has listened last. We have made the socket; QEMU listens there once more.
    let listens = sockopt::socket_peercred(&socket)?.pid.as_raw_nonzero().get();
    if qemu.and_then(|qemu| i32::try_from(qemu).ok()) != Some(listens) {
        return Err(Errno::CONNREFUSED);
    }
    Ok(socket)
}
