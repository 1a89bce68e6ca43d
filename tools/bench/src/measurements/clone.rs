//! Clones of a template, beside the same QEMU run bare on the same memory and state; what a clone has for itself; and a machine
//! that is saved to a file, beside dd with the same bytes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hcs::{
    System, saved,
    schema::{ComputeSystem, RestoreState, SaveOptions, SaveType},
};
use hcs_tests::machine::{self, Guest, with_memory};

use super::boot;
use crate::{
    Outcome, bare,
    figures::{Bytes, Figure},
    report::Report,
    samples::{in_turns, timed},
    service::Service,
    usage,
};

const PAIRS: usize = 15;
const CLONES: usize = 10;
const MIB: u64 = 256;

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    let qemu = machine::qemu();
    report.has(&qemu);
    report.has("dd");
    let service = Service::start_for_machines(&qemu)?;
    let guest = Guest::make(service.folder(), "echo ready; while :; do echo tick; usleep 1000; done")
        .with_packed_kernel();
    let document = guest.document_with(|machine| with_memory(machine, MIB));
    save(report, &service, &guest, &document)?;
    clones(report, &service, &guest, &document, &qemu)
}

/// A machine that runs, and has booted.
fn running(service: &Service, guest: &Guest, name: &str, document: &ComputeSystem) -> Outcome<System> {
    let system = service.client()?.create(name, document).wait()?;
    system.start().wait()?;
    boot::await_guest(guest)?;
    Ok(system)
}

fn save(report: &mut Report, service: &Service, guest: &Guest, document: &ComputeSystem) -> Outcome {
    // A disk, as a saved machine is to outlive the host.
    let folder = std::env::current_exe()?.parent().ok_or("this program is in no folder")?.to_owned();
    let (file, copy) = (folder.join("hcs-bench.vmrs"), folder.join("hcs-bench.dd"));
    let _ = fs::remove_file(&file);
    saved::create_empty_runtime_state(&file)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    let system = running(service, guest, "saved", document)?;
    system.pause(None).wait()?;
    let options =
        SaveOptions::default().save_type(SaveType::ToFile).save_state_file_path(file.display().to_string());
    let worker = service.worker()?;
    let save = || timed(|| Ok(system.save(&options).wait()?));
    // The first time the devices tell their state, which dd has none of.
    let first = save()?;
    let touched = memory_of(worker)?;
    let allocated = fs::metadata(&file)?.blocks() * 512;
    let [ours, dd] = in_turns(PAIRS, save, || timed(|| write_as_much(&file, &copy, allocated)))?;
    system.terminate().wait()?;
    fs::remove_file(&file)?;
    fs::remove_file(&copy)?;
    report.note(Figure::new("a machine saved to a file, the first time", first));
    let saved = Figure::new("a machine saved to a file", &ours).beside("dd with fsync of as many bytes", &dd);
    report.note(saved.promised("save-time")?);
    let size = Figure::new("what the file allocates", Bytes(allocated))
        .beside("memory that was touched", Bytes(touched));
    report.note(size.promised("save-size")?);
    Ok(())
}

/// As many bytes of the saved machine as it allocates, in one piece.
fn write_as_much(file: &Path, copy: &Path, bytes: u64) -> Outcome {
    let status = Command::new("dd")
        .arg(format!("if={}", file.display()))
        .arg(format!("of={}", copy.display()))
        .args(["bs=1M", "conv=fsync", "iflag=count_bytes"])
        .arg(format!("count={bytes}"))
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err("dd fails".into()) }
}

/// A descriptor of a worker that is a file of this name in memory.
fn nameless(worker: u32, name: &str) -> Outcome<PathBuf> {
    for entry in fs::read_dir(format!("/proc/{worker}/fd"))? {
        let path = entry?.path();
        if fs::read_link(&path).is_ok_and(|target| target.to_string_lossy().contains(name)) {
            return Ok(path);
        }
    }
    Err(format!("the worker has no {name}").into())
}

/// The bytes of the machine's memory that were touched.
fn memory_of(worker: u32) -> Outcome<u64> {
    Ok(fs::metadata(nameless(worker, "hcs-memory")?)?.blocks() * 512)
}

fn clones(
    report: &mut Report,
    service: &Service,
    guest: &Guest,
    document: &ComputeSystem,
    qemu: &Path,
) -> Outcome {
    let template = running(service, guest, "template", document)?;
    let of_template = service.worker()?;
    template.pause(None).wait()?;
    template.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait()?;
    let state = nameless(of_template, "hcs-state")?;
    let document = |number: usize| {
        let mut document = document.clone();
        let machine = document.virtual_machine.as_mut()?;
        machine.restore_state = Some(RestoreState::default().template_system_id("template"));
        let ports = machine.devices.as_mut()?.com_ports.as_mut()?;
        ports.get_mut("0")?.named_pipe = Some(port(service, number).display().to_string());
        Some(document)
    };
    let clone = |number: usize| -> Outcome<System> {
        let document = document(number).ok_or("the document has no port")?;
        let system = service.client()?.create(&format!("clone-{number}"), &document).wait()?;
        system.start().wait()?;
        Ok(system)
    };
    let first = clone(0)?;
    let clones = || {
        let workers = service.workers().into_iter().filter(|worker| *worker != of_template);
        workers.flat_map(usage::children)
    };
    let of_clone = clones().next().ok_or("the clone has no QEMU")?;
    let mut line = bare::line(of_clone, &port(service, 1000))?;
    for word in &mut line {
        match word.as_str() {
            "defer" => *word = format!("file:{}", state.display()),
            "null,id=monitor" => *word = "stdio,id=monitor,signal=off".to_owned(),
            _ => {}
        }
    }
    line.extend(["-global", "migration.x-ignore-shared=on"].map(str::to_owned));
    let through_service = || {
        let began = Instant::now();
        let system = clone(1)?;
        await_tick(&port(service, 1)).map_err(|error| format!("ours: {error}"))?;
        let took = began.elapsed();
        system.terminate().wait()?;
        Ok(took)
    };
    let by_itself = || {
        let port = port(service, 1000);
        bare::run(qemu, &line, &port, Stdio::piped, |process| {
            go_on(process).and_then(|()| await_tick(&port)).map_err(|error| format!("bare: {error}").into())
        })
    };
    let [ours, bare] = in_turns(PAIRS, through_service, by_itself)?;
    let mut all = vec![first];
    for number in 1..CLONES {
        all.push(clone(number)?);
    }
    for number in 0..CLONES {
        await_tick(&port(service, number))?;
    }
    let memory: Vec<u64> = clones().filter_map(usage::private_kib).collect();
    for system in all {
        system.terminate().wait()?;
    }
    template.terminate().wait()?;
    let clone = Figure::new("a clone, create to its first word", &ours).beside("the same QEMU, bare", &bare);
    report.note(clone.promised("clone")?);
    for (which, kib) in [("least", memory.iter().min()), ("most", memory.iter().max())] {
        let name = format!("what a clone of {MIB} MiB has for itself, the {which} of {CLONES}");
        let figure = Figure::new(name, Bytes(kib.ok_or("there is no clone")? << 10));
        report.note(figure.promised("clone-memory")?);
    }
    Ok(())
}

fn port(service: &Service, number: usize) -> PathBuf {
    service.folder().join(format!("port-{number}"))
}

/// Waits for the next word of a guest.
fn await_tick(port: &Path) -> Outcome {
    match bare::connect(port, Duration::from_secs(20))?.read(&mut [0; 64])? {
        0 => Err("the guest says nothing".into()),
        _ => Ok(()),
    }
}

/// Lets a QEMU go on as soon as it has taken the state over: what was saved stood still.
fn go_on(process: &mut Child) -> Outcome {
    let mut says = process.stdin.take().ok_or("QEMU has no input")?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("QEMU has no output")?).lines();
    let mut ask = |command: &str, wanted: &str| -> Outcome<String> {
        writeln!(says, "{{\"execute\":\"{command}\"}}")?;
        loop {
            let line = lines.next().ok_or("QEMU has ended")??;
            if line.contains(wanted) {
                return Ok(line);
            }
        }
    };
    ask("qmp_capabilities", "return")?;
    while ask("query-status", "status")?.contains("inmigrate") {}
    ask("cont", "return").map(|_| ())
}
