//! A service of the benchmark's own, in a folder that is gone afterwards.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use hcs::{Client, link::Options};
use hcs_tests::binaries;

use crate::{Outcome, usage};

/// The service and its folder.
pub struct Service {
    process: Child,
    folder: PathBuf,
    ready: UnixDatagram,
    arguments: Vec<OsString>,
}

impl Service {
    /// Starts hcsd and waits until it says that it is ready.
    pub fn start() -> Outcome<Service> {
        Service::start_with(Vec::new())
    }

    /// The same, for machines of this QEMU, which find their files in its folder.
    pub fn start_for_machines(qemu: &Path) -> Outcome<Service> {
        let service = Service::start_with(vec!["--qemu".into(), qemu.into()])?;
        fs::set_permissions(service.folder(), fs::Permissions::from_mode(0o711))?;
        Ok(service)
    }

    fn start_with(arguments: Vec<OsString>) -> Outcome<Service> {
        let folder = parent().join(format!("hcs-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("rootfs"))?;
        let ready = UnixDatagram::bind(folder.join("notify"))?;
        ready.set_read_timeout(Some(Duration::from_secs(20)))?;
        let service = Service { process: spawn(&folder, &arguments)?, folder, ready, arguments };
        service.await_ready()?;
        Ok(service)
    }

    fn await_ready(&self) -> Outcome {
        self.ready.recv(&mut [0; 64]).map_err(|error| format!("hcsd does not become ready: {error}"))?;
        Ok(())
    }

    /// Kills it. What it has started lives on.
    pub fn kill(&mut self) -> Outcome {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts another in the place of one that was killed, and waits until it is ready.
    pub fn start_again(&mut self) -> Outcome {
        self.process = spawn(&self.folder, &self.arguments)?;
        self.await_ready()
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its workers that have a system that runs: the others have no child.
    pub fn workers(&self) -> Vec<u32> {
        let has_system = |worker: &u32| usage::children(*worker).len() == 1;
        usage::children(self.pid()).into_iter().filter(has_system).collect()
    }

    /// The worker of its only system.
    pub fn worker(&self) -> Outcome<u32> {
        Ok(*self.workers().first().ok_or("there is no worker")?)
    }

    /// A client of it.
    pub fn client(&self) -> Outcome<Client> {
        Ok(Client::connect_to(Options { socket: self.socket() })?)
    }

    fn end_containers(&self) -> Outcome {
        let client = self.client()?;
        for found in client.list(None).wait()? {
            if let Some(id) = &found.id {
                client.open(id).wait()?.terminate().wait()?;
            }
        }
        Ok(())
    }

    /// The document of a container with the benchmark's root file system.
    pub fn document(&self) -> String {
        format!(
            r#"{{"Owner":"bench","SchemaVersion":{{"Major":2,"Minor":1}},
                "Container":{{"Storage":{{"Path":{:?}}},"GuestOs":{{"HostName":"bench"}}}}}}"#,
            self.folder.join("rootfs")
        )
    }

    /// The service's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("run/hcs.sock")
    }
}

fn spawn(folder: &Path, arguments: &[OsString]) -> Outcome<Child> {
    let mut command = Command::new(binaries::find("hcsd"));
    command.arg("--root").arg(folder).args(arguments);
    Ok(command.env("NOTIFY_SOCKET", folder.join("notify")).env("HCS_LOG", "error").spawn()?)
}

/// Where services run their lives, /run, is a tmpfs on every ordinary host, so the folder is in one too if possible.
fn parent() -> PathBuf {
    let shared = Path::new("/dev/shm");
    let in_memory = rustix::fs::statfs(shared).is_ok_and(|found| found.f_type == TMPFS);
    if in_memory { shared.to_owned() } else { env::temp_dir() }
}

/// TMPFS_MAGIC of the kernel.
const TMPFS: i64 = 0x0102_1994;

impl Drop for Service {
    fn drop(&mut self) {
        // A measurement that failed leaves containers, which outlive a service that is killed. Nothing more can be
        // done about what resists.
        let _ = self.end_containers();
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
