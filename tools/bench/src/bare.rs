//! A QEMU of the service, run bare: the same command line, in which what is open in the service's is named by its path.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::Outcome;

/// How long it takes from the start to what is waited for. The ends of its standard input and output are made so.
pub fn run(
    qemu: &Path,
    line: &[String],
    port: &Path,
    ends: fn() -> Stdio,
    wait: impl FnOnce(&mut Child) -> Outcome,
) -> Outcome<Duration> {
    let prefix = qemu.parent().and_then(Path::parent).ok_or("QEMU is in no folder")?;
    let modules = prefix.join(format!("lib/{}-linux-gnu/qemu", std::env::consts::ARCH));
    let began = Instant::now();
    let mut process = Command::new(qemu)
        .args(line)
        .env("QEMU_MODULE_DIR", modules)
        .stdin(ends())
        .stdout(ends())
        .stderr(Stdio::null())
        .spawn()?;
    let there = wait(&mut process);
    let took = began.elapsed();
    process.kill()?;
    process.wait()?;
    let _ = fs::remove_file(port);
    there.map(|()| took)
}

/// Connects to the serial port of a machine, which hears and says something within this time.
pub fn connect(port: &Path, patience: Duration) -> Outcome<UnixStream> {
    let deadline = Instant::now() + patience;
    let console = loop {
        match UnixStream::connect(port) {
            Ok(console) => break console,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            // The bare one makes its socket a moment later.
            Err(_) => std::thread::sleep(Duration::from_micros(200)),
        }
    };
    console.set_read_timeout(Some(patience))?;
    Ok(console)
}

/// The command line of a QEMU of the service, as it runs bare, with its serial port at this socket.
pub fn line(qemu: u32, port: &Path) -> Outcome<Vec<String>> {
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
