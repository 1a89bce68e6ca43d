//! Devices that come to a machine and go from it. What cannot be completed is taken back. The plan says at every moment
//! what the machine has.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
};

use hcs_core::{Cause, Error};
use serde_json::{Value, json};

use super::{Machine, Running};
use crate::{
    change::PATH,
    devices::{self, Layout},
    files, host_socket, links,
    plan::{Adapter, Disk, HostedDevice, MappedPipe, adapters},
};

/// What comes behind a device that goes.
pub enum Then {
    /// Nothing.
    Nothing,
    /// Another adapter in its place.
    Plug(Adapter),
    /// Another disk in its place.
    Attach {
        /// The number of its controller.
        controller: usize,
        /// The disk.
        disk: Disk,
        /// What it is, open.
        file: (File, Layout),
    },
}

/// QEMU knows a descriptor by this name until it is used.
pub(super) const HANDED_OVER: &str = "new";

impl Machine {
    /// Attaches a disk.
    pub(super) fn attach_disk(&mut self, controller: usize, disk: &Disk) -> Result<(), Error> {
        if self.running.is_none() {
            self.plan.controllers[controller].disks.push(disk.clone());
            return Ok(());
        }
        let file = files::medium(&self.plan.host, disk)?;
        self.attach_open_disk(controller, disk, &file)
    }

    /// Attaches a disk that is open.
    pub(super) fn attach_open_disk(
        &mut self,
        controller: usize,
        disk: &Disk,
        file: &(File, Layout),
    ) -> Result<(), Error> {
        self.running()?.attach(controller, disk, file)?;
        self.plan.controllers[controller].disks.push(disk.clone());
        Ok(())
    }

    /// Plugs an adapter into a free place.
    pub(super) fn add_adapter(&mut self, adapter: &Adapter) -> Result<(), Error> {
        if self.adapter(&adapter.key).is_ok() {
            let detail = format!("the machine has an adapter {:?} already", adapter.key);
            return Err(Error::new(Cause::AlreadyExists, detail).at(PATH));
        }
        let taken = |slot: &u32| self.plan.adapters.iter().any(|other| other.slot == *slot);
        let Some(slot) = (0..adapters::MOST).find(|slot| !taken(slot)) else {
            let detail = format!("the machine has {} adapters, which is the most", adapters::MOST);
            return Err(Error::new(Cause::NotSupported, detail).at(PATH));
        };
        let adapter = Adapter { slot, ..adapter.clone() };
        if let Some(running) = &mut self.running {
            let (socket, speaker) = links::open(&adapter, &self.plan.host, &self.cgroup)?;
            running.plug(&adapter, socket.as_ref().map(AsFd::as_fd))?;
            running.speakers.extend(speaker);
        }
        self.plan.adapters.push(adapter);
        Ok(())
    }

    /// Plugs the cable of an adapter in, or pulls it out.
    pub(super) fn connect_adapter(&mut self, key: &str, connected: bool) -> Result<(), Error> {
        let adapter = self.adapter(key)?;
        if connected && adapter.link == crate::plan::Link::None {
            let detail = "the adapter is attached to nothing that it could be connected to";
            return Err(Error::new(Cause::NotSupported, detail).at("$.Settings.ConnectionState"));
        }
        let slot = adapter.slot;
        if let Some(running) = &mut self.running {
            running.connect(slot, connected)?;
        }
        self.adapter(key)?.connected = connected;
        Ok(())
    }

    /// Makes a socket of somebody on the host a port of the guest.
    pub(super) fn map_pipe(&mut self, socket: &str) -> Result<(), Error> {
        let at = |error: Error| error.at(PATH);
        if self.plan.pipes.iter().any(|pipe| pipe.socket == socket) {
            let detail = format!("{socket} is a port of the machine already");
            return Err(at(Error::new(Cause::AlreadyExists, detail)));
        }
        let number = self.plan.pipes.iter().map(|pipe| pipe.number + 1).max().unwrap_or(0);
        let pipe = MappedPipe { socket: socket.to_owned(), number };
        let host = self.plan.host.clone();
        let running = self.running()?;
        let connected = host_socket::connect(&host, socket).map_err(at)?;
        running.map_pipe(&pipe, connected.as_fd()).map_err(at)?;
        self.plan.pipes.push(pipe);
        Ok(())
    }

    /// Whether the machine has this device.
    pub(super) fn has(&self, device: &str) -> bool {
        let mut disks = self.plan.controllers.iter().enumerate().flat_map(|(index, controller)| {
            controller.disks.iter().map(move |disk| devices::disk_id(index, disk.lun))
        });
        disks.any(|id| id == device)
            || self.plan.shared.iter().any(|region| devices::shared_id(region.slot) == device)
            || self.plan.pipes.iter().any(|pipe| devices::pipe_id(pipe.number) == device)
            || self.plan.hosted.iter().any(|hosted| devices::hosted_id(hosted.slot) == device)
            || self.plan.adapters.iter().any(|adapter| devices::adapter_id(adapter.slot) == device)
    }

    /// A device is gone: what was behind it goes too.
    pub(super) fn forget(&mut self, device: &str) {
        for (index, controller) in self.plan.controllers.iter_mut().enumerate() {
            controller.disks.retain(|disk| devices::disk_id(index, disk.lun) != device);
        }
        let slots: Vec<u32> = self.plan.adapters.iter().map(|adapter| adapter.slot).collect();
        self.plan.adapters.retain(|adapter| devices::adapter_id(adapter.slot) != device);
        let (shared, pipes) = (self.plan.shared.len(), self.plan.pipes.len());
        self.plan.pipes.retain(|pipe| devices::pipe_id(pipe.number) != device);
        self.plan.shared.retain(|region| devices::shared_id(region.slot) != device);
        let is_it = |hosted: &mut HostedDevice| devices::hosted_id(hosted.slot) == device;
        for hosted in self.plan.hosted.extract_if(.., is_it) {
            // One whose application is gone has failed, and that is remembered.
            if self.hosts.has(hosted.instance) {
                self.hosts.remove(hosted.instance);
            }
        }
        let Some(running) = &mut self.running else { return };
        if self.plan.pipes.len() < pipes {
            let _ = running.qmp.run("chardev-remove", json!({"id": device}));
        }
        if self.plan.shared.len() < shared {
            let _ = running.qmp.run("object-del", json!({"id": devices::behind(device)}));
        }
        if let Some(set) = running.sets.remove(device) {
            running.drop_node(device, set);
        }
        if let Some(slot) = slots.into_iter().find(|slot| devices::adapter_id(*slot) == device) {
            // One that is attached to nothing has nothing behind it.
            let _ = running.qmp.run("netdev_del", json!({"id": devices::peer_id(slot)}));
            running.speakers.retain(|speaker| speaker.slot != slot);
        }
    }
}

/// What came of asking for a device to go.
pub(super) enum Deletion {
    /// The guest is asked.
    Asked,
    /// QEMU has no such device.
    NotThere,
    /// It could not be asked.
    Failed(Error),
}

impl Deletion {
    /// What QEMU's answer says.
    pub(super) fn of(answer: Result<Value, Error>) -> Deletion {
        match answer {
            Ok(_) => Deletion::Asked,
            // The guest was asked before, and is asked once more by that.
            Err(error) if error.detail.contains("in the process of unplug") => Deletion::Asked,
            Err(error) if error.detail.contains("not found") => Deletion::NotThere,
            Err(error) => Deletion::Failed(error),
        }
    }
}

impl Running {
    /// Asks the guest to let a device go.
    pub(super) fn unplug(&mut self, device: &str) -> Result<(), Error> {
        match Deletion::of(self.qmp.run("device_del", json!({"id": device}))) {
            Deletion::Asked => Ok(()),
            // It has gone by itself, which was told before.
            Deletion::NotThere => {
                Err(Error::new(Cause::NotFound, "the guest has let the device go already").at(PATH))
            }
            Deletion::Failed(error) => Err(error),
        }
    }

    fn attach(
        &mut self,
        controller: usize,
        disk: &Disk,
        (file, layout): &(File, Layout),
    ) -> Result<(), Error> {
        let id = devices::disk_id(controller, disk.lun);
        let set = self.give_file(file.as_fd())?.set;
        let node = devices::node(&id, disk, *layout, set);
        let made = self
            .qmp
            .run("blockdev-add", node)
            .and_then(|_| self.qmp.run("device_add", devices::disk(&id, controller, disk, false)));
        match made {
            Ok(_) => {
                self.sets.insert(id, set);
                Ok(())
            }
            Err(error) => {
                self.drop_node(&id, set);
                Err(error.at(&disk.blame))
            }
        }
    }

    /// What was behind a disk. It may be there in part.
    fn drop_node(&mut self, id: &str, set: i64) {
        let _ = self.qmp.run("blockdev-del", json!({"node-name": id}));
        self.take_file_back(set);
    }

    fn plug(&mut self, adapter: &Adapter, socket: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let peer = devices::peer(adapter, HANDED_OVER).zip(socket);
        if let Some((peer, socket)) = &peer {
            self.hand_over(*socket)?;
            self.qmp.run("netdev_add", peer.clone()).inspect_err(|_| self.take_back())?;
        }
        let plugged = self.qmp.run("device_add", devices::adapter(adapter, false)).map(|_| ());
        let plugged = plugged.and_then(|()| match adapter.connected {
            true => Ok(()),
            false => self.connect(adapter.slot, false),
        });
        plugged.inspect_err(|_| {
            let _ = self.qmp.run("device_del", json!({"id": devices::adapter_id(adapter.slot)}));
            let _ = self.qmp.run("netdev_del", json!({"id": devices::peer_id(adapter.slot)}));
        })
    }

    fn map_pipe(&mut self, pipe: &MappedPipe, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let id = devices::pipe_id(pipe.number);
        self.hand_over(socket)?;
        let behind = json!({"id": id, "backend": devices::behind_pipe(HANDED_OVER)});
        self.qmp.run("chardev-add", behind).inspect_err(|_| self.take_back())?;
        self.qmp.run("device_add", devices::pipe(&id, pipe.name())).map(|_| ()).inspect_err(|_| {
            let _ = self.qmp.run("chardev-remove", json!({"id": id}));
        })
    }

    /// Gives QEMU a descriptor.
    pub(super) fn hand_over(&mut self, descriptor: BorrowedFd<'_>) -> Result<(), Error> {
        self.qmp.run_with("getfd", json!({"fdname": HANDED_OVER}), Some(descriptor)).map(|_| ())
    }

    /// What nobody has used.
    pub(super) fn take_back(&mut self) {
        let _ = self.qmp.run("closefd", json!({"fdname": HANDED_OVER}));
    }
}
