//! A peer: a containerd of our own, in a folder of the measurement's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::Outcome;

/// It.
pub struct Containerd {
    /// Where it listens.
    pub socket: PathBuf,
    child: Child,
}

impl Containerd {
    /// Starts it, and waits until it answers.
    pub fn start(folder: &Path) -> Outcome<Containerd> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let socket = folder.join("containerd.sock");
        let config = folder.join("containerd.toml");
        fs::write(
            &config,
            format!(
                "version = 2\nroot = {0:?}\nstate = {1:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = {2:?}\n[ttrpc]\n  address = {3:?}\n",
                folder.join("containerd"),
                folder.join("containerd-state"),
                socket,
                folder.join("containerd-ttrpc.sock")
            ),
        )?;
        let mut command = Command::new("containerd");
        let child = command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let containerd = Containerd { socket, child };
        let began = Instant::now();
        loop {
            let asked = Command::new("ctr").arg("-a").arg(&containerd.socket).arg("version").output()?;
            if asked.status.success() {
                return Ok(containerd);
            }
            if began.elapsed() > PATIENCE {
                return Err("containerd does not answer".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
