//! The stage of the demo: a private service in a temporary folder, and commands that are shown with what they print.
//!
//! The service holds the read end of a pipe from us. When that ends it ends its systems and removes the folder.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Outcome, command::Line, workspace::Workspace};

/// How long the service may take until it can be used.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile whether it has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Variables that would put a service, or a part of it, elsewhere than below the folder that it is given.
const ELSEWHERE: [&str; 5] = ["HCS_CONFIG", "HCS_ROOT", "HCS_RUN_FOLDER", "HCS_SOCKET", "HCS_STATE_FOLDER"];

/// The stage.
pub struct Stage {
    programs: PathBuf,
    folder: PathBuf,
    service: Child,
    /// Programs that are devices.
    hosts: Vec<Child>,
}

impl Stage {
    /// Makes the folder and starts the service.
    pub fn set(workspace: &Workspace) -> Outcome<Stage> {
        let folder = std::env::temp_dir().join(format!("hcs-demo-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        // It must not be there yet: somebody else's folder is never used, nor removed.
        fs::create_dir(&folder).map_err(failed)?;
        let programs = workspace.release();
        let started = fs::set_permissions(&folder, Permissions::from_mode(0o711))
            .and_then(|()| UnixDatagram::bind(folder.join("ready")))
            .and_then(|ready| Ok((start_service(&programs, &folder, workspace)?, ready)));
        let (service, ready) = started.map_err(|error| {
            // Nothing is in it but what we made.
            let _ = fs::remove_dir_all(&folder);
            failed(error)
        })?;
        let mut stage = Stage { programs, folder, service, hosts: Vec::new() };
        match stage.await_ready(&ready) {
            Ok(()) => Ok(stage),
            Err(why) => {
                stage.show_log();
                stage.leave();
                // There was no system yet, so nothing is in it but what we and the service have made.
                let _ = fs::remove_dir_all(&stage.folder);
                Err(why)
            }
        }
    }

    fn await_ready(&mut self, ready: &UnixDatagram) -> Outcome {
        let failed = |error: std::io::Error| format!("waiting for the service: {error}");
        ready.set_read_timeout(Some(LOOK)).map_err(failed)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match ready.recv(&mut [0; 64]) {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(failed(error)),
            }
            if let Some(status) = self.service.try_wait().map_err(failed)? {
                return Err(format!("the service has ended: {status}"));
            }
        }
        // It may never hear that its input has ended. It has no systems yet.
        let _ = self.service.kill();
        Err(format!("the service is not ready after {PATIENCE:?}"))
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Tells the user. Nobody may be left to read it, which is no failure.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// The caption of an act.
    pub fn caption(&self, text: &str) {
        self.say(&format!("\n── {text}\n"));
    }

    /// Shows text that is not ours.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            self.say(&format!("    {line}"));
        }
    }

    /// Runs a command line of a shell in the folder, shows it and what it prints.
    pub fn run(&self, line: &str) -> Outcome {
        self.say(&format!("$ {line}"));
        let mut child =
            self.shell(line).stdout(Stdio::piped()).spawn().map_err(|error| format!("`{line}`: {error}"))?;
        for text in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            self.quote(&text.unwrap_or_default());
        }
        let status = child.wait().map_err(|error| format!("`{line}`: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("`{line}`: {status}")) }
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("set -e; {line}")]).current_dir(&self.folder).stdin(Stdio::null());
        self.surround(&mut command);
        command
    }

    /// The programs that were built, and the service that was started.
    fn surround(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("HCS_ROOT", &self.folder)
            .env_remove("HCS_SOCKET");
    }

    /// Starts a program that is a device, and waits for its first line.
    pub fn host(&mut self, program: &str, arguments: &[&str]) -> Outcome {
        let path = self.programs.join("examples").join(program);
        let shown = Line::new([program].into_iter().chain(arguments.iter().copied()));
        self.say(&format!("$ {shown} &"));
        let mut command = Command::new(&path);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        self.surround(&mut command);
        let mut child = command.spawn().map_err(|error| format!("`{shown}`: {error}"))?;
        let mut first = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut first));
        self.hosts.push(child);
        match read {
            Some(Ok(length)) if length > 0 => {
                self.quote(&first);
                Ok(())
            }
            _ => Err(format!("`{shown}` has ended")),
        }
    }

    /// Shows the end of what the service has logged.
    pub fn show_log(&self) {
        const SHOWN: usize = 20;
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        self.say("\nThe end of the log of the service:\n");
        self.quote(&lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
    }

    /// Ends everything, and sees that it is gone.
    pub fn tear_down(mut self) -> Outcome {
        self.leave();
        match fs::symlink_metadata(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            _ => {
                Err(format!("not everything could be removed; what remains is in {}", self.folder.display()))
            }
        }
    }

    fn leave(&mut self) {
        for mut host in self.hosts.drain(..) {
            // The end of its input is its end.
            drop(host.stdin.take());
            let _ = host.wait();
        }
        drop(self.service.stdin.take());
        let _ = self.service.wait();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.leave();
    }
}

fn start_service(programs: &Path, folder: &Path, workspace: &Workspace) -> std::io::Result<Child> {
    let mut command = Command::new(programs.join("hcsd"));
    for variable in ELSEWHERE {
        command.env_remove(variable);
    }
    command
        .arg("--temporary")
        .arg("--root")
        .arg(folder)
        .env_remove("HCS_WORKER")
        .env("HCS_QEMU", crate::machines::qemu(workspace))
        .env("NOTIFY_SOCKET", folder.join("ready"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("log"))?)
        // Ctrl-C is meant for us; the pipe tells the service.
        .process_group(0)
        .spawn()
}
