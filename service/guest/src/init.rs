//! The first process of a machine: it makes the machine ready for programs, keeps an agent running, and buries the dead.

use std::{
    ffi::CStr,
    fs, io,
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use hcs_core::Error;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::MountFlags,
    process::{Pid, WaitOptions},
};

use crate::AGENT;

/// What is mounted where, in this order.
const MOUNTS: &[(&CStr, &str, MountFlags, &CStr)] = &[
    (c"proc", "/proc", QUIET, c""),
    (c"sysfs", "/sys", QUIET, c""),
    (c"devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755"),
    (c"devpts", "/dev/pts", MountFlags::NOSUID.union(MountFlags::NOEXEC), c"gid=5,mode=620,ptmxmode=666"),
    (c"tmpfs", "/dev/shm", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=1777"),
    (c"tmpfs", "/run", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=0755"),
    (c"tmpfs", "/tmp", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=1777"),
    (c"cgroup2", "/sys/fs/cgroup", QUIET, c""),
];

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The modules of this machine's kernel that are loaded, one below the other, in this order.
const MODULES: &str = "/lib/modules/hcs";

/// An agent that lives no longer than this is not started again at once.
const SHORT: Duration = Duration::from_secs(1);

/// Runs until the machine ends.
pub fn run() -> Result<(), Error> {
    if let Err(errno) = leave_first_root() {
        hcs_core::complain!("hcs-guest: containers cannot be made here: {errno}");
    }
    for (kind, place, flags, options) in MOUNTS {
        if let Err(errno) = mount(kind, place, *flags, options) {
            hcs_core::complain!("hcs-guest: mounting {place}: {errno}");
        }
    }
    load_modules(Path::new(MODULES));
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "fd/0"),
        ("/dev/stdout", "fd/1"),
        ("/dev/stderr", "fd/2"),
    ] {
        let _ = std::os::unix::fs::symlink(target, link);
    }
    if let Err(error) = hcs_container::network::loopback_up() {
        hcs_core::complain!("hcs-guest: {error}");
    }
    let mut agent = None;
    let mut began = Instant::now();
    loop {
        if agent.is_none() {
            began = Instant::now();
            match start() {
                Ok(pid) => agent = Some(pid),
                Err(error) => hcs_core::complain!("hcs-guest: starting the agent: {error}"),
            }
        }
        // Without an agent nobody's death is waited for: the next one is tried soon.
        let waits = if agent.is_some() { WaitOptions::empty() } else { WaitOptions::NOHANG };
        match rustix::process::wait(waits) {
            Ok(Some((pid, status))) if Some(pid) == agent => {
                hcs_core::complain!("hcs-guest: the agent has ended: {status:?}");
                agent = None;
            }
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            // There is nobody to bury, so there is no agent either.
            Ok(None) | Err(_) => agent = None,
        }
        // One that cannot run must not keep the machine busy.
        std::thread::sleep(SHORT.saturating_sub(began.elapsed()));
    }
}

/// The root that a kernel unpacks its archive to is the only mount that nobody can put another in the place of, and
/// containers do so. So the same files are mounted over it once more.
fn leave_first_root() -> Result<(), Errno> {
    const OVER: &CStr = c"/run";
    rustix::mount::mount_bind(c"/", OVER)?;
    rustix::process::chdir(OVER)?;
    rustix::mount::mount_move(c".", c"/")?;
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")
}

fn mount(kind: &CStr, place: &str, flags: MountFlags, options: &CStr) -> Result<(), Errno> {
    let _ = rustix::fs::mkdir(place, Mode::from_raw_mode(0o755));
    match rustix::mount::mount(kind, place, kind, flags, options) {
        // Whoever has begun the machine has done so, its kernel for instance.
        Err(Errno::BUSY) => Ok(()),
        mounted => mounted,
    }
}

fn start() -> io::Result<Pid> {
    let child = Command::new("/proc/self/exe").arg0("hcs-guest").arg(AGENT).spawn()?;
    Ok(Pid::from_child(&child))
}

fn load_modules(folder: &Path) {
    let Ok(list) = fs::read_to_string(folder.join("list")) else { return };
    for name in list.lines().filter(|name| !name.is_empty()) {
        let load = || -> Result<(), Errno> {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let file = rustix::fs::open(folder.join(name), flags, Mode::empty())?;
            match rustix::system::finit_module(file.as_fd(), c"", 0) {
                Err(Errno::EXIST) => Ok(()),
                loaded => loaded,
            }
        };
        if let Err(errno) = load() {
            hcs_core::complain!("hcs-guest: loading {name}: {errno}");
        }
    }
}
