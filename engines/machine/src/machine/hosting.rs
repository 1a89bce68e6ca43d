//! Devices that applications are: how they come to a machine, stop and go on with it, and go.
//!
//! The application listens at a socket that lies in what QEMU sees and nowhere else, for the moment in which QEMU connects.

use std::{os::fd::AsFd, os::fd::OwnedFd, path::PathBuf};

use hcs_container::process;
use hcs_core::{Cause, Error};
use hcs_schema::{Guid, VirtualDeviceFailureDetail};
use rustix::{
    fs::{AtFlags, CWD, Uid},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use serde_json::Value;

use super::{Machine, Running, sharing};
use crate::{
    change::PATH,
    devices,
    hosts::DeviceHosts,
    plan::{HostedDevice, Plan, hosted},
};

/// Where QEMU sees the sockets. Nobody else sees that.
pub(super) const PLACE: &str = "/devices";

/// The first QEMU that takes devices of others, major and minor.
const OLDEST: [u64; 2] = [10, 1];

impl Machine {
    /// Adds a device of an application.
    pub(super) fn add_hosted(&mut self, device: &HostedDevice) -> Result<(), Error> {
        if self.plan.hosted.iter().any(|other| other.instance == device.instance) {
            let detail = format!("the machine has a device {} already", device.instance);
            return Err(Error::new(Cause::AlreadyExists, detail).at(PATH));
        }
        let device = HostedDevice { slot: self.plan.free_slot()?, ..device.clone() };
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
    /// with a device that nobody answers for.
    pub fn give_up_hosted(&mut self, instance: Guid) {
        let Ok(device) = self.hosted(instance) else { return };
        if let Some(Err(error)) = self.running.as_mut().map(|running| running.unplug(&device)) {
            eprintln!("hcs-worker: taking the device {instance} away: {error}");
        }
    }

    /// The processors have stopped.
    pub(super) fn stop_hosted(&mut self) {
        for device in &self.plan.hosted {
            self.hosts.stop(device.instance);
        }
    }

    /// They are about to go on. A device whose application is gone is what the guest has to live with.
    pub(super) fn start_hosted(&mut self) -> Result<(), Error> {
        let Machine { plan, hosts, .. } = self;
        for (index, device) in plan.hosted.iter().enumerate() {
            if !hosts.has(device.instance) {
                continue;
            }
            if let Err(error) = hosts.start(device.instance) {
                plan.hosted[..index].iter().for_each(|started| hosts.stop(started.instance));
                return Err(about(error, device, VirtualDeviceFailureDetail::Resume));
            }
        }
        Ok(())
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
            let started = hosts.start(device.instance);
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
        let (socket, listener) =
            self.listen_for(device.slot, user).map_err(|error| about(error, device, Create))?;
        let plug = || -> Result<(), Error> {
            hosts.serve(device, listener).map_err(|error| about(error, device, Initialize))?;
            let started = if runs { hosts.start(device.instance) } else { Ok(()) };
            let plugged = match started {
                Err(error) => Err(about(error, device, PowerOnCold)),
                Ok(()) => {
                    let asked = self.qmp.run("device_add", devices::hosted(device.slot, &place(device.slot)));
                    asked.map(|_: Value| ()).map_err(|error| about(error, device, Create))
                }
            };
            plugged.inspect_err(|_| hosts.remove(device.instance))
        };
        let plugged = plug();
        // It has done what it was for.
        let _ = rustix::fs::unlink(&socket);
        plugged
    }

    /// A socket where QEMU finds it, and who listens there.
    fn listen_for(&self, slot: u32, user: u32) -> Result<(PathBuf, OwnedFd), Error> {
        let failed = |errno: Errno| {
            Error::from_errno(errno.raw_os_error(), "making a socket between QEMU and an application")
        };
        let Some(qemu) = process::number(self.pidfd.as_fd()) else {
            return Err(Error::new(Cause::Unexpected, "QEMU has ended"));
        };
        let path = PathBuf::from(format!("/proc/{qemu}/root{}", place(slot)));
        let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).map_err(failed)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).map_err(failed)?).map_err(failed)?;
        let shown =
            rustix::fs::chownat(CWD, &path, Some(Uid::from_raw(user)), None, AtFlags::SYMLINK_NOFOLLOW)
                .and_then(|()| rustix::net::listen(&socket, 1));
        shown.map_err(|errno| {
            let _ = rustix::fs::unlink(&path);
            failed(errno)
        })?;
        Ok((path, socket))
    }
}

/// Where QEMU finds the socket of the device at this place.
fn place(slot: u32) -> String {
    format!("{PLACE}/{slot}")
}

/// What failed, and for which device.
fn about(error: Error, device: &HostedDevice, phase: VirtualDeviceFailureDetail) -> Error {
    let error = error.of_device(device.failure(phase));
    match error.path {
        Some(_) => error,
        None => error.at(&device.blame),
    }
}
