//! A service of the benchmark's own, in a folder that is gone afterwards.

use std::{
    env, fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use crate::Outcome;

/// The service and its folder.
pub struct Service {
    process: Child,
    folder: PathBuf,
}

impl Service {
    /// Starts hcsd from beside this program and waits until it says that it is ready.
    pub fn start() -> Outcome<Service> {
        let folder = env::temp_dir().join(format!("hcs-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("rootfs"))?;
        let ready = UnixDatagram::bind(folder.join("notify"))?;
        ready.set_read_timeout(Some(Duration::from_secs(20)))?;
        let process = Command::new(env::current_exe()?.with_file_name("hcsd"))
            .arg("--root")
            .arg(&folder)
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .env("HCS_LOG", "error")
            .spawn()?;
        let service = Service { process, folder };
        ready.recv(&mut [0; 64]).map_err(|error| format!("hcsd does not become ready: {error}"))?;
        Ok(service)
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The service's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("run/hcs.sock")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nothing more can be done about a service that does not end, or a folder that stays.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
