//! Devices that applications are: how they come to a machine, stop and go on with it, and go.
//!
//! The application listens at a socket that lies in what QEMU sees and nowhere else, for the moment in which QEMU connects.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use hcs_container::process;
use hcs_core::{Cause, Error};
use hcs_schema::{Guid, VirtualDeviceFailureDetail};
use rustix::{
    fs::{AtFlags, Mode, OFlags, Uid},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use serde_json::{Value, json};

use super::{Machine, Running, hotplug::Deletion, sharing};
use crate::{
    change::PATH,
    device_hosts::{DeviceHosts, NotStarted},
    devices,
    plan::{HostedDevice, Plan, hosted},
};

/// Where QEMU sees the sockets. Nobody else sees that.
pub(super) const PLACE: &str = "/devices";

/// The first QEMU that takes devices of others, major and minor.
const OLDEST: [u64; 2] = [10, 1];

/// How long QEMU may take to hear that a device goes. It has been asked something that takes longer if it takes longer.
const TO_DELETE: Duration = Duration::from_secs(2);

impl Machine {
    /// Adds a device of an application.
    pub(super) fn add_hosted(&mut self, device: &HostedDevice) -> Result<(), Error> {
        if self.plan.hosted.iter().any(|other| other.instance == device.instance) {
            let detail = format!("the machine has a device {} already", device.instance);
            return Err(Error::new(Cause::AlreadyExists, detail).at(PATH));
        }
        hosted::check_rights(&self.plan, device)?;
        let device = HostedDevice { slot: self.free_slot()?, ..device.clone() };
        match &mut self.running {
            None => hosted::check_not_restored(&self.plan, &device)?,
            Some(running) => {
                if running.memory.is_private {
                    return Err(sharing::not_for_clones("takes no devices of applications", PATH));
                }
                running.check_takes_hosted(&device)?;
                running.plug_hosted(&device, self.plan.host.user, &mut *self.hosts, !self.is_frozen)?;
            }
        }
        self.plan.hosted.push(device);
        Ok(())
    }

    /// The name of the device of this instance.
    pub(super) fn hosted(&self, instance: Guid) -> Result<String, Error> {
        let found = self.plan.hosted.iter().find(|device| device.instance == instance);
        found.map(|device| devices::hosted_id(device.slot)).ok_or_else(|| {
            Error::new(Cause::NotFound, format!("the machine has no device {instance}")).at(PATH)
        })
    }

    /// The application of a device is gone: the guest is asked to let the device go. QEMU does not outlive a reset of the guest
    /// with a device that nobody answers for. False if it could not be asked.
    pub fn give_up_hosted(&mut self, instance: Guid) -> bool {
        let Ok(device) = self.hosted(instance) else { return true };
        let Some(running) = &mut self.running else { return true };
        match running.delete(&device) {
            Deletion::Asked => true,
            Deletion::NotThere => {
                self.forget(&device);
                true
            }
            Deletion::Failed(error) => {
                hcs_core::complain!("hcs-worker: taking the device {instance} away: {error}");
                false
            }
        }
    }

    /// The processors have stopped.
    pub(super) fn stop_hosted(&mut self) {
        let instances: Vec<Guid> = self.plan.hosted.iter().map(|device| device.instance).collect();
        self.hosts.stop(&instances);
    }

    /// They are about to go on. A device whose application is gone is what the guest has to live with, and so is one that is
    /// not started in time.
    pub(super) fn start_hosted(&mut self) -> Result<(), Error> {
        let Machine { plan, hosts, .. } = self;
        let there: Vec<&HostedDevice> =
            plan.hosted.iter().filter(|device| hosts.has(device.instance)).collect();
        let instances: Vec<Guid> = there.iter().map(|device| device.instance).collect();
        let mut refused = None;
        for (device, started) in there.iter().zip(hosts.start(&instances)) {
            match started {
                Ok(()) => {}
                Err(NotStarted { error, is_silent: true }) => hosts.fail(device.instance, &error.detail),
                Err(NotStarted { error, .. }) => {
                    refused.get_or_insert(about(error, device, VirtualDeviceFailureDetail::Resume));
                }
            }
        }
        refused.map_or(Ok(()), |error| {
            hosts.stop(&instances);
            Err(error)
        })
    }

    /// A place for one more device. Those of which QEMU may still make something are asked for once more.
    fn free_slot(&mut self) -> Result<u32, Error> {
        let Some(running) = &mut self.running else { return self.plan.free_slot(&BTreeSet::new()) };
        for slot in running.doubtful.clone() {
            match running.delete(&devices::hosted_id(slot)) {
                Deletion::NotThere => _ = running.doubtful.remove(&slot),
                Deletion::Asked => {}
                Deletion::Failed(_) => break,
            }
        }
        self.plan.free_slot(&running.doubtful)
    }
}

impl Running {
    /// Gives a machine that has not run yet the devices that it begins with. Who fails takes nothing back.
    pub(super) fn begin_hosted(&mut self, plan: &Plan, hosts: &mut dyn DeviceHosts) -> Result<(), Error> {
        let Some(first) = plan.hosted.first() else { return Ok(()) };
        self.check_takes_hosted(first)?;
        for device in &plan.hosted {
            self.plug_hosted(device, plan.host.user, hosts, false)?;
        }
        for device in &plan.hosted {
            let started = start(hosts, device.instance);
            started.map_err(|error| about(error, device, VirtualDeviceFailureDetail::PowerOnCold))?;
        }
        Ok(())
    }

    fn check_takes_hosted(&self, device: &HostedDevice) -> Result<(), Error> {
        if self.version >= OLDEST {
            return Ok(());
        }
        let ([major, minor], [oldest_major, oldest_minor]) = (self.version, OLDEST);
        let detail = format!(
            "found QEMU {major}.{minor}, expected {oldest_major}.{oldest_minor} or newer for devices of applications"
        );
        Err(Error::new(Cause::NotSupported, detail)
            .at(&device.blame)
            .hint("Install a newer one, or say where it is: hcsd --qemu."))
    }

    /// Has an application be the device, and plugs it in; where the guest runs it is started before. What fails is taken back.
    fn plug_hosted(
        &mut self,
        device: &HostedDevice,
        user: u32,
        hosts: &mut dyn DeviceHosts,
        runs: bool,
    ) -> Result<(), Error> {
        use VirtualDeviceFailureDetail::{Create, Initialize, PowerOnCold};
        let (folder, listener) =
            self.listen_for(device.slot, user).map_err(|error| about(error, device, Create))?;
        let plug = || -> Result<(), Error> {
            hosts.serve(device, listener).map_err(|error| about(error, device, Initialize))?;
            let started = if runs { start(hosts, device.instance) } else { Ok(()) };
            let plugged = match started {
                Err(error) => Err(about(error, device, PowerOnCold)),
                Ok(()) => self.add_device(device.slot).map_err(|error| about(error, device, Create)),
            };
            plugged.inspect_err(|_| hosts.remove(device.instance))
        };
        let plugged = plug();
        // It has done what it was for.
        let _ = rustix::fs::unlinkat(&folder, device.slot.to_string(), AtFlags::empty());
        plugged
    }

    /// Has QEMU make a device of the application that listens. With that it shows it the memory, which the application may keep:
    /// nothing that becomes of the memory later must hurt it.
    fn add_device(&mut self, slot: u32) -> Result<(), Error> {
        if !self.has_shown_memory {
            self.memory.seal()?;
            self.has_shown_memory = true;
        }
        let made: Result<Value, Error> = self.qmp.run("device_add", devices::hosted(slot, &place(slot)));
        made.map(|_| ()).inspect_err(|_| {
            // It has refused, or has not answered and may make it yet: then the place is nobody else's.
            if !matches!(self.delete(&devices::hosted_id(slot)), Deletion::NotThere) {
                self.doubtful.insert(slot);
            }
        })
    }

    /// Has QEMU ask the guest to let a device go.
    fn delete(&mut self, device: &str) -> Deletion {
        Deletion::of(self.qmp.run_within("device_del", json!({"id": device}), TO_DELETE))
    }

    /// A folder where QEMU finds the socket of the device at this place, and who listens there.
    fn listen_for(&self, slot: u32, user: u32) -> Result<(OwnedFd, OwnedFd), Error> {
        let failed = |errno: Errno| {
            Error::from_errno(errno.raw_os_error(), "making a socket between QEMU and an application")
        };
        let ended = || Error::new(Cause::UnexpectedExit, "QEMU has ended");
        let number = || {
            let number = process::look_up(self.pidfd.as_fd()).map_err(failed)?;
            number.ok_or_else(ended)
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(format!("/proc/{}/root{PLACE}", number()?), flags, Mode::empty());
        // Otherwise the number may have been somebody else's by then, or nobody's.
        number()?;
        let folder = folder.map_err(|errno| match errno {
            // Of one that nobody has buried yet nothing is seen.
            Errno::NOENT => ended(),
            errno => failed(errno),
        })?;
        let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).map_err(failed)?;
        let (name, user) = (slot.to_string(), Uid::from_raw(user));
        let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        rustix::net::bind(&socket, &SocketAddrUnix::new(path).map_err(failed)?).map_err(failed)?;
        let shown = rustix::fs::chownat(&folder, &name, Some(user), None, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| rustix::net::listen(&socket, 1));
        shown.map_err(|errno| {
            let _ = rustix::fs::unlinkat(&folder, &name, AtFlags::empty());
            failed(errno)
        })?;
        Ok((folder, socket))
    }
}

/// Starts one device.
fn start(hosts: &mut dyn DeviceHosts, instance: Guid) -> Result<(), Error> {
    let started = hosts.start(&[instance]).pop().unwrap_or(Ok(()));
    started.map_err(|NotStarted { error, .. }| error)
}

/// Where QEMU finds the socket of the device at this place.
fn place(slot: u32) -> String {
    format!("{PLACE}/{slot}")
}

/// What failed, and for which device.
fn about(error: Error, device: &HostedDevice, phase: VirtualDeviceFailureDetail) -> Error {
    error.of_device(device.failure(phase)).or_at(&device.blame)
}
