//! Serves the sensor to whoever speaks vfio-user at a socket: a QEMU that somebody else has started, Cloud Hypervisor.
//!
//! ```text
//! cargo run -p hdv --example sensor_device -- SOCKET
//! qemu-system-x86_64 ... -device '{"driver":"vfio-user-pci","rombar":0,"socket":{"type":"unix","path":"SOCKET"}}'
//! ```

use std::{error::Error, io::Read, os::unix::net::UnixListener};

use hdv::{DeviceHost, Guid};

mod sensor;

use sensor::Sensor;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(path) = std::env::args().nth(1) else { return Err("at which socket?".into()) };
    let table = rustix::fs::memfd_create(
        "table",
        rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING,
    )?;
    rustix::fs::ftruncate(&table, 4096)?;
    let host = DeviceHost::standalone();
    let told = |what| println!("{what}");
    host.create(Guid::NIL, Guid::NIL, |device| Sensor::new(device, table, told))?;
    host.serve(Guid::NIL, &[], UnixListener::bind(&path)?.into())?;
    // Such a monitor says nothing of its processors.
    host.start(Guid::NIL)?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    host.teardown();
    std::fs::remove_file(path)?;
    Ok(())
}
