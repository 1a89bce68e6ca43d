//! A cold boot: from the call that makes a machine to the first program of its user, beside the same command line of QEMU
//! run bare. What is open in the service's QEMU is named by its path in the bare one.

use std::{
    fs,
    io::Read,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hcs::schema::ComputeSystem;
use hcs_tests::machine::{self, Guest};

use crate::{
    Outcome,
    figures::{Figures, heading},
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
    let service = Service::start_with(&["--qemu".as_ref(), qemu.as_os_str()])?;
    fs::set_permissions(service.folder(), fs::Permissions::from_mode(0o711))?;
    let guest = Guest::make(service.folder(), "echo ready; read line");
    let document = guest.document();
    let (line, memory) = line_and_memory(&service, &guest, &document)?;
    let (mut ours, mut bare) = (Figures::default(), Figures::default());
    for pair in 0..PAIRS {
        // Who comes first may find the machine in another state than who comes second.
        for which in [pair % 2, (pair + 1) % 2] {
            match which {
                0 => ours.add(through_service(&service, &guest, &document)?),
                _ => bare.add(by_itself(&qemu, &line, &guest)?),
            }
        }
    }
    println!(
        "{}\n{}\n{}",
        heading(),
        ours.line("hcs, create to user space"),
        bare.line("the same QEMU, bare")
    );
    let ratio = ours.percentile(0.5).as_secs_f64() / bare.percentile(0.5).as_secs_f64();
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

fn by_itself(qemu: &Path, line: &[String], guest: &Guest) -> Outcome<Duration> {
    let prefix = qemu.parent().and_then(Path::parent).ok_or("QEMU is in no folder")?;
    let modules = prefix.join(format!("lib/{}-linux-gnu/qemu", std::env::consts::ARCH));
    let begin = Instant::now();
    let mut process = Command::new(qemu)
        .args(line)
        .env("QEMU_MODULE_DIR", modules)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let there = await_guest(guest);
    let took = begin.elapsed();
    process.kill()?;
    process.wait()?;
    let _ = fs::remove_file(guest.port());
    there.map(|()| took)
}

/// Waits until the guest says that it is there.
pub fn await_guest(guest: &Guest) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(60);
    let deadline = Instant::now() + PATIENCE;
    let mut console = loop {
        match UnixStream::connect(guest.port()) {
            Ok(console) => break console,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            // The bare one makes its socket a moment later.
            Err(_) => std::thread::sleep(Duration::from_micros(200)),
        }
    };
    console.set_read_timeout(Some(PATIENCE))?;
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
    let of_machine = |worker: &u32| usage::children(*worker).len() == 1;
    let worker = usage::children(service.pid()).into_iter().find(of_machine).ok_or("there is no worker")?;
    let qemu = usage::children(worker)[0];
    let memory = usage::proportional_kib(worker).ok_or("the worker has gone")?;
    let bare = bare(qemu, &guest.port())?;
    system.terminate().wait()?;
    Ok((bare, memory))
}

/// The command line of a QEMU of the service, as it runs bare, with its serial port at this socket.
pub fn bare(qemu: u32, port: &Path) -> Outcome<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{qemu}/cmdline"))?;
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').skip(1).collect();
    let mut bare = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            // It runs at once, and nobody asks it anything.
            "-S" => {}
            "-add-fd" => drop(words.next()),
            _ => bare.push(by_path(word, qemu, port)?),
        }
    }
    Ok(bare)
}

/// A word without descriptors.
fn by_path(word: &str, qemu: u32, port: &Path) -> Outcome<String> {
    const OWN: &str = "/proc/self/fd/";
    if let Some(number) = word.strip_prefix(OWN) {
        return Ok(fs::read_link(format!("/proc/{qemu}/fd/{number}"))?.display().to_string());
    }
    if word.starts_with("memory-backend-file,id=ram,") && word.contains("share=on") {
        // Its own memory is that of nobody else.
        let size = word.split(',').find(|part| part.starts_with("size=")).ok_or("memory has no size")?;
        return Ok(format!("memory-backend-memfd,id=ram,{size},share=on"));
    }
    let word = word.replace(OWN, &format!("/proc/{qemu}/fd/"));
    let word = word.split(",logfile=").next().unwrap_or_default();
    Ok(match word {
        "socket,id=monitor,fd=0" => "null,id=monitor".to_owned(),
        _ if word.starts_with("socket,id=com0,") => {
            format!("socket,id=com0,path={},server=on,wait=off", port.display())
        }
        word => word.to_owned(),
    })
}
