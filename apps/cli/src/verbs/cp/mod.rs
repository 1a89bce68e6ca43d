//! `hcs cp`

mod bounded;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::{Component, Path, PathBuf},
    thread,
};

use bounded::Bounded;
use hcs::{Process, System, schema::ProcessParameters};
use hcs_core::random;
use rustix::fs::{AtFlags, Mode, OFlags};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{Context, failure::Failure, host_path, output, target};

/// Copy a file or a folder into a system, or out of it.
///
/// One of both is SYSTEM:PATH. What is copied into a folder that is there keeps its name; else the end of the path is its
/// new name. The system must have a `tar`. What is copied belongs to root in the system, and to you outside.
#[derive(clap::Args)]
pub struct Cp {
    /// What: a path, or SYSTEM:PATH.
    source: String,
    /// Where: a path, or SYSTEM:PATH.
    target: String,
}

/// One end of a copy.
enum End<'a> {
    Here(&'a Path),
    In(&'a str, &'a Path),
}

impl<'a> End<'a> {
    /// A colon before any slash ends the name of a system.
    fn of(text: &'a str) -> End<'a> {
        match text.split_once(':') {
            Some((system, path)) if !system.is_empty() && !system.contains('/') => {
                End::In(system, Path::new(path))
            }
            _ => End::Here(Path::new(text)),
        }
    }
}

impl Cp {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match (End::of(&self.source), End::of(&self.target)) {
            (End::Here(source), End::In(system, path)) => {
                copy_in(&target::open(&context.client()?, system)?, source, path)
            }
            (End::In(system, path), End::Here(place)) => {
                copy_out(&target::open(&context.client()?, system)?, path, place)
            }
            _ => Err(Failure::new("one of both must be SYSTEM:PATH, and the other a path of this host")),
        }
    }
}

fn copy_in(system: &System, source: &Path, path: &Path) -> Result<(), Failure> {
    let about =
        fs::symlink_metadata(source).map_err(|error| Failure::io(&error, &source.display().to_string()))?;
    let (folder, name) = if is_folder_in(system, path)? {
        (path.to_owned(), name_of(&host_path::absolute(source)?)?.to_owned())
    } else {
        let (folder, name) = split(path)?;
        (folder, name.to_owned())
    };
    let mut tar = Tar::start(system, &["-xof", "-", "-C", text_of(&folder)?])?;
    let Some(stdin) = tar.process.pipes.stdin.take() else {
        return Err(Failure::new("the process has no input"));
    };
    let written = write_archive(File::from(stdin), source, &name, about.is_dir());
    let ended = tar.wait();
    // A tar that ends early explains why nothing more could be written.
    ended?;
    written.map_err(|error| Failure::io(&error, &source.display().to_string()))
}

fn write_archive(to: File, source: &Path, name: &Path, is_folder: bool) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 16, to));
    archive.follow_symlinks(false);
    if is_folder {
        archive.append_dir_all(name, source)?;
    } else {
        archive.append_path_with_name(source, name)?;
    }
    archive.into_inner()?.flush()
}

/// The files come from inside the system, so nothing of them is believed: they are unpacked in a new folder, which nothing
/// leads out of, and moved to their place.
fn copy_out(system: &System, path: &Path, place: &Path) -> Result<(), Failure> {
    let (folder, inner) = split(path)?;
    let name = if place.is_dir() { inner } else { name_of(place)? };
    let parent = if place.is_dir() { place } else { parent_of(place) };
    let target = parent.join(name);
    let failed = |error: io::Error| Failure::io(&error, &target.display().to_string());
    if target.is_dir() {
        return Err(Failure::new(format!(
            "{} is there already; remove it, or name another place",
            target.display()
        )));
    }
    // Before there is anything that would stay.
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| Failure::io(&error, "taking signals"))?;
    let aside = Aside::new(parent).map_err(failed)?;
    let mut tar = Tar::start(system, &["-cf", "-", "-C", text_of(&folder)?, &member(inner)?])?;
    let stdout = tar.process.pipes.stdout.take().map(File::from);
    let (unpacked, signal) = unless_signalled(&mut signals, &tar.process, || {
        stdout.map_or(Ok(()), |stdout| unpack(stdout, &aside.held()))
    });
    let ended = tar.wait();
    if let Some(signal) = signal {
        return Err(Failure::new(format!("interrupted; nothing of {} is copied", path.display()))
            .exit_with(128 + signal as u8));
    }
    // A tar that could not say everything ends with less than why nobody listened.
    unpacked.map_err(failed)?;
    ended?;
    aside.give(inner, name).map_err(failed)
}

/// Does something with what a process says, and what a signal did to it: that ends the process, and so its output.
fn unless_signalled<T>(
    signals: &mut Signals,
    process: &Process,
    act: impl FnOnce() -> T,
) -> (T, Option<i32>) {
    let no_more = signals.handle();
    thread::scope(|scope| {
        let signalled = scope.spawn(|| {
            let signal = signals.forever().next()?;
            // One that has ended says no more either.
            let _ = process.kill().wait();
            Some(signal)
        });
        let done = act();
        no_more.close();
        (done, signalled.join().ok().flatten())
    })
}

/// Unpacks an archive of somebody who is not trusted.
fn unpack(from: File, folder: &Path) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(1 << 16, from);
    tar::Archive::new(Bounded::new(&mut from)).unpack(folder)?;
    // What fills its last record is of no use, but who writes it must be let.
    io::copy(&mut from, &mut io::sink()).map(|_| ())
}

/// A new folder in another, gone with this value. Both are held: who owns the other may put something else at their names.
struct Aside {
    parent: OwnedFd,
    folder: OwnedFd,
    name: String,
}

impl Aside {
    fn new(parent: &Path) -> io::Result<Aside> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = format!(".hcs-cp-{:016x}", u64::from_ne_bytes(random::bytes()?));
        let parent = rustix::fs::open(parent, flags, Mode::empty())?;
        rustix::fs::mkdirat(&parent, &name, Mode::RWXU)?;
        let folder = rustix::fs::openat(&parent, &name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Aside { parent, folder, name })
    }

    /// A path to it that leads to nothing else.
    fn held(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.folder.as_raw_fd()).into()
    }

    /// Removes it, with what is in it.
    fn remove(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.held())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR)?)
    }

    /// Moves something in it to a name beside it.
    fn give(&self, inner: &Path, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, inner, &self.parent, name)?)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            output::warn(&format!("{} stays: {error}", self.name));
        }
    }
}

/// Whether a path in a system is a folder, by what its tar says of it first.
fn is_folder_in(system: &System, path: &Path) -> Result<bool, Failure> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Ok(true);
    }
    let (folder, name) = split(path)?;
    // A link to a folder is one too.
    let mut tar = Tar::start(system, &["-chf", "-", "-C", text_of(&folder)?, &member(name)?])?;
    let mut header = tar::Header::new_old();
    let stdout = tar.process.pipes.stdout.take().map(File::from);
    let has_header = stdout.is_some_and(|mut stdout| stdout.read_exact(header.as_mut_bytes()).is_ok());
    // One that has more to say cannot; one that has nothing to say found nothing.
    let _ = tar.process.kill().wait();
    Ok(has_header && header.entry_type().is_dir())
}

/// A `tar` in a system. What it complains of is kept.
struct Tar {
    process: Process,
    complaints: Option<thread::JoinHandle<String>>,
}

impl Tar {
    fn start(system: &System, arguments: &[&str]) -> Result<Tar, Failure> {
        let command = ["tar"].iter().chain(arguments).map(|word| (*word).to_owned());
        let parameters = ProcessParameters::default()
            .command_args(command.collect::<Vec<_>>())
            .create_std_in_pipe(true)
            .create_std_out_pipe(true)
            .create_std_err_pipe(true);
        // Copying may take long.
        system.link().attend();
        let mut process = system.run(&parameters).wait().map_err(|error| {
            let is_missing = error.cause == hcs::Cause::FileNotFound;
            let failure = Failure::from(error);
            if is_missing {
                failure.and("Files are copied by the tar of the system, and it has none.")
            } else {
                failure
            }
        })?;
        let complaints = process.pipes.stderr.take().map(|stderr| thread::spawn(move || read_some(stderr)));
        Ok(Tar { process, complaints })
    }

    fn wait(self) -> Result<(), Failure> {
        let status = self.process.wait_blocking()?;
        let complaints = self.complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
        match status.exit_code {
            Some(0) => Ok(()),
            code => {
                let told = complaints.lines().next().unwrap_or("it says nothing").to_owned();
                let code = code.map_or("without a code".to_owned(), |code| format!("with {code}"));
                Err(Failure::new(format!("tar in the system ended {code}: {told}")))
            }
        }
    }
}

/// The beginning of what is said; the rest is read and dropped, so that who says it is not held up.
fn read_some(from: OwnedFd) -> String {
    const MOST: u64 = 4096;
    let mut from = File::from(from);
    let mut text = Vec::new();
    // What cannot be read was not said.
    let _ = (&mut from).take(MOST).read_to_end(&mut text);
    let _ = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&text).into_owned()
}

/// The folder of an absolute path in a system, and the name in it.
fn split(path: &Path) -> Result<(PathBuf, &Path), Failure> {
    if !path.is_absolute() {
        return Err(Failure::new(format!(
            "found {:?} in the system, expected a path that begins with /",
            path
        )));
    }
    Ok((parent_of(path).to_owned(), name_of(path)?))
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn name_of(path: &Path) -> Result<&Path, Failure> {
    match path.components().next_back() {
        Some(Component::Normal(name)) => Ok(Path::new(name)),
        _ => Err(Failure::new(format!("{} has no name of its own to copy it by", path.display()))),
    }
}

/// A name for tar, to which one that begins with a dash would be an option.
fn member(name: &Path) -> Result<String, Failure> {
    Ok(format!("./{}", text_of(name)?))
}

fn text_of(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::new(format!("{} is no text", path.display())))
}
