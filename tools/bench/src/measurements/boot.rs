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
    figures::{Bytes, Figure},
    report::Report,
    samples::in_turns,
    service::Service,
    usage,
};

const PAIRS: usize = 15;
/// What the guest says when it is there.
const THERE: &[u8] = b"ready";

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    let qemu = machine::qemu();
    report.has(&qemu);
    let booter = Booter::start()?;
    let (line, memory) = booter.line_and_memory()?;
    let guest = &booter.guest;
    let bare = || bare::run(&qemu, &line, &guest.port(), Stdio::null, |_| await_guest(guest));
    let [ours, bare] = in_turns(PAIRS, || booter.boot(), bare)?;
    let boot = Figure::new("a machine, create to user space", &ours).beside("the same QEMU, bare", &bare);
    report.note(boot.promised("boot")?);
    report.note(Figure::new("the worker beside QEMU", Bytes(memory << 10)).promised("machine-worker")?);
    Ok(())
}

/// A service with what a machine needs.
pub struct Booter {
    service: Service,
    guest: Guest,
    document: ComputeSystem,
}

impl Booter {
    /// Starts it.
    pub fn start() -> Outcome<Booter> {
        let service = Service::start_for_machines(&machine::qemu())?;
        let guest = Guest::make(service.folder(), "echo ready; read line").with_packed_kernel();
        let document = guest.document();
        Ok(Booter { service, guest, document })
    }

    /// Boots a machine.
    pub fn boot(&self) -> Outcome<Duration> {
        let client = self.service.client()?;
        let begin = Instant::now();
        let system = client.create("boot", &self.document).wait()?;
        system.start().wait()?;
        await_guest(&self.guest)?;
        let took = begin.elapsed();
        system.terminate().wait()?;
        Ok(took)
    }

    /// The command line of the service's QEMU, as it runs bare, and the memory of the worker beside it in KiB.
    fn line_and_memory(&self) -> Outcome<(Vec<String>, u64)> {
        let system = self.service.client()?.create("boot", &self.document).wait()?;
        system.start().wait()?;
        await_guest(&self.guest)?;
        let worker = self.service.worker()?;
        let qemu = usage::children(worker)[0];
        let memory = usage::proportional_kib(worker).ok_or("the worker has gone")?;
        let line = bare::line(qemu, &self.guest.port())?;
        system.terminate().wait()?;
        Ok((line, memory))
    }
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
