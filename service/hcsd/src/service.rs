//! Everything that the tasks of the service share.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hcs_core::{Error, lock::Held};

use crate::{
    access::Access,
    blocking,
    config::Config,
    host::{
        cpu_groups::CpuGroups,
        cpuset_mount::CpusetMount,
        crashes::CrashStore,
        machine_users::{self, MachineUsers},
    },
    metrics::Metrics,
    operations::Operations,
    registry::Registry,
    run_lock,
    session::Session,
    spare_workers::SpareWorkers,
    watch::Watch,
};

/// The service.
pub struct Service {
    /// Settings, and what follows from them.
    pub config: Config,
    /// Who may use it.
    pub access: Access,
    /// The systems.
    pub registry: Registry,
    /// The calls under way.
    pub operations: Arc<Operations>,
    /// What is counted.
    pub metrics: Metrics,
    /// The events of everything.
    pub watch: Watch,
    /// Workers without a system, of a program that nobody can change through a worker.
    pub spare_workers: Arc<SpareWorkers>,
    /// CPU groups; `None` where the host has no cpuset controller.
    pub cpu_groups: Mutex<Option<CpuGroups>>,
    /// The store of crash reports.
    pub crashes: Mutex<CrashStore>,
    /// The users of virtual machines.
    pub machine_users: Mutex<MachineUsers>,
    /// Says that we live.
    _lock: Held<fs::File>,
    has_kvm: tokio::sync::OnceCell<bool>,
    sessions: Mutex<HashMap<String, Weak<Session>>>,
}

impl Service {
    /// Makes the folders and opens the stores.
    pub fn new(config: Config) -> Result<Arc<Service>, Error> {
        let store = |error: &io::Error, what: &str| Error::from_io(error, format!("opening {what}"));
        let settings = &config.settings;
        for folder in [&settings.run_folder, &config.systems(), &settings.state_folder] {
            make_folder(folder).map_err(|error| store(&error, &folder.display().to_string()))?;
        }
        let lock = run_lock::take(&settings.run_folder).map_err(|error| store(&error, "the run folder"))?;
        let max_reports = settings.max_crash_reports.get() as usize;
        let crashes = CrashStore::open(&settings.state_folder.join("crashes"), max_reports)
            .map_err(|error| store(&error, "the crash store"))?;
        let machine_users = MachineUsers::open(&settings.state_folder.join("machines"), machine_users::USUAL)
            .map_err(|error| store(&error, "the users of virtual machines"))?;
        Ok(Arc::new(Service {
            access: Access::new(&settings.group),
            registry: Registry::default(),
            operations: Arc::default(),
            metrics: Metrics::new(),
            watch: Watch::new(),
            spare_workers: SpareWorkers::new(hcs_container::pinned_program::open(&config.worker)?),
            cpu_groups: Mutex::new(open_cpu_groups(&config)),
            crashes: Mutex::new(crashes),
            machine_users: Mutex::new(machine_users),
            _lock: lock,
            has_kvm: Default::default(),
            sessions: Mutex::default(),
            config,
        }))
    }

    /// Whether virtual processors can be the host's own; found out when somebody first wants to know.
    pub async fn has_kvm(&self) -> bool {
        let probe = || blocking::run(hcs_machine::kvm::is_usable);
        // What could not be found out now is asked again next time.
        self.has_kvm.get_or_try_init(probe).await.copied().unwrap_or(false)
    }

    /// The attached session with this token.
    pub fn session(&self, token: &str) -> Option<Arc<Session>> {
        self.sessions().get(token).and_then(Weak::upgrade)
    }

    /// Enters an attached session. One that it replaces is returned.
    pub fn enter_session(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.strong_count() > 0);
        let token = session.token.clone()?;
        sessions.insert(token, Arc::downgrade(session)).and_then(|old| old.upgrade())
    }

    /// Removes the cgroup folders of this service that nothing is in.
    pub fn leave_cgroups(&self) {
        if let Some(groups) = &*self.cpu_groups.lock().unwrap_or_else(PoisonError::into_inner) {
            groups.leave();
        }
        hcs_container::container::remove_empty_parent(&self.config.cgroup_parent);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder for us alone; the socket inside has rights of its own, so the run folder can be passed through.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
}

fn open_cpu_groups(config: &Config) -> Option<CpuGroups> {
    let mountinfo = hcs_core::mountinfo::read().ok()?;
    // What is mounted at a place that is no UTF-8 is no hierarchy.
    let mount = CpusetMount::find(&mountinfo)?;
    let folder = format!("{}/cpu-groups", config.cgroup_parent);
    match CpuGroups::open(
        mount,
        std::path::Path::new(&folder),
        &config.settings.state_folder.join("cpu-groups"),
    ) {
        Ok(groups) => {
            for problem in groups.problems() {
                tracing::warn!(%problem, "a CPU group is not as it was recorded");
            }
            Some(groups)
        }
        Err(error) => {
            tracing::warn!(%error, "there are no CPU groups");
            None
        }
    }
}
