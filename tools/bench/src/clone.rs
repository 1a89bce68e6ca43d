//! Clones of a template, beside the same QEMU run bare on the same memory and state; what a clone has for itself; and a machine
//! that is saved to a file, beside dd with the same bytes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hcs::{
    System, saved,
    schema::{ComputeSystem, RestoreState, SaveOptions, SaveType, VirtualMachineMemory},
};
use hcs_tests::machine::{self, Guest};

use crate::{
    Outcome, boot,
    figures::{Figures, heading},
    service::Service,
    usage,
};

const PAIRS: usize = 15;
const CLONES: usize = 10;
const MIB: u64 = 256;
/// A clone through the service, as a multiple of the bare one.
const AT_MOST: f64 = 2.0;
/// What a clone has for itself.
const AT_MOST_KIB: u64 = 40 << 10;
/// What a file allocates, as a multiple of the memory that was touched.
const AT_MOST_ALLOCATED: f64 = 1.05;
/// How long it takes, as a multiple of dd.
const AT_MOST_OF_DD: f64 = 1.3;

/// Measures.
pub fn measure() -> Outcome {
    let qemu = machine::qemu();
    let service = Service::start_with(&["--qemu".as_ref(), qemu.as_os_str()])?;
    fs::set_permissions(service.folder(), fs::Permissions::from_mode(0o711))?;
    let guest = Guest::make(service.folder(), "echo ready; while :; do echo tick; usleep 1000; done");
    let document = guest.document_with(|machine| {
        let mut topology = machine.compute_topology.clone().unwrap_or_default();
        topology.memory = Some(VirtualMachineMemory::default().size_in_mb(MIB));
        machine.compute_topology(topology)
    });
    let kept = [save(&service, &guest, &document)?, clones(&service, &guest, &document, &qemu)?];
    match kept.iter().all(|kept| *kept) {
        true => Ok(()),
        false => Err("a promise is not kept".into()),
    }
}

/// A machine that runs, and has booted.
fn running(service: &Service, guest: &Guest, name: &str, document: &ComputeSystem) -> Outcome<System> {
    let system = service.client()?.create(name, document).wait()?;
    system.start().wait()?;
    boot::await_guest(guest)?;
    Ok(system)
}

fn save(service: &Service, guest: &Guest, document: &ComputeSystem) -> Outcome<bool> {
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
    let worker = worker(service)?;
    let (mut ours, mut dd) = (Figures::default(), Figures::default());
    // The first time the devices tell their state, which dd has none of.
    let began = Instant::now();
    system.save(&options).wait()?;
    let first = began.elapsed();
    let touched = memory_of(worker)?;
    let allocated = fs::metadata(&file)?.blocks() * 512;
    for pair in 0..PAIRS {
        for which in [pair % 2, (pair + 1) % 2] {
            match which {
                0 => ours.time(|| system.save(&options).wait())?,
                _ => dd.time(|| write_as_much(&file, &copy, allocated))?,
            }
        }
    }
    system.terminate().wait()?;
    fs::remove_file(&file)?;
    fs::remove_file(&copy)?;
    println!(
        "{}\n{}\n{}",
        heading(),
        ours.line("a machine saved to a file"),
        dd.line("dd with fsync of as many bytes")
    );
    let of_dd = ours.percentile(0.5).as_secs_f64() / dd.percentile(0.5).as_secs_f64();
    let of_memory = allocated as f64 / touched as f64;
    println!("ratio of the medians: {of_dd:.2} (promised: {AT_MOST_OF_DD}); the first time {first:?}");
    println!(
        "{allocated} bytes for {touched} that were touched: {of_memory:.3} (promised: {AT_MOST_ALLOCATED})"
    );
    Ok(of_dd <= AT_MOST_OF_DD && of_memory <= AT_MOST_ALLOCATED)
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

/// The worker of the only machine.
fn worker(service: &Service) -> Outcome<u32> {
    let of_machine = |worker: &u32| usage::children(*worker).len() == 1;
    Ok(usage::children(service.pid()).into_iter().find(of_machine).ok_or("there is no worker")?)
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

fn clones(service: &Service, guest: &Guest, document: &ComputeSystem, qemu: &Path) -> Outcome<bool> {
    let template = running(service, guest, "template", document)?;
    let of_template = worker(service)?;
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
    let workers = usage::children(service.pid()).into_iter().filter(|worker| *worker != of_template);
    let of_clone = workers.flat_map(usage::children).next().ok_or("the clone has no QEMU")?;
    let mut line = boot::bare(of_clone, &port(service, 1000))?;
    for word in &mut line {
        match word.as_str() {
            "defer" => *word = format!("file:{}", state.display()),
            "null,id=monitor" => *word = "stdio,id=monitor,signal=off".to_owned(),
            _ => {}
        }
    }
    line.extend(["-global", "migration.x-ignore-shared=on"].map(str::to_owned));
    let (mut ours, mut bare) = (Figures::default(), Figures::default());
    for pair in 0..PAIRS {
        for which in [pair % 2, (pair + 1) % 2] {
            match which {
                0 => {
                    let began = Instant::now();
                    let system = clone(1)?;
                    await_tick(&port(service, 1)).map_err(|error| format!("ours: {error}"))?;
                    ours.add(began.elapsed());
                    system.terminate().wait()?;
                }
                _ => bare.add(by_itself(qemu, &line, &port(service, 1000))?),
            }
        }
    }
    let mut all = vec![first];
    for number in 1..CLONES {
        all.push(clone(number)?);
    }
    for number in 0..CLONES {
        await_tick(&port(service, number))?;
    }
    let workers = usage::children(service.pid()).into_iter().filter(|worker| *worker != of_template);
    let mut memory: Vec<u64> = workers.flat_map(usage::children).filter_map(private_kib).collect();
    memory.sort_unstable();
    for system in all {
        system.terminate().wait()?;
    }
    template.terminate().wait()?;
    println!(
        "{}\n{}\n{}",
        heading(),
        ours.line("a clone, create to its first word"),
        bare.line("the same QEMU, bare")
    );
    let ratio = ours.percentile(0.5).as_secs_f64() / bare.percentile(0.5).as_secs_f64();
    println!("ratio of the medians of {PAIRS} pairs: {ratio:.2} (promised: {AT_MOST})");
    println!("private memory of {CLONES} clones of {MIB} MiB, in KiB: {memory:?} (promised: {AT_MOST_KIB})");
    Ok(ratio <= AT_MOST && memory.last().is_some_and(|most| *most <= AT_MOST_KIB))
}

fn port(service: &Service, number: usize) -> PathBuf {
    service.folder().join(format!("port-{number}"))
}

/// Waits for the next word of a guest.
fn await_tick(port: &Path) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut console = loop {
        match UnixStream::connect(port) {
            Ok(console) => break console,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_micros(200)),
        }
    };
    console.set_read_timeout(Some(Duration::from_secs(20)))?;
    match console.read(&mut [0; 64])? {
        0 => Err("the guest says nothing".into()),
        _ => Ok(()),
    }
}

fn by_itself(qemu: &Path, line: &[String], port: &Path) -> Outcome<Duration> {
    let prefix = qemu.parent().and_then(Path::parent).ok_or("QEMU is in no folder")?;
    let modules = prefix.join(format!("lib/{}-linux-gnu/qemu", std::env::consts::ARCH));
    let began = Instant::now();
    let mut process = Command::new(qemu)
        .args(line)
        .env("QEMU_MODULE_DIR", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let there = go_on(&mut process).and_then(|()| await_tick(port));
    let took = began.elapsed();
    process.kill()?;
    process.wait()?;
    let _ = fs::remove_file(port);
    there.map(|()| took).map_err(|error| format!("bare: {error}").into())
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

/// What a process has for itself.
fn private_kib(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let of = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    Some(of("Private_Dirty:")? + of("Private_Clean:")?)
}
