//! Gives a virtual machine a disk, or a source of random numbers, that this program is.
//!
//! ```text
//! cargo run -p hdv --example virtio_device -- MACHINE disk FILE
//! cargo run -p hdv --example virtio_device -- MACHINE entropy
//! ```
//!
//! It adds the device to a machine that was made with `"FlexibleIov": {}` in its Devices, and takes it away again when its standard
//! input ends.

use std::{error::Error, fs::OpenOptions, io::Read};

use hcs::{
    Client,
    schema::{Any, ModifyRequestType, ModifySettingRequest},
};
use hdv::{DeviceHost, Guid};

mod virtio;

use virtio::{disk::Disk, entropy::Entropy, transport::Virtio};

const CLASS: &str = "2d6b7c9e-52f0-4d0e-9f27-6f1c1ea2a6b5";
const INSTANCE: &str = "5d9d3d0c-6a0f-49b1-8f0e-7b1a3c5e9d21";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (class, instance): (Guid, Guid) = (CLASS.parse()?, INSTANCE.parse()?);
    let Some(machine) = arguments.first() else { return Err("which machine?".into()) };
    let system = Client::connect()?.open(machine).wait()?;
    let host = DeviceHost::new(&system)?;
    match (arguments.get(1).map(String::as_str), arguments.get(2)) {
        (Some("disk"), Some(path)) => {
            let disk = Disk::new(OpenOptions::new().read(true).write(true).open(path)?)?;
            host.create(class, instance, |device| Virtio::new(device, disk))?;
        }
        (Some("entropy"), None) => {
            host.create(class, instance, |device| Virtio::new(device, Entropy))?;
        }
        _ => return Err("a disk with its file, or entropy".into()),
    }
    let path = format!("VirtualMachine/Devices/FlexibleIov/{INSTANCE}");
    let settings = format!(r#"{{"EmulatorId":"{CLASS}","HostingModel":"External"}}"#);
    let request = ModifySettingRequest::default().resource_path(path);
    let add = request.clone().request_type(ModifyRequestType::Add).settings(Any::from_text(settings)?);
    system.modify(&add).wait()?;
    println!("the guest has the device; it goes with the end of the input");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    system.modify(&request.request_type(ModifyRequestType::Remove)).wait()?;
    host.teardown();
    Ok(())
}
