//! A service that does not stay: it ends with whoever started it, and takes everything with it.
//!
//! Its standard input is a pipe from them, which ends with them, however they end.

use std::{fs, io::Read, path::Path, thread, time::Duration};

use hcs_core::{Error, Exit, mountinfo};
use tokio::sync::oneshot;

use crate::service::Service;

/// How long a system may take to end. One whose creation was given up meanwhile never says so.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Returns when the standard input has ended.
pub async fn until_input_ends() {
    let (ended, end) = oneshot::channel();
    // A thread of its own: the runtime would wait for one of its own threads at the end.
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while std::io::stdin().read(&mut buffer).is_ok_and(|length| length > 0) {}
        // The service may be stopping already.
        let _ = ended.send(());
    });
    // An error would say that the thread is gone, and the input with it.
    let _ = end.await;
}

/// Ends all systems and removes what the service has made.
pub async fn leave(service: &Service, root: &Path) -> Result<(), Error> {
    let systems = service.registry.all();
    for system in &systems {
        system.end(Exit::TerminatedByClient);
    }
    for system in &systems {
        if tokio::time::timeout(LAST_WORDS, system.wait_for_exit()).await.is_err() {
            tracing::error!(id = %system.id, "a system has not ended");
        }
    }
    service.leave_cgroups();
    let removed = mountinfo::unmount_below(root).and_then(|()| fs::remove_dir_all(root));
    removed.map_err(|error| Error::from_io(&error, format!("removing {}", root.display())))?;
    tracing::info!("stopped; everything is removed");
    Ok(())
}
