//! The host's processes, as /proc shows them.

use std::{fs, path::Path, thread, time::Duration};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// All process ids.
pub fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The text of a file of a process; empty if the process is gone.
pub fn read(pid: u32, file: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a process is there and has not died.
pub fn is_alive(pid: u32) -> bool {
    let stat = read(pid, "stat");
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The memory that a process has, in KiB.
pub fn memory(pid: u32) -> u64 {
    let line = status(pid, "VmRSS");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a process with memory")
}

/// How many descriptors a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What the descriptors of a process are, by number, as links in /proc show them.
pub fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut all: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
        })
        .collect();
    all.sort();
    all
}

/// A line of the status of a process, without its name.
pub fn status(pid: u32, name: &str) -> String {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim).unwrap_or_default().to_owned()
}

/// The same, once it has stopped to change: what was closed at one end is noticed at the other a moment later.
pub fn settled_files(pid: u32) -> usize {
    let mut last = open_files(pid);
    crate::until("the descriptors settle", Duration::from_secs(5), || {
        thread::sleep(Duration::from_millis(50));
        std::mem::replace(&mut last, open_files(pid)) == last
    });
    last
}

/// This thread and all of a process have one processor for them, until this is dropped. Where there are several, the time
/// of a conversation is that of the places where the kernel has put the two.
pub struct OnOneProcessor {
    process: u32,
    before: CpuSet,
}

impl OnOneProcessor {
    /// Moves them there.
    pub fn with(process: u32) -> OnOneProcessor {
        let before = sched_getaffinity(None).expect("the processors of this thread");
        let first = (0..CpuSet::MAX_CPU).find(|&number| before.is_set(number)).expect("a processor");
        let mut one = CpuSet::new();
        one.set(first);
        let here = OnOneProcessor { process, before };
        here.run_on(&one);
        here
    }

    fn run_on(&self, processors: &CpuSet) {
        let threads = threads(self.process).into_iter().map(|thread| Pid::from_raw(thread.cast_signed()));
        for thread in threads.chain([None]) {
            // One that has ended needs none.
            let _ = sched_setaffinity(thread, processors);
        }
    }
}

impl Drop for OnOneProcessor {
    fn drop(&mut self) {
        self.run_on(&self.before);
    }
}

/// The processes that hold a listening socket below a folder.
pub fn listening_below(folder: &Path) -> Vec<u32> {
    let sockets = sockets_below(folder);
    let holds = |pid: &u32| {
        let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        fds.flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|link| sockets.contains(&link.display().to_string()))
    };
    if sockets.is_empty() { Vec::new() } else { all().into_iter().filter(holds).collect() }
}

/// The bound sockets below a folder, as links in /proc show them. A socket has a path as long as a process
/// holds it, whatever became of the file.
pub fn sockets_below(folder: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/unix").expect("/proc/net/unix");
    let below = format!("{}/", folder.display());
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(7).filter(|path| path.starts_with(&below)).map(|_| format!("socket:[{}]", fields[6]))
        })
        .collect()
}

/// The children of a process, whichever of its threads has started them.
pub fn children(pid: u32) -> Vec<u32> {
    let listed = threads(pid).into_iter().map(|thread| read(pid, &format!("task/{thread}/children")));
    listed
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Kills a process, unless it is gone already.
pub fn kill_if_there(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Sends a signal to a process that must be there.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
    kill_process(pid, signal).expect("sending a signal");
}

/// The threads of a process.
pub fn threads(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect()
}

/// What processes have used of the processors, in hundredths of a second.
pub fn processor_time(pids: &[u32]) -> u64 {
    let used = |pid: &u32| {
        let stat = read(*pid, "stat");
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
        [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum::<u64>()
    };
    pids.iter().map(used).sum()
}
