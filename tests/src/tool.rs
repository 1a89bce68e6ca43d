//! A verb of the shipped command line that works without a service, in a folder of a test's own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{binaries, folder::Folder};

/// The verb and the folder.
pub struct Tool {
    folder: Folder,
    verb: &'static str,
}

impl Tool {
    /// Keeps everything below an empty folder.
    pub fn new(verb: &'static str) -> Tool {
        Tool { folder: Folder::new(), verb }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a name in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The verb with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::find("hcs"));
        command.arg(self.verb).args(arguments).env("HCS_ROOT", self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("running hcs")
    }

    /// What it says when it succeeds.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// What it says when it fails.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} was done");
        String::from_utf8(output.stderr).expect("text")
    }
}
