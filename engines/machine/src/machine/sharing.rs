//! Folders that come to a machine and go from it. The device by which the guest has them comes with the first.

use hcs_container::shares::SharedFolder;
use hcs_core::{Cause, Error};
use serde_json::json;

use super::{Machine, Running};
use crate::{change::PATH, devices, shares::Server};

impl Machine {
    /// Shares a folder.
    pub(super) fn add_share(&mut self, share: &SharedFolder) -> Result<(), Error> {
        let shares = self.plan.shares.as_ref().ok_or_else(not_prepared)?;
        if shares.iter().any(|other| other.name == share.name) {
            let detail = format!("the machine has a share {:?} already", share.name);
            return Err(Error::new(Cause::AlreadyExists, detail).at("$.Settings.AccessName"));
        }
        if let Some(running) = &mut self.running {
            if running.memory.is_private {
                return Err(not_for_clones("shares no folders", "$.VirtualMachine.Devices.Plan9"));
            }
            if running.server.is_none() {
                let (socket, server) = Server::start(&self.plan.host, &self.cgroup)?;
                running.plug_shares(&socket)?;
                running.server = Some(server);
            }
            if let Some(server) = &mut running.server {
                server.add(share)?;
            }
        }
        self.plan.shares.get_or_insert_default().push(share.clone());
        Ok(())
    }

    /// Shares it no more.
    pub(super) fn remove_share(&mut self, name: &str) -> Result<(), Error> {
        let shares = self.plan.shares.as_mut().ok_or_else(not_prepared)?;
        let Some(index) = shares.iter().position(|share| share.name == name) else {
            let detail = format!("the machine has no share {name:?}");
            return Err(Error::new(Cause::NotFound, detail).at("$.Settings.AccessName"));
        };
        if let Some(server) = self.running.as_mut().and_then(|running| running.server.as_mut()) {
            server.remove(&shares[index])?;
        }
        shares.remove(index);
        Ok(())
    }
}

impl Running {
    fn plug_shares(&mut self, socket: &std::os::fd::OwnedFd) -> Result<(), Error> {
        use std::os::fd::AsFd;
        self.hand_over(socket.as_fd())?;
        let behind =
            json!({"id": devices::SHARES, "backend": devices::behind_pipe(super::hotplug::HANDED_OVER)});
        self.qmp.run("chardev-add", behind).inspect_err(|_| self.take_back())?;
        self.qmp.run("device_add", devices::shares()).map(|_| ()).inspect_err(|_| {
            let _ = self.qmp.run("chardev-remove", json!({"id": devices::SHARES}));
        })
    }
}

fn not_prepared() -> Error {
    Error::new(Cause::NotConfigured, "the machine was made without a place for shares")
        .at(PATH)
        .hint("Say \"Plan9\":{} in the Devices of its document.")
}

/// Another process serves what it would have, and the memory of a clone is its QEMU's alone.
pub(super) fn not_for_clones(what: &str, at: &str) -> Error {
    Error::new(Cause::NotSupported, format!("a clone of a template {what}"))
        .at(at)
        .hint("Restore it from a file instead.")
}
