//! The exports that make and end hosts of devices, and the devices in them.
#![expect(unsafe_code, reason = "exported names")]

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hcs::Error;
use hcs_core::Cause;
use hcs_ipc::compute::HostDevices;

use super::interface::{CDevice, Interface};
use crate::{
    abi::{CGuid, Code, Context, Handle, In, Out},
    call::tell,
    system::System,
    table::{self, Object},
};

/// `HdvDeviceTypePCI`.
const PCI: u32 = 1;
/// `HdvPciDeviceInterfaceVersion1`.
const VERSION: u32 = 1;
/// `HdvDeviceHostFlagInitializeComSecurity`: there is no COM whose security could be initialised.
const INITIALIZE_COM_SECURITY: u32 = 1;

/// What an `HDV_HOST` stands for.
pub struct DeviceHost {
    host: hdv::DeviceHost,
    /// The handles of its devices; `None` once they have ended.
    devices: Mutex<Option<Vec<Handle>>>,
}

impl DeviceHost {
    /// A host at the end of this channel, whose handle goes to the caller.
    pub fn hand_out(channel: OwnedFd, place: Out<Handle>) -> Result<(), Error> {
        let host = hdv::DeviceHost::from_channel(channel)?;
        let handle = table::reserve();
        let made = DeviceHost { host, devices: Mutex::new(Some(Vec::new())) };
        table::insert(handle, Object::DeviceHost(made.into()));
        place.set(handle);
        Ok(())
    }

    /// Ends all its devices. Their handles work in the callbacks that this runs.
    fn tear_down(&self) {
        self.host.teardown();
        for device in self.devices().take().into_iter().flatten() {
            // Nobody else removes a device; one that is gone is what is wanted.
            let _ = table::remove_device(device);
        }
    }

    /// Notes a device that was made. False when the host has ended meanwhile.
    fn keep(&self, device: Handle) -> bool {
        match &mut *self.devices() {
            Some(devices) => {
                devices.push(device);
                true
            }
            None => false,
        }
    }

    fn devices(&self) -> MutexGuard<'_, Option<Vec<Handle>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the service for the channel of a host of devices.
pub fn channel(system: &System, restricted: Option<bool>) -> Result<OwnedFd, Error> {
    let call = HostDevices { handle: system.remote.get()?, restricted };
    let (reply, fds) = system.link.call_wait(&call)?;
    let place = usize::try_from(reply.channel).map_err(|_| Cause::Unexpected)?;
    fds.into_iter().nth(place).ok_or(Cause::Unexpected.into())
}

fn initialize(system: Handle, flags: u32, host: Out<Handle>) -> Code {
    tell(|| {
        let host = host.required()?;
        if flags & !INITIALIZE_COM_SECURITY != 0 {
            return Err(Cause::InvalidArgument.into());
        }
        let system = table::system(system)?;
        DeviceHost::hand_out(channel(&system, None)?, host)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvInitializeDeviceHost(system: Handle, host: Out<Handle>) -> Code {
    initialize(system, 0, host)
}

#[unsafe(no_mangle)]
extern "C" fn HdvInitializeDeviceHostEx(system: Handle, flags: u32, host: Out<Handle>) -> Code {
    initialize(system, flags, host)
}

#[unsafe(no_mangle)]
extern "C" fn HdvTeardownDeviceHost(host: Handle) -> Code {
    tell(|| {
        // It could not promise that no callback comes afterwards: one is there.
        if hdv::is_within_a_call() {
            return Err(Cause::InvalidState.into());
        }
        table::remove_device_host(host)?.tear_down();
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvCreateDeviceInstance(
    host: Handle,
    kind: u32,
    class: In<CGuid>,
    instance: In<CGuid>,
    interface: In<u32>,
    context: Context,
    device: Out<Handle>,
) -> Code {
    tell(|| {
        let place = device.required()?;
        let host = table::device_host(host)?;
        // The version comes first: of another one nothing else is known.
        if kind != PCI || interface.get()? != VERSION {
            return Err(Cause::InvalidArgument.into());
        }
        let emulated = CDevice::new(interface.cast::<Interface>().get()?, context)?;
        let (class, instance) = (class.get()?.into(), instance.get()?.into());
        let handle = table::reserve();
        let made = host.host.create(class, instance, |device| {
            // A callback can come before this function returns, and finds the handle where the caller wants it.
            table::insert(handle, Object::Device(device.into()));
            place.set(handle);
            emulated
        });
        let failed = match made {
            Ok(_) if host.keep(handle) => return Ok(()),
            Ok(_) => Cause::InvalidArgument.into(),
            Err(error) => error,
        };
        // It may not have come so far that there was a handle.
        let _ = table::remove_device(handle);
        place.clear();
        Err(failed.into())
    })
}
