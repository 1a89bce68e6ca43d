//! A cold boot: from the call that makes a machine to the first program of its user, beside the same command line of QEMU
//! run bare.

use std::{
    io::Read,
    process::Stdio,
    time::{Duration, Instant},
};

use hcs::schema::ComputeSystem;
use hcs_tests::machine::{self, Guest};

use crate::{
    Outcome, bare,
    figures::{compared, in_turns},
    service::Service,
    usage,
};

const PAIRS: usize = 15;
/// How much longer it may take than the bare QEMU.
const AT_MOST: f64 = 1.05;
/// Of the worker, beside QEMU.
const AT_MOST_KIB: u64 = 4096;
/// What the guest says when it is there.
const THERE: &[u8] = b"ready";

/// Measures.
pub fn measure() -> Outcome {
    let qemu = machine::qemu();
    let service = Service::start_for_machines(&qemu)?;
    let guest = Guest::make(service.folder(), "echo ready; read line");
    let document = guest.document();
    let (line, memory) = line_and_memory(&service, &guest, &document)?;
    let figures = in_turns(
        PAIRS,
        || through_service(&service, &guest, &document),
        || bare::run(&qemu, &line, &guest.port(), Stdio::null, |_| await_guest(&guest)),
    )?;
    let ratio = compared(["hcs, create to user space", "the same QEMU, bare"], &figures);
    println!("ratio of the medians of {PAIRS} pairs: {ratio:.3} (promised: {AT_MOST})");
    println!("worker beside QEMU: {memory} KiB (promised: {AT_MOST_KIB})");
    match ratio <= AT_MOST && memory <= AT_MOST_KIB {
        true => Ok(()),
        false => Err("a promise is not kept".into()),
    }
}

fn through_service(service: &Service, guest: &Guest, document: &ComputeSystem) -> Outcome<Duration> {
    let client = service.client()?;
    let begin = Instant::now();
    let system = client.create("boot", document).wait()?;
    system.start().wait()?;
    await_guest(guest)?;
    let took = begin.elapsed();
    system.terminate().wait()?;
    Ok(took)
}

/// Waits until the guest says that it is there.
pub fn await_guest(guest: &Guest) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut console = bare::connect(&guest.port(), PATIENCE)?;
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while !said.windows(THERE.len()).any(|part| part == THERE) {
        match console.read(&mut buffer)? {
            0 => return Err(format!("the guest ends: {}", String::from_utf8_lossy(&said)).into()),
            length => said.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(())
}

/// The command line of the service's QEMU, as it runs bare, and the memory of the worker beside it in KiB.
fn line_and_memory(
    service: &Service,
    guest: &Guest,
    document: &ComputeSystem,
) -> Outcome<(Vec<String>, u64)> {
    let system = service.client()?.create("boot", document).wait()?;
    system.start().wait()?;
    await_guest(guest)?;
    let worker = service.worker()?;
    let qemu = usage::children(worker)[0];
    let memory = usage::proportional_kib(worker).ok_or("the worker has gone")?;
    let line = bare::line(qemu, &guest.port())?;
    system.terminate().wait()?;
    Ok((line, memory))
}
