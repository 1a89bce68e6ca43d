//! The floor: a C program that makes the same system calls and nothing else.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use hcs_container::seccomp;
use serde_json::Value;

use crate::{
    Outcome,
    contest::Contestant,
    usage::{Group, Groups},
};

/// Two such programs: one makes containers, the other processes in one.
pub struct Floor {
    cycle: Resident,
    exec: Resident,
    group: Group,
}

struct Resident {
    process: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
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
            let mut process =
                command.args(groups.of_containers()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let answer = BufReader::new(process.stdout.take().ok_or("no pipe")?);
            Ok(Resident { ask: process.stdin.take(), answer, process })
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

impl Resident {
    fn act(&mut self) -> Outcome<Duration> {
        self.ask.as_mut().ok_or("the floor is closed")?.write_all(b"\n")?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        let nanoseconds = line.trim().parse().map_err(|_| "the floor has failed")?;
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.ask = None;
        let _ = self.process.wait();
    }
}

impl Contestant for Floor {
    fn name(&self) -> String {
        "floor, a bare C program".to_owned()
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
