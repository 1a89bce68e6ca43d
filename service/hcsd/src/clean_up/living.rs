//! What lives on this host: services, by their processes, and workers, by the sockets that they listen at.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use hcs_ipc::socket;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    config::{self, Config},
    process_identity::ProcessIdentity,
    run_lock,
};

/// What was there when it was looked at.
pub struct Living {
    /// The run folders of services.
    services: BTreeSet<PathBuf>,
    /// The paths that somebody listens at.
    sockets: Vec<PathBuf>,
}

impl Living {
    /// Looks. Who cannot be seen must not be taken for dead, so it is all or an error.
    pub fn look() -> io::Result<Living> {
        let own = std::process::id();
        let mut services = BTreeSet::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            if pid.is_some_and(|pid| pid != own) {
                services.extend(run_folder_of(&entry.path())?);
            }
        }
        let table = fs::read("/proc/net/unix")?;
        Ok(Living { services, sockets: listening(&String::from_utf8_lossy(&table)) })
    }

    /// Whether a service has this root: a process of its name says so, somebody answers at its socket, or
    /// holds the lock on its run folder, wherever its settings put them.
    pub fn has_service_at(&self, config: &Config) -> bool {
        self.services.contains(&config.settings.run_folder)
            || socket::is_listened_at(&config.settings.socket)
            || run_lock::is_held(&config.settings.run_folder)
    }

    /// Whether somebody listens in this folder.
    pub fn listens_below(&self, folder: &Path) -> bool {
        self.sockets.iter().any(|socket| socket.starts_with(folder))
    }

    /// The cgroup folders of all roots that anything of lives. A service is named after its root or after its run folder.
    pub fn cgroup_parents(&self) -> BTreeSet<String> {
        let of_services = self
            .sockets
            .iter()
            .filter(|socket| socket.ends_with("hcs.sock") || socket.ends_with("metrics.sock"))
            .filter_map(|path| path.parent());
        let systems = |socket: &'_ PathBuf| {
            socket.ancestors().find(|path| path.ends_with("systems")).map(Path::to_owned)
        };
        let of_workers: Vec<PathBuf> = self.sockets.iter().filter_map(systems).collect();
        let runs = self.services.iter().map(PathBuf::as_path).chain(of_services);
        let runs = runs.chain(of_workers.iter().filter_map(|systems| systems.parent()));
        runs.flat_map(|run| run.ancestors().take(2)).map(config::cgroup_parent).collect()
    }
}

/// Whether this very process is there, and not only waits to be forgotten. One that cannot be looked at may be.
pub fn is_alive(process: ProcessIdentity) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match process.open() {
        Ok(None) => false,
        Ok(Some(pidfd)) => {
            poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&now)).map_or(true, |ended| ended == 0)
        }
        Err(_) => true,
    }
}

/// The run folder of a process, if it is a service that has a root of its own or the system's.
fn run_folder_of(process: &Path) -> io::Result<Option<PathBuf>> {
    let Some(name) = of_one_that_lives(fs::read(process.join("comm")))? else { return Ok(None) };
    if name.trim_ascii_end() != b"hcsd" {
        return Ok(None);
    }
    let words = |file: &str| -> io::Result<Option<Vec<PathBuf>>> {
        let bytes = of_one_that_lives(fs::read(process.join(file)))?;
        Ok(bytes.map(|bytes| {
            let words = bytes.split(|byte| *byte == 0);
            words.map(|word| std::ffi::OsString::from_vec(word.to_vec()).into()).collect()
        }))
    };
    let (Some(line), Some(environment)) = (words("cmdline")?, words("environ")?) else { return Ok(None) };
    let Some(root) = root_of(&line, &environment) else { return Ok(Some("/run/hcs".into())) };
    let folder = of_one_that_lives(fs::read_link(process.join("cwd")))?;
    Ok(folder.map(|folder| folder.join(root).join("run")))
}

/// What was asked of a process, unless it has ended meanwhile or is none of ours.
fn of_one_that_lives<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM) => Ok(None),
            _ => Err(error),
        },
    }
}

/// What a service with this command line and this environment has for its root.
fn root_of(line: &[PathBuf], environment: &[PathBuf]) -> Option<PathBuf> {
    let with = |words: &[PathBuf], prefix: &str| {
        words.iter().find_map(|word| word.to_str()?.strip_prefix(prefix).map(PathBuf::from))
    };
    let after =
        line.iter().position(|word| word == Path::new("--root")).and_then(|place| line.get(place + 1));
    after.cloned().or_else(|| with(line, "--root=")).or_else(|| with(environment, "HCS_ROOT="))
}

/// The paths of /proc/net/unix at which somebody listens.
fn listening(table: &str) -> Vec<PathBuf> {
    const ACCEPTS: &str = "00010000";
    let path = |line: &str| {
        let mut fields = line.split_whitespace();
        let inode = fields.by_ref().nth(3).filter(|flags| *flags == ACCEPTS).and_then(|_| fields.nth(2))?;
        // A path may have blanks.
        let (_, path) = line.split_once(&format!(" {inode} "))?;
        Some(PathBuf::from(path))
    };
    table.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_told_on_the_command_line_or_by_the_environment() {
        let words = |text: &str| text.split(' ').map(PathBuf::from).collect::<Vec<_>>();
        let root = |line: &str, environment: &str| root_of(&words(line), &words(environment));
        assert_eq!(root("hcsd --root /tmp/a", "HCS_ROOT=/b"), Some("/tmp/a".into()));
        assert_eq!(root("hcsd --root=/tmp/a", ""), Some("/tmp/a".into()));
        assert_eq!(root("hcsd", "A=B HCS_ROOT=/b"), Some("/b".into()));
        assert_eq!(root("hcsd", "A=B"), None);
    }

    #[test]
    fn only_those_who_listen_count() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff: 00000002 00000000 00010000 0001 01 2931 /tmp/a/run/systems/x/worker.sock\n\
            ffff: 00000003 00000000 00000000 0001 03 2932 /tmp/b/run/systems/x/worker.sock\n\
            ffff: 00000002 00000000 00010000 0001 01 2934 /tmp/with a  blank/run/systems/x/worker.sock\n\
            ffff: 00000002 00000000 00010000 0001 01 2933\n";
        let living = Living { services: BTreeSet::new(), sockets: listening(table) };
        assert!(living.listens_below(Path::new("/tmp/a/run/systems/x")));
        assert!(living.listens_below(Path::new("/tmp/with a  blank/run/systems/x")));
        assert!(!living.listens_below(Path::new("/tmp/b")));
        let parents = living.cgroup_parents();
        assert_eq!(
            parents,
            ["/tmp/a", "/tmp/a/run", "/tmp/with a  blank", "/tmp/with a  blank/run"]
                .map(|root| config::cgroup_parent(Path::new(root)))
                .into()
        );
    }
}
