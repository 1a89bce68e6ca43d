//! The sensor as a program: a device of a machine of the service, or of any monitor that speaks vfio-user: a QEMU that somebody
//! else has started, Cloud Hypervisor.
//!
//! ```text
//! cargo run -p hdv --example sensor_device -- --machine SYSTEM INSTANCE
//! hcs device add SYSTEM hosted INSTANCE 872270e1-a899-4af6-b454-7193634435ad
//!
//! cargo run -p hdv --example sensor_device -- SOCKET
//! qemu-system-x86_64 ... -device '{"driver":"vfio-user-pci","rombar":0,"socket":{"type":"unix","path":"SOCKET"}}'
//! ```
//!
//! It ends with its standard input.

use std::{error::Error, io::Read, os::fd::OwnedFd, os::unix::net::UnixListener};

use hdv::{DeviceHost, Guid};

mod sensor;

use sensor::Sensor;

/// The class of devices that it makes.
const CLASS: &str = "872270e1-a899-4af6-b454-7193634435ad";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--machine", system, instance] => for_machine(system, instance.parse()?),
        [socket] => at_socket(socket),
        _ => Err("usage: sensor_device --machine SYSTEM INSTANCE | SOCKET".into()),
    }
}

fn for_machine(system: &str, instance: Guid) -> Result<(), Box<dyn Error>> {
    let system = hcs::Client::connect()?.open(system).wait()?;
    let host = DeviceHost::new(&system)?;
    make(&host, CLASS.parse()?, instance)?;
    println!("the sensor {instance} can be added to {}", system.id());
    until_input_ends()?;
    host.teardown();
    Ok(())
}

fn at_socket(path: &str) -> Result<(), Box<dyn Error>> {
    let host = DeviceHost::standalone();
    make(&host, Guid::NIL, Guid::NIL)?;
    host.serve(Guid::NIL, &[], UnixListener::bind(path)?.into())?;
    // Such a monitor says nothing of its processors.
    host.start(Guid::NIL)?;
    until_input_ends()?;
    host.teardown();
    std::fs::remove_file(path)?;
    Ok(())
}

fn make(host: &DeviceHost, class: Guid, instance: Guid) -> Result<(), Box<dyn Error>> {
    let table: OwnedFd = rustix::fs::memfd_create(
        "table",
        rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING,
    )?;
    rustix::fs::ftruncate(&table, 4096)?;
    // Nobody may be left to read it.
    let told = |what| drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{what}\n")));
    host.create(class, instance, |device| Sensor::new(device, table, told))?;
    Ok(())
}

fn until_input_ends() -> std::io::Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}
