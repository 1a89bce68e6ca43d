//! The compute systems of the service, by id.

use std::{
    collections::HashMap,
    fs,
    future::ready,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, SystemId};

use crate::{blocking, system::System};

/// How long a system that ended while hcsd was down can still be claimed.
pub const CLAIM_TIME: Duration = Duration::from_secs(10);

/// The living systems, and those that ended while hcsd was down.
#[derive(Default)]
pub struct Registry(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    systems: HashMap<String, Arc<System>>,
    ended: Vec<(Instant, Arc<System>)>,
}

impl Registry {
    /// Enters a system; its id must be free.
    pub fn enter(&self, system: &Arc<System>) -> Result<(), Error> {
        let mut inner = self.lock();
        if inner.systems.contains_key(system.id.key()) {
            return Err(Error::new(
                Cause::SystemAlreadyExists,
                format!("a compute system with the id {} exists", system.id),
            ));
        }
        inner.systems.insert(system.id.key().to_owned(), system.clone());
        Ok(())
    }

    /// Takes a system out, if it is the one that is in.
    pub fn forget(&self, system: &Arc<System>) {
        let mut inner = self.lock();
        if inner.systems.get(system.id.key()).is_some_and(|present| Arc::ptr_eq(present, system)) {
            inner.systems.remove(system.id.key());
        }
    }

    /// Keeps a system that ended while hcsd was down, for the clients that come back to it.
    pub fn remember_ended(&self, system: Arc<System>) {
        self.lock().ended.push((Instant::now(), system));
    }

    /// The system that a client knows from before a restart, alive or not.
    pub fn claim(&self, id: &SystemId, instance: &str) -> Option<Arc<System>> {
        let mut inner = self.lock();
        inner.ended.retain(|(since, _)| since.elapsed() < CLAIM_TIME);
        let living = inner.systems.get(id.key()).into_iter();
        living.chain(inner.ended.iter().map(|(_, system)| system)).find(|s| s.instance == instance).cloned()
    }

    /// The living system with this id.
    pub fn find(&self, id: &SystemId) -> Option<Arc<System>> {
        self.lock().systems.get(id.key()).cloned()
    }

    /// All living systems, by id.
    pub fn all(&self) -> Vec<Arc<System>> {
        let mut all: Vec<Arc<System>> = self.lock().systems.values().cloned().collect();
        all.sort_by(|one, other| one.id.key().cmp(other.id.key()));
        all
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run folder of a system.
pub fn folder(systems: &Path, id: &SystemId) -> PathBuf {
    systems.join(id.runtime_id().to_string())
}

/// Makes a system's run folder. Those who may reach the sockets of a machine pass through it, and nobody sees what is there.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
}

/// Removes a system's run folder; it is small and ours alone.
pub fn try_to_remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The same, and does not give up at once: it takes descriptors, of which there may be none at the moment.
pub async fn remove_folder(folder: &Path) {
    if let Err(error) = blocking::insist(|| ready(try_to_remove_folder(folder))).await {
        tracing::error!(folder = %folder.display(), %error, "a system's folder could not be removed");
    }
}
