//! A peer: a runtime of the OCI kind, used through its command line as its users do.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Outcome, bundle,
    contest::Contestant,
    usage::{Group, Groups},
};

/// The peers.
pub const PROGRAMS: [&str; 3] = ["crun", "runc", "youki"];

/// A runtime with a container in which processes can be started.
pub struct Runtime {
    program: &'static str,
    folder: PathBuf,
    group: Group,
    number: u64,
}

impl Runtime {
    /// Prepares a runtime.
    pub fn prepare(
        program: &'static str,
        folder: &Path,
        root_fs: &Path,
        groups: &Groups,
    ) -> Outcome<Runtime> {
        let folder = folder.join(program);
        let group = |name: &str| format!("/{}", groups.path(&format!("{program}/{name}")));
        bundle::write(&folder.join("cycle"), root_fs, &group("cycle"), false)?;
        bundle::write(&folder.join("waits"), root_fs, &group("waits"), true)?;
        let runtime = Runtime { program, folder, group: groups.make(program)?, number: 0 };
        runtime.group.enter()?;
        let bundle = runtime.folder.join("waits");
        runtime.act(&["create", "--bundle", &bundle.display().to_string(), &runtime.waiting()])?;
        runtime.act(&["start", &runtime.waiting()])?;
        Ok(runtime)
    }

    fn waiting(&self) -> String {
        format!("hcs-bench-{}-waits", std::process::id())
    }

    fn act(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(self.program);
        command.arg("--root").arg(self.folder.join("state")).args(arguments);
        // What a container inherits must not be a pipe that somebody waits for the end of.
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} {arguments:?}: {status}", self.program).into())
        }
    }
}

impl Contestant for Runtime {
    fn name(&self) -> &'static str {
        self.program
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn cycle(&mut self) -> Outcome<Duration> {
        self.number += 1;
        let id = format!("hcs-bench-{}-{}", std::process::id(), self.number);
        let bundle = self.folder.join("cycle").display().to_string();
        let began = Instant::now();
        if self.program == "youki" {
            // Its `run` can miss the end of a process that ends at once, and then waits for ever.
            self.act(&["create", "--bundle", &bundle, &id])?;
            self.act(&["start", &id])?;
            self.act(&["delete", "--force", &id])?;
        } else {
            self.act(&["run", "--bundle", &bundle, &id])?;
        }
        Ok(began.elapsed())
    }

    fn exec(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        self.act(&["exec", &self.waiting(), bundle::PROGRAM])?;
        Ok(began.elapsed())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // What it cannot delete is seen in its state folder's absence from no list; nothing more can be done here.
        let _ = self.act(&["delete", "--force", &self.waiting()]);
    }
}
