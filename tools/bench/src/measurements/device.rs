//! A PCI device that a program is: how long a guest waits for a register of it, beside a server that answers the same without
//! looking and the one of the crate `vfio_user`; how soon a doorbell is answered; how fast the device reads and writes the guest's
//! memory, beside memcpy.
//!
//! The others are hosts of the same machine: they have a channel to its worker each and answer there by hand.

mod others;
mod ours;
#[path = "../../../../apps/hdv/examples/virtio/mod.rs"]
#[expect(clippy::allow_attributes, reason = "what is expected of a module is not expected of what is in it")]
#[allow(dead_code, reason = "of its devices only the disk is measured")]
mod virtio;

use std::{fs::File, io::Read, process::Command, time::Duration};

use hcs::{
    System,
    schema::{FlexibleIoDevice, FlexibleIoDeviceHostingModel, GuestConnection, ProcessParameters},
};
use hcs_tests::{machine, machine::Guest, rootfs};
use hdv::{DeviceHost, Guid};

use self::virtio::{disk::Disk, transport::Virtio};
use crate::{Outcome, figures::Figure, report::Report, samples::Samples, service::Service};

/// The devices, as guests know them.
const OURS: u16 = 0x5e50;
const BARE: u16 = 0x5e51;
const CRATE: u16 = 0x5e52;
/// A disk of virtio, which the guest's own driver has.
const DISK: u16 = 0x5e53;

const ROUNDS: usize = 15;
const READS: usize = 2000;
const BLOCK: usize = 1 << 20;

fn instance(device: u16) -> Guid {
    let mut bytes = [0x5e; 16];
    bytes[14..].copy_from_slice(&device.to_be_bytes());
    Guid::from_bytes(bytes)
}

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    let qemu = machine::qemu();
    report.has(&qemu);
    let service = Service::start_for_machines(&qemu)?;
    let tree = service.folder().join("tree");
    rootfs::make(&tree);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/c/sensor_reader.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O2", "-o"]).arg(tree.join("bin/sensor_reader")).arg(source);
    if !compiler.status()?.success() {
        return Err("the reader of the sensor could not be built".into());
    }
    let guest = Guest::utility_with(service.folder(), &tree, &["virtio_blk"]).with_packed_kernel();
    use FlexibleIoDeviceHostingModel::{External, ExternalRestricted};
    let devices =
        [(OURS, External), (BARE, ExternalRestricted), (CRATE, ExternalRestricted), (DISK, External)];
    let devices = devices.map(|(device, model)| {
        let entry = FlexibleIoDevice::default().emulator_id(instance(device)).hosting_model(model);
        (instance(device).to_string(), entry)
    });
    let document = guest.document_with(|machine| {
        let all = machine.devices.clone().unwrap_or_default();
        machine.devices(all.flexible_iov(devices)).guest_connection(GuestConnection::default())
    });
    let system = service.client()?.create("vm", &document).wait()?;
    let host = DeviceHost::new(&system)?;
    let own = ours::create(&host)?;
    let disk = File::options().read(true).write(true).create_new(true).open(service.folder().join("disk"))?;
    disk.set_len(64 << 20)?;
    let disk = Disk::new(disk)?;
    host.create(instance(DISK), instance(DISK), |own| Virtio::new(own, disk))?;
    others::serve(&system, instance(BARE), others::bare)?;
    others::serve(&system, instance(CRATE), others::by_crate)?;
    system.start().wait()?;
    registers(report, &system)?;
    doorbells(report, &system)?;
    requests(report, &system)?;
    memory(report, &own)?;
    system.terminate().wait()?;
    host.teardown();
    Ok(())
}

/// What the guest says.
fn said(system: &System, line: &str) -> Outcome<String> {
    let words = ["sh", "-c", line].map(str::to_owned).to_vec();
    let parameters = ProcessParameters::default().command_args(words).create_std_out_pipe(true);
    let mut process = system.run(&parameters).wait()?;
    let mut said = String::new();
    File::from(process.pipes.stdout.take().ok_or("no pipe")?).read_to_string(&mut said)?;
    match process.wait_blocking()?.exit_code {
        Some(0) => Ok(said),
        code => Err(format!("{line}: {code:?} {said}").into()),
    }
}

/// What the reader says of a device: the middle, and at 99 of 100.
fn told(system: &System, device: u16, what: &str) -> Outcome<[Duration; 2]> {
    let said = said(system, &format!("SENSOR={device:#x} sensor_reader {what} {READS}"))?;
    let mut numbers = said.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(middle)), Some(Ok(late))) => Ok([middle, late].map(Duration::from_nanos)),
        _ => Err(format!("the reader of the sensor has said {said}").into()),
    }
}

fn registers(report: &mut Report, system: &System) -> Outcome {
    const ALL: [u16; 3] = [OURS, BARE, CRATE];
    let mut samples: [[Samples; 2]; 3] = Default::default();
    for round in 0..ROUNDS {
        for step in 0..ALL.len() {
            let which = (round + step) % ALL.len();
            let times = told(system, ALL[which], "latency")?;
            samples[which].iter_mut().zip(times).for_each(|(samples, time)| samples.add(time));
        }
    }
    let [[ours, ours_late], [bare, bare_late], [strangers, strangers_late]] = &samples;
    let read = "a register read, as the guest waits";
    let logic = "a server without logic";
    report.note(Figure::new(read, ours).beside(logic, bare).promised("device-read")?);
    report.note(Figure::new(read, ours).beside("the crate vfio_user", strangers));
    let late = format!("{read}, at 99 of 100");
    report.note(Figure::new(&late, ours_late).beside(logic, bare_late));
    report.note(Figure::new(&late, ours_late).beside("the crate vfio_user", strangers_late));
    Ok(())
}

fn doorbells(report: &mut Report, system: &System) -> Outcome {
    let name = "from a doorbell to what its handler has written, as the guest sees it";
    let [middle, late] = told(system, OURS, "answer")?;
    report.note(Figure::new(name, middle));
    report.note(Figure::new(format!("{name}, at 99 of 100"), late));
    Ok(())
}

/// One request after the other: a doorbell, the device, an interrupt by MSI-X, its handler, and the process that has waited.
fn requests(report: &mut Report, system: &System) -> Outcome {
    let line = format!(
        "a=$(cut -d' ' -f1 /proc/uptime | tr -d .); dd if=/dev/vda of=/dev/null bs=512 count={READS} iflag=direct 2>/dev/null && \
         b=$(cut -d' ' -f1 /proc/uptime | tr -d .); echo $((b - a))"
    );
    let hundredths: u64 = said(system, &line)?.trim().parse()?;
    let each = Duration::from_millis(10 * hundredths) / READS as u32;
    report.note(Figure::new(
        "a sector of a disk, from the doorbell to the process that its interrupt wakes",
        each,
    ));
    Ok(())
}

/// In turns: a block of the guest's memory read, one written, one copied.
fn memory(report: &mut Report, own: &hdv::Device) -> Outcome {
    // Where a guest of Linux has memory that nothing of ours is in.
    const ADDRESS: u64 = 64 << 20;
    let (mut block, mut other) = (vec![1u8; BLOCK], vec![2u8; BLOCK]);
    own.read_guest(ADDRESS, &mut block)?;
    let [mut read, mut write, mut copy]: [Samples; 3] = Default::default();
    for _ in 0..200 {
        read.time(|| own.read_guest(ADDRESS, &mut block))?;
        write.time(|| own.write_guest(ADDRESS, &block))?;
        copy.time(|| {
            other.copy_from_slice(std::hint::black_box(&block));
            std::hint::black_box(&mut other);
        });
    }
    for (name, samples) in [("1 MiB of the guest read", &read), ("1 MiB of the guest written", &write)] {
        report.note(Figure::new(name, samples).beside("memcpy", &copy).promised("device-memory")?);
    }
    Ok(())
}
