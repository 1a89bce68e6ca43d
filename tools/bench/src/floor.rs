//! The floor: a C program that makes the same system calls and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hcs_container::seccomp;
use serde_json::Value;

use crate::{
    Outcome,
    contest::Contestant,
    resident::Resident,
    usage::{Group, Groups},
};

/// Two such programs: one makes containers, the other processes in one.
pub struct Floor {
    cycle: Resident,
    exec: Resident,
    group: Group,
}

impl Floor {
    /// Builds and starts the program. `None` where there is no cgroup v1, which it is written for.
    pub fn prepare(folder: &Path, root_fs: &Path, groups: &Groups) -> Outcome<Option<Floor>> {
        if groups.of_containers().is_empty() {
            return Ok(None);
        }
        fs::create_dir_all(folder)?;
        let (program, filter) = (build(folder)?, folder.join("filter"));
        fs::write(&filter, instructions()?)?;
        let group = groups.make("floor")?;
        group.enter()?;
        let start = |mode: &str| -> Outcome<Resident> {
            let mut command = Command::new(&program);
            command.arg(mode).arg(root_fs).arg(groups.path(&format!("floor/{mode}"))).arg(&filter);
            Resident::start(command.args(groups.of_containers()))
        };
        Ok(Some(Floor { cycle: start("cycle")?, exec: start("exec")?, group }))
    }
}

fn build(folder: &Path) -> Outcome<PathBuf> {
    let (source, program) = (folder.join("floor.c"), folder.join("floor"));
    fs::write(&source, include_str!("../floor.c"))?;
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status()?;
    if built.success() { Ok(program) } else { Err("the floor could not be built".into()) }
}

/// The filter of our containers, as the kernel takes it.
fn instructions() -> Outcome<Vec<u8>> {
    let program = serde_json::to_value(seccomp::usual()?)?;
    let packed = program["instructions"].as_array().ok_or("a filter without instructions")?;
    let mut bytes = Vec::new();
    for packed in packed.iter().filter_map(Value::as_u64) {
        bytes.extend(((packed >> 48) as u16).to_ne_bytes());
        bytes.extend([(packed >> 40) as u8, (packed >> 32) as u8]);
        bytes.extend((packed as u32).to_ne_bytes());
    }
    Ok(bytes)
}

impl Contestant for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn cycle(&mut self) -> Outcome<Duration> {
        self.cycle.act()
    }

    fn exec(&mut self) -> Outcome<Duration> {
        self.exec.act()
    }
}
