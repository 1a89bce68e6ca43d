//! Where something was measured, of what, beside what.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use hcs_machine::kvm;
use serde::{Deserialize, Serialize};

use crate::usage;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    processor: String,
    processors: usize,
    memory_mib: u64,
    kernel: String,
    /// Whether machines can use the host's processors: they are emulated otherwise.
    has_kvm: bool,
    /// A setting of cgroups that others profit from.
    favours_dynamic_cgroups: bool,
}

/// This one.
pub fn machine() -> Machine {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).to_owned()
    };
    let kib = line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or_default();
    Machine {
        processor: line("/proc/cpuinfo", "model name"),
        processors: thread::available_parallelism().map_or(1, usize::from),
        memory_mib: kib >> 10,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        has_kvm: kvm::is_usable(),
        favours_dynamic_cgroups: usage::favours_dynamic_cgroups(),
    }
}

impl Machine {
    /// For people.
    pub fn line(&self) -> String {
        let Machine { processor, processors, memory_mib, kernel, has_kvm, .. } = self;
        let kvm = if *has_kvm { "with KVM" } else { "without KVM" };
        format!("{processor}, {processors} processors, {} GiB, Linux {kernel}, {kvm}", memory_mib >> 10)
    }
}

/// How many tasks of others want a processor, on an average of a second in which nothing of ours does. On a quiet machine none.
pub fn others_running() -> f64 {
    const SAMPLES: u32 = 20;
    let mut sum = 0;
    for _ in 0..SAMPLES {
        thread::sleep(Duration::from_secs(1) / SAMPLES);
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let running = stat.lines().find_map(|line| line.strip_prefix("procs_running "));
        // This one is running, too.
        sum += running.and_then(|count| count.parse::<u32>().ok()).unwrap_or(1).saturating_sub(1);
    }
    f64::from(sum) / f64::from(SAMPLES)
}

/// The folder of the tree.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// The commit that the tree is at, with a plus if it is changed.
pub fn commit() -> String {
    let git = |arguments: &[&str]| said(Command::new("git").arg("-C").arg(root()).args(arguments));
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => commit + "+",
    }
}

/// Which version of a program is there.
pub fn version(program: &Path) -> Option<String> {
    let said = said(Command::new(program).arg("--version"))?;
    said.lines().next().map(str::to_owned)
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
