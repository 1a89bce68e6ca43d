//! One container's group: made, joined, frozen, emptied, removed.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use rustix::fs::{Mode, OFlags};

use super::{
    layout::Layout,
    members::{folders_in, kill_and_wait, processes_below, remove_tree},
};
use crate::plan::Limits;

/// How long the processes of a group may take to die.
const DEATH: Duration = Duration::from_secs(10);

/// A container's group in every hierarchy.
#[derive(Debug)]
pub struct Cgroup {
    layout: Layout,
    folders: BTreeMap<PathBuf, Vec<String>>,
    /// Opened once: a process that is started in a container would spend a tenth of its time on that.
    join: OnceCell<Join>,
}

/// What a new process needs to join a group; opened before it is born.
#[derive(Debug)]
pub enum Join {
    /// The child writes `0` to each of these `tasks` files.
    BySelf(Vec<OwnedFd>),
    /// The child is born in the group with this folder.
    AtBirth(OwnedFd),
}

impl Join {
    /// The folder of the group in which a child is to be born.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Join::AtBirth(folder) => Some(folder.as_fd()),
            Join::BySelf(_) => None,
        }
    }
}

impl Cgroup {
    /// Names a group without touching anything.
    pub fn at(layout: Layout, parent: &str, name: &str) -> Cgroup {
        let folders = layout.folders(parent, name);
        Cgroup { layout, folders, join: OnceCell::new() }
    }

    /// Makes the group and sets its limits. On failure nothing is left.
    pub fn create(
        layout: Layout,
        parent: &str,
        name: &str,
        limits: &Limits,
        devices: &[String],
    ) -> Result<Cgroup, Error> {
        let group = Cgroup::at(layout, parent, name);
        match group.make().and_then(|()| group.limit(limits)).and_then(|()| group.confine_devices(devices)) {
            Ok(()) => Ok(group),
            Err(error) => {
                let _ = group.remove();
                Err(error)
            }
        }
    }

    fn make(&self) -> Result<(), Error> {
        for folder in self.folders.keys() {
            if let Layout::V2 { mount, controllers } = &self.layout {
                delegate(mount, folder, controllers)?;
            }
            let made = match fs::create_dir(folder) {
                // The first container of the service.
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder),
                made => made,
            };
            match made {
                Ok(()) => {}
                // Left by a crash: it belongs to no living container, or its id would be in use.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.kill()?,
                Err(error) => return Err(failed(&error, "making", folder)),
            }
        }
        Ok(())
    }

    /// What a child needs to join.
    pub fn join(&self) -> Result<&Join, Error> {
        match self.join.get() {
            Some(join) => Ok(join),
            None => {
                let join = self.open_join()?;
                Ok(self.join.get_or_init(|| join))
            }
        }
    }

    fn open_join(&self) -> Result<Join, Error> {
        self.open_join_of(|_| true)
    }

    /// What a helper of ours on the host needs to join: it is limited, stopped and ended with the container, but uses
    /// devices that the container may not.
    pub fn join_without_devices(&self) -> Result<Join, Error> {
        self.open_join_of(|controllers| controllers.iter().all(|one| one != "devices"))
    }

    fn open_join_of(&self, wanted: impl Fn(&[String]) -> bool) -> Result<Join, Error> {
        let open = |path: PathBuf, flags| {
            rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| failed(&error.into(), "opening", &path))
        };
        match &self.layout {
            Layout::V1 { .. } => {
                let folders = self.folders.iter().filter(|(_, controllers)| wanted(controllers));
                let files = folders.map(|(folder, _)| open(folder.join("tasks"), OFlags::WRONLY));
                Ok(Join::BySelf(files.collect::<Result<_, _>>()?))
            }
            Layout::V2 { .. } => {
                let folder = self.folders.keys().next().cloned().unwrap_or_default();
                Ok(Join::AtBirth(open(folder, OFlags::DIRECTORY | OFlags::PATH)?))
            }
        }
    }

    /// Stops or continues every process of the group, and returns when they have. On failure none of them is stopped: what it
    /// takes is opened before anything is done.
    pub fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let (controller, orders, control, state) = match &self.layout {
            Layout::V1 { .. } => ("freezer", ["THAWED", "FROZEN"], "freezer.state", "freezer.state"),
            Layout::V2 { .. } => ("", ["0", "1"], "cgroup.freeze", "cgroup.events"),
        };
        let (control, state) = (self.path(controller, control)?, self.path(controller, state)?);
        let open = |path: &Path, options: &fs::OpenOptions| {
            options.open(path).map_err(|error| failed(&error, "opening", path))
        };
        let mut told = open(&state, fs::OpenOptions::new().read(true))?;
        let mut asked = open(&control, fs::OpenOptions::new().write(true))?;
        let mut order = |frozen: bool| asked.write_all(orders[usize::from(frozen)].as_bytes());
        order(frozen)
            .map_err(|error| failed(&error, "writing", &control))
            .and_then(|()| self.await_frozen(frozen, &mut told, &state))
            .inspect_err(|_| {
                let _ = order(false);
            })
    }

    /// v1 freezes while the file is read: each read moves it on, so this loop is the work itself.
    fn await_frozen(&self, frozen: bool, told: &mut fs::File, path: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + DEATH;
        let wanted = match (&self.layout, frozen) {
            (Layout::V1 { .. }, true) => "FROZEN",
            (Layout::V1 { .. }, false) => "THAWED",
            (Layout::V2 { .. }, true) => "frozen 1",
            (Layout::V2 { .. }, false) => "frozen 0",
        };
        loop {
            let mut text = String::new();
            let read = told.rewind().and_then(|()| told.read_to_string(&mut text));
            read.map_err(|error| failed(&error, "reading", path))?;
            if text.lines().any(|line| line == wanted) {
                return Ok(());
            }
            self.expired(deadline, "freezing")?;
            std::thread::yield_now();
        }
    }

    fn expired(&self, deadline: Instant, doing: &str) -> Result<(), Error> {
        if Instant::now() > deadline {
            return Err(Error::new(
                Cause::DeadlineExceeded,
                format!("{doing} the container's cgroup took too long"),
            ));
        }
        Ok(())
    }

    /// Kills every process of the group and returns when all are dead.
    pub fn kill(&self) -> Result<(), Error> {
        let deadline = Instant::now() + DEATH;
        if self.is_v2() {
            // At once, frozen or not. Older kernels lack it, and everybody is waited for below.
            let _ = self.write("", "cgroup.kill", "1");
        }
        for folder in self.folders.keys() {
            loop {
                let pids = processes_below(folder).map_err(|error| failed(&error, "reading", folder))?;
                if pids.is_empty() {
                    break;
                }
                self.expired(deadline, "killing")?;
                // A frozen process dies only when it is let go.
                let _ = self.thaw();
                // Not all at once: each takes a descriptor.
                for some in pids.chunks(10) {
                    kill_and_wait(folder, some, deadline)
                        .map_err(|error| failed(&error, "reading", folder))?;
                }
            }
        }
        Ok(())
    }

    fn thaw(&self) -> Result<(), Error> {
        match &self.layout {
            Layout::V1 { .. } => self.write("freezer", "freezer.state", "THAWED"),
            Layout::V2 { .. } => self.write("", "cgroup.freeze", "0"),
        }
    }

    /// Removes the group; what is still alive in it is killed.
    pub fn remove(&self) -> Result<(), Error> {
        let deadline = Instant::now() + DEATH;
        for folder in self.folders.keys() {
            // Mostly all are dead and there is nothing in it, so that is tried first.
            while let Err(error) = fs::remove_dir(folder) {
                match error.kind() {
                    io::ErrorKind::NotFound => break,
                    io::ErrorKind::ResourceBusy if Instant::now() < deadline => {
                        self.kill()?;
                        for inner in folders_in(folder).unwrap_or_default() {
                            // One that is busy is seen by the next round: a process that is reaped may still be
                            // leaving its group for a moment.
                            let _ = remove_tree(&inner);
                        }
                        std::thread::yield_now();
                    }
                    _ => return Err(failed(&error, "removing", folder)),
                }
            }
        }
        Ok(())
    }

    /// Removes the folder in which a service's groups are, where it is empty.
    pub fn remove_parent(layout: &Layout, parent: &str) {
        for folder in layout.folders(parent, "").into_keys() {
            // Not empty means in use, and not there is what is wanted.
            let _ = fs::remove_dir(folder);
        }
    }

    /// The names of the groups of a service.
    pub fn names(layout: &Layout, parent: &str) -> BTreeSet<String> {
        let services = layout.folders(parent, "").into_keys();
        let groups = services.flat_map(|service| folders_in(&service).unwrap_or_default());
        groups.filter_map(|group| Some(group.file_name()?.to_str()?.to_owned())).collect()
    }

    /// The processes in the group and below it, by their ids on the host.
    pub fn processes(&self) -> Result<Vec<u32>, Error> {
        let folder = self.folder_of("pids").or(self.folders.keys().next()).ok_or(Cause::NotSupported)?;
        let pids = processes_below(folder).map_err(|error| failed(&error, "reading", folder))?;
        Ok(pids.into_iter().map(|pid| pid.as_raw_nonzero().get() as u32).collect())
    }

    /// Whether this is cgroup v2.
    pub(super) fn is_v2(&self) -> bool {
        matches!(self.layout, Layout::V2 { .. })
    }

    pub(super) fn read(&self, controller: &str, file: &str) -> Result<String, Error> {
        let path = self.path(controller, file)?;
        fs::read_to_string(&path).map_err(|error| failed(&error, "reading", &path))
    }

    pub(super) fn write(&self, controller: &str, file: &str, value: &str) -> Result<(), Error> {
        let path = self.path(controller, file)?;
        fs::write(&path, value).map_err(|error| {
            let error = failed(&error, "writing", &path);
            Error { detail: format!("{} (value {value})", error.detail), ..error }
        })
    }

    pub(super) fn path(&self, controller: &str, file: &str) -> Result<PathBuf, Error> {
        self.folder_of(controller).map(|folder| folder.join(file)).ok_or_else(|| {
            Error::new(Cause::NotSupported, format!("this host has no cgroup controller {controller:?}"))
        })
    }

    pub(super) fn folder_of(&self, controller: &str) -> Option<&PathBuf> {
        let has = |controllers: &Vec<String>| controllers.iter().any(|one| one == controller);
        match &self.layout {
            Layout::V1 { .. } => {
                self.folders.iter().find(|(_, controllers)| has(controllers)).map(|found| found.0)
            }
            Layout::V2 { controllers, .. } => {
                let offered = controller.is_empty() || controllers.iter().any(|one| one == controller);
                self.folders.keys().next().filter(|_| offered)
            }
        }
    }
}

/// v2 hands controllers down level by level.
fn delegate(mount: &Path, folder: &Path, controllers: &[String]) -> Result<(), Error> {
    let parent = folder.parent().unwrap_or(folder);
    let handed_down = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
    let missing = |name: &&String| !handed_down.split_whitespace().any(|one| one == **name);
    if parent.exists() && !controllers.iter().any(|name| missing(&name)) {
        return Ok(());
    }
    let wanted: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
    let mut level = mount.to_path_buf();
    let below = folder.strip_prefix(mount).unwrap_or(folder);
    for part in below.components() {
        let control = level.join("cgroup.subtree_control");
        fs::write(&control, wanted.join(" ")).map_err(|error| failed(&error, "writing", &control))?;
        level.push(part);
        if level != folder {
            fs::create_dir_all(&level).map_err(|error| failed(&error, "making", &level))?;
        }
    }
    Ok(())
}

pub(super) fn failed(error: &io::Error, doing: &str, path: &Path) -> Error {
    Error::from_io(error, format!("{doing} the cgroup file {}", path.display()))
}
