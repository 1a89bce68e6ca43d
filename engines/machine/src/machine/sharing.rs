//! Folders that come to a machine and go from it. The device by which the guest has them comes with the first.

use std::collections::BTreeMap;

use hcs_container::cgroup::Cgroup;
use hcs_core::{Cause, Error};
use serde_json::json;

use super::{Machine, Running};
use crate::{
    change::{PATH, SETTINGS},
    devices,
    folder_port::FolderPort,
    plan::{
        Host,
        shares::{self, FolderShare},
    },
    shares::Server,
};

impl Machine {
    /// Shares a folder.
    pub(super) fn add_share(&mut self, share: &FolderShare) -> Result<(), Error> {
        let shares = self.plan.shares.as_ref().ok_or_else(not_prepared)?;
        if shares.iter().any(|other| other.folder.name == share.folder.name) {
            let detail = format!("the machine has a share {:?} already", share.folder.name);
            return Err(Error::new(Cause::AlreadyExists, detail).at("$.Settings.AccessName"));
        }
        if let Some(port) = self.plan.port_of(share) {
            shares::check_port(port, &format!("{SETTINGS}.Port"))?;
            if let Some(running) = &mut self.running {
                serve(&mut running.ports, (&self.plan.host, &self.cgroup), port, share)
                    .map_err(|error| error.or_at(format!("{SETTINGS}.Port")))?;
            }
        } else if let Some(running) = &mut self.running {
            if running.memory.is_private {
                return Err(not_for_clones("shares no folders", "$.VirtualMachine.Devices.Plan9"));
            }
            if running.server.is_none() {
                let (socket, server) = Server::start(&self.plan.host, &self.cgroup)?;
                running.plug_shares(&socket)?;
                running.server = Some(server);
            }
            if let Some(server) = &mut running.server {
                server.add(&share.folder)?;
            }
        }
        self.plan.shares.get_or_insert_default().push(share.clone());
        Ok(())
    }

    /// Shares it no more.
    pub(super) fn remove_share(&mut self, name: &str, port: Option<u32>) -> Result<(), Error> {
        let shares = self.plan.shares.as_ref().ok_or_else(not_prepared)?;
        let Some(index) = shares.iter().position(|share| share.folder.name == name) else {
            let detail = format!("the machine has no share {name:?}");
            return Err(Error::new(Cause::NotFound, detail).at("$.Settings.AccessName"));
        };
        let share = &shares[index];
        match (self.plan.port_of(share), &mut self.running) {
            (Some(own), _) if port.is_some_and(|port| port != own) => {
                let detail = format!("the share {name:?} is at port {own}");
                return Err(Error::new(Cause::NotFound, detail).at("$.Settings.Port"));
            }
            (Some(own), Some(running)) => {
                if let Some(served) = running.ports.get_mut(&own)
                    && served.remove(&share.folder)?
                {
                    running.ports.remove(&own);
                }
            }
            (None, Some(Running { server: Some(server), .. })) => server.remove(&share.folder)?,
            _ => {}
        }
        if let Some(shares) = &mut self.plan.shares {
            shares.remove(index);
        }
        Ok(())
    }
}

/// The ports at which folders are served.
pub(super) type Ports = BTreeMap<u32, FolderPort>;

/// Serves a folder at a port, at which somebody may be served already.
pub(super) fn serve(
    ports: &mut Ports,
    (host, cgroup): (&Host, &Cgroup),
    port: u32,
    share: &FolderShare,
) -> Result<(), Error> {
    if let Some(served) = ports.get_mut(&port) {
        return served.add(&share.folder, cgroup);
    }
    let mut served = FolderPort::open(host, cgroup, port)?;
    served.add(&share.folder, cgroup)?;
    ports.insert(port, served);
    Ok(())
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
