//! Where hcsd keeps its things.

use std::path::PathBuf;

use clap::Parser;

/// The host compute service: containers and virtual machines for the clients of its socket.
#[derive(Debug, Parser)]
#[command(name = "hcsd", version)]
pub struct Arguments {
    /// Keep everything below this folder instead of in /run/hcs and /var/lib/hcs.
    #[arg(long, env = "HCS_ROOT", value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Listen here instead of at hcs.sock in the run folder.
    #[arg(long, env = "HCS_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The worker's program; by default hcs-worker beside this program.
    #[arg(long, env = "HCS_WORKER", value_name = "PATH")]
    worker: Option<PathBuf>,
    /// QEMU, 9.0 or newer; by default the one of the system.
    #[arg(long, env = "HCS_QEMU", value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// How long the start of a virtual machine waits for the agent in it.
    #[arg(long, env = "HCS_GUEST_PATIENCE", value_name = "SECONDS", default_value_t = 120)]
    guest_patience: u32,
    /// End all systems, remove the root folder and stop when the standard input ends.
    #[arg(long, requires = "root")]
    temporary: bool,
}

/// The service's folders and programs.
#[derive(Clone, Debug)]
pub struct Config {
    /// What must not survive a reboot: sockets, records of live systems.
    pub run: PathBuf,
    /// What must: settings, crash reports.
    pub state: PathBuf,
    /// The clients' socket.
    pub socket: PathBuf,
    /// The worker's program.
    pub worker: PathBuf,
    /// QEMU, if it is not to be looked for.
    pub qemu: Option<PathBuf>,
    /// How long the start of a virtual machine waits for the agent in it, in seconds.
    pub guest_patience: u32,
    /// The folder with everything, which goes when the standard input ends; `None` if the service is to stay.
    pub temporary: Option<PathBuf>,
    /// The folder of this service's cgroups. Services with different roots never meet there.
    pub cgroup_parent: String,
}

impl From<Arguments> for Config {
    fn from(arguments: Arguments) -> Config {
        let (run, state, cgroup_parent) = match &arguments.root {
            None => ("/run/hcs".into(), "/var/lib/hcs".into(), "hcs".to_owned()),
            Some(root) => {
                let root = std::path::absolute(root).unwrap_or_else(|_| root.clone());
                let name = format!("hcs-{:016x}", fingerprint(root.as_os_str().as_encoded_bytes()));
                (root.join("run"), root.join("lib"), name)
            }
        };
        let beside = || {
            let own = std::env::current_exe().unwrap_or_default();
            own.with_file_name("hcs-worker")
        };
        Config {
            socket: arguments.socket.unwrap_or_else(|| run.join("hcs.sock")),
            worker: arguments.worker.unwrap_or_else(beside),
            qemu: arguments.qemu,
            guest_patience: arguments.guest_patience,
            temporary: arguments.root.filter(|_| arguments.temporary),
            run,
            state,
            cgroup_parent,
        }
    }
}

impl Config {
    /// The folder that holds a folder for each live system.
    pub fn systems(&self) -> PathBuf {
        self.run.join("systems")
    }
}

/// FNV-1a: the same for the same path in every run and release, which is all that is asked of it.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
