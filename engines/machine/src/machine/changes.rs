//! Carries changes out. Some are complete when the guest has done its part: those wait, and are given up and taken back
//! when it does not.

use std::time::{Duration, Instant};

use hcs_core::{Cause, Error};

use super::{Machine, Running, Told, hotplug::Then};
use crate::{
    change::{Change, PATH, SETTINGS},
    devices, files, host_socket,
    plan::{Adapter, Disk, SharedRegion},
    qmp::Event,
};

/// How long a guest may take. One that boots has no drivers yet.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a change is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is.
    Done,
    /// It will be told by [`Machine::hear`].
    Waits,
}

/// A change that waits for the guest.
pub struct Wait {
    /// Who is told, if anybody is.
    ticket: Option<u64>,
    /// Until when it is waited.
    pub until: Instant,
    what: What,
}

enum What {
    /// The memory has the size that it is to have; before it had this one.
    Memory { before_mib: u64 },
    /// The device of this name is gone.
    Gone { device: String, then: Then },
}

impl Machine {
    /// Carries a change out, or begins to; `ticket` tells it from others when it is complete.
    pub fn change(&mut self, change: &Change, ticket: u64) -> Result<Progress, Error> {
        let done = match change {
            Change::Memory { mib } => return self.change_memory(*mib, ticket),
            Change::Share(share) => {
                let mut wanted = self.plan.processors.clone();
                wanted.share = *share;
                self.change_processors(wanted)
            }
            Change::Idle { processors } => {
                let mut wanted = self.plan.processors.clone();
                if *processors >= wanted.count {
                    let detail =
                        format!("found {processors}, expected fewer than the {} processors", wanted.count);
                    return Err(Error::new(Cause::InvalidData, detail).at("$.Settings.IdleProcessorCount"));
                }
                wanted.idle = *processors;
                self.change_processors(wanted)
            }
            Change::Processors { list } => {
                let done = self.running.as_ref().map_or(Ok(()), |running| running.run_on(list.as_deref()));
                done.map(|()| self.plan.processors.of_host = list.clone())
            }
            Change::AttachDisk { controller, disk, replaces } => {
                let index = self.controller(controller)?;
                let has_it = self.plan.controllers[index].disks.iter().any(|other| other.lun == disk.lun);
                match (has_it, replaces) {
                    (true, false) => Err(Error::new(
                        Cause::AlreadyExists,
                        format!("the controller has a disk {} already", disk.lun),
                    )
                    .at(PATH)),
                    (false, true) => Err(no_disk(disk.lun)),
                    (true, true) => return self.replace_disk(index, disk, ticket),
                    (false, false) => self.attach_disk(index, disk),
                }
            }
            Change::DetachDisk { controller, lun } => {
                let index = self.controller(controller)?;
                if !self.plan.controllers[index].disks.iter().any(|disk| disk.lun == *lun) {
                    return Err(no_disk(*lun));
                }
                return self.unplug(devices::disk_id(index, *lun), Then::Nothing, ticket);
            }
            Change::AddAdapter(adapter) => self.add_adapter(adapter),
            Change::ConnectAdapter { key, connected } => self.connect_adapter(key, *connected),
            Change::RemoveAdapter { key } => {
                let slot = self.adapter(key)?.slot;
                return self.unplug(devices::adapter_id(slot), Then::Nothing, ticket);
            }
            Change::AddPersistent(device) => self.add_persistent(device),
            Change::MapPersistent { number, file } => self.map_persistent(*number, file),
            Change::UnmapPersistent { number, offset } => self.unmap_persistent(*number, *offset),
            Change::AddShared(region) => self.add_shared(region),
            Change::RemoveShared { section, offset } => {
                let is_it = |region: &&SharedRegion| region.section == *section && region.offset == *offset;
                let Some(slot) = self.plan.shared.iter().find(is_it).map(|region| region.slot) else {
                    let detail = format!("the machine shares nothing of {section:?} from {offset} on");
                    return Err(Error::new(Cause::NotFound, detail).at(SETTINGS));
                };
                return self.unplug(devices::shared_id(slot), Then::Nothing, ticket);
            }
            Change::Service if self.plan.has_sockets => Ok(()),
            Change::Service => Err(Error::new(Cause::NotConfigured, "the machine was made without sockets")
                .at(PATH)
                .hint("Say \"HvSocket\":{} in the Devices of its document.")),
            Change::AddShare(share) => self.add_share(share),
            Change::RemoveShare { name, port } => self.remove_share(name, *port),
            Change::AddHosted(device) => self.add_hosted(device),
            Change::RemoveHosted { instance } => {
                let device = self.hosted(*instance)?;
                return self.unplug(device, Then::Nothing, ticket);
            }
            Change::MapPipe { socket } => self.map_pipe(socket),
            Change::UnmapPipe { socket } => {
                let Some(number) =
                    self.plan.pipes.iter().find(|pipe| pipe.socket == *socket).map(|pipe| pipe.number)
                else {
                    let detail = format!("{socket} is no port of the machine");
                    return Err(Error::new(Cause::NotFound, detail).at(PATH));
                };
                return self.unplug(devices::pipe_id(number), Then::Nothing, ticket);
            }
            Change::SerialPort { number, pipe } => {
                let before = self.plan.serial_ports[*number].clone();
                self.connect_serial_port(*number, pipe.as_ref()).map(|()| {
                    let gone = before
                        .filter(|before| Some(&before.socket) != pipe.as_ref().map(|pipe| &pipe.socket));
                    host_socket::remove(gone.iter().map(|pipe| pipe.socket.as_str()));
                    self.plan.serial_ports[*number] = pipe.clone();
                })
            }
        };
        done.map(|()| Progress::Done)
    }

    fn change_processors(&mut self, wanted: crate::plan::Processors) -> Result<(), Error> {
        self.cgroup.change_limits(&self.plan.processors.limits(), &wanted.limits())?;
        self.plan.processors = wanted;
        Ok(())
    }

    fn change_memory(&mut self, mib: u64, ticket: u64) -> Result<Progress, Error> {
        let most = self.plan.memory.boot_mib + self.plan.growth_mib();
        if mib > most {
            let detail =
                format!("found {mib}, and the machine may have {most} MiB, which is what the host has");
            return Err(Error::new(Cause::OutOfMemory, detail).at(SETTINGS));
        }
        let before_mib = self.plan.memory.mib;
        let Some(running) = &mut self.running else {
            self.plan.memory.mib = mib;
            return Ok(Progress::Done);
        };
        if self.waits.iter().any(|wait| matches!(wait.what, What::Memory { .. })) {
            return Err(Error::new(Cause::InvalidState, "the memory is being changed already"));
        }
        running.sizes.want(&mut running.qmp, mib)?;
        self.plan.memory.mib = mib;
        if running.sizes.is_reached() {
            return Ok(Progress::Done);
        }
        self.wait(Some(ticket), What::Memory { before_mib });
        Ok(Progress::Waits)
    }

    fn unplug(&mut self, device: String, then: Then, ticket: u64) -> Result<Progress, Error> {
        let Some(running) = &mut self.running else {
            self.forget(&device);
            return Ok(Progress::Done);
        };
        if let Err(error) = running.unplug(&device) {
            // One that has gone by itself: QEMU has told of that before it answered, and whoever adds it anew finds it gone.
            let is_its = |event: &Event| event.name == "DEVICE_DELETED" && event.data["device"] == device;
            for event in running.qmp.take_events(is_its) {
                self.note(&event);
            }
            return Err(error);
        }
        self.wait(Some(ticket), What::Gone { device, then });
        // A disk goes without its guest, and may have gone already.
        Ok(Progress::Waits)
    }

    fn replace_disk(&mut self, controller: usize, disk: &Disk, ticket: u64) -> Result<Progress, Error> {
        // What cannot be opened must not cost the disk that is there.
        let file = files::medium(&self.plan.host, disk)?;
        if self.running.is_none() {
            self.forget(&devices::disk_id(controller, disk.lun));
            return self.attach_disk(controller, disk).map(|()| Progress::Done);
        }
        let then = Then::Attach { controller, disk: disk.clone(), file };
        self.unplug(devices::disk_id(controller, disk.lun), then, ticket)
    }

    fn wait(&mut self, ticket: Option<u64>, what: What) {
        self.waits.push(Wait { ticket, until: Instant::now() + PATIENCE, what });
    }

    /// Gives the guest of a clone adapters of its own: those that it has believed in have the addresses of its template, and
    /// nobody hears of what they send.
    pub(super) fn replace_adapters(&mut self) -> Result<(), Error> {
        for adapter in self.plan.adapters.clone() {
            let device = devices::adapter_id(adapter.slot);
            self.running()?.unplug(&device)?;
            self.wait(None, What::Gone { device, then: Then::Plug(adapter) });
        }
        Ok(())
    }

    /// Notes an event that a change may wait for.
    pub(super) fn note(&mut self, event: &Event) {
        if let Some(running) = &mut self.running {
            running.sizes.note(event);
        }
        if event.name == "DEVICE_DELETED"
            && let Some(device) = event.data["device"].as_str()
        {
            // Also one that the guest lets go after it was given up.
            self.forget(device);
            if let Some(running) = &mut self.running {
                running.doubtful.retain(|slot| devices::hosted_id(*slot) != device);
            }
        }
    }

    /// The changes that have come to their end.
    pub(super) fn settled(&mut self) -> Vec<Told> {
        let now = Instant::now();
        let mut told = Vec::new();
        if let Some(Running { sizes, qmp, .. }) = &mut self.running
            && let Err(error) = sizes.pursue(qmp)
        {
            hcs_core::complain!("hcs-worker: the memory of the guest: {error}");
        }
        for wait in std::mem::take(&mut self.waits) {
            let is_reached = match &wait.what {
                What::Memory { .. } => self.running.as_ref().is_none_or(|running| running.sizes.is_reached()),
                What::Gone { device, .. } => !self.has(device),
            };
            let outcome = match (is_reached, wait.what) {
                (true, What::Memory { .. }) => Ok(()),
                (true, What::Gone { then: Then::Nothing, .. }) => Ok(()),
                (true, What::Gone { then: Then::Plug(adapter), .. }) => self.add_adapter(&adapter),
                (true, What::Gone { then: Then::Attach { controller, disk, file }, .. }) => {
                    self.attach_open_disk(controller, &disk, &file)
                }
                (false, what) if now < wait.until => {
                    self.waits.push(Wait { what, ..wait });
                    continue;
                }
                (false, What::Memory { before_mib }) => self.take_memory_back(before_mib),
                (false, What::Gone { device, .. }) => {
                    Err(Error::new(Cause::DeadlineExceeded, format!("the guest does not let {device} go"))
                        .at(PATH)
                        .hint("It goes when the guest lets it go, or with the machine."))
                }
            };
            match (wait.ticket, outcome) {
                (Some(ticket), outcome) => told.push(Told::Settled(ticket, outcome)),
                (None, Err(error)) => hcs_core::complain!("hcs-worker: {error}"),
                (None, Ok(())) => {}
            }
        }
        told
    }

    fn take_memory_back(&mut self, before_mib: u64) -> Result<(), Error> {
        let wanted = self.plan.memory.mib;
        let running = self.running()?;
        let has = running.sizes.seen_mib();
        running.sizes.want(&mut running.qmp, before_mib)?;
        self.plan.memory.mib = before_mib;
        let detail = format!("the guest has {has} MiB of memory and does not follow to {wanted}");
        Err(Error::new(Cause::DeadlineExceeded, detail)
            .at(SETTINGS)
            .hint("Its kernel needs the drivers virtio_mem and virtio_balloon."))
    }

    fn controller(&self, name: &str) -> Result<usize, Error> {
        let found = self.plan.controllers.iter().position(|controller| controller.is_called(name));
        found.ok_or_else(|| {
            Error::new(Cause::NotFound, format!("the machine has no controller {name:?}")).at(PATH)
        })
    }

    /// The adapter that the document calls so.
    pub(super) fn adapter(&mut self, key: &str) -> Result<&mut Adapter, Error> {
        let found = self.plan.adapters.iter_mut().find(|adapter| adapter.key.eq_ignore_ascii_case(key));
        found.ok_or_else(|| {
            Error::new(Cause::NotFound, format!("the machine has no adapter {key:?}")).at(PATH)
        })
    }
}

fn no_disk(lun: u32) -> Error {
    Error::new(Cause::NotFound, format!("the controller has no disk {lun}")).at(PATH)
}
