//! Files that QEMU is given by their descriptors. It keeps them in sets, and opens one of a set as it opens a path.

use std::os::fd::BorrowedFd;

use hcs_core::Error;
use serde_json::json;

use super::Running;

/// A file in a set of its own.
pub struct Given {
    /// The number of the set.
    pub set: i64,
    /// The descriptor that QEMU has.
    pub file: i64,
}

impl Running {
    /// Gives QEMU a file, until [`Running::take_file_back`].
    pub(super) fn give_file(&mut self, file: BorrowedFd<'_>) -> Result<Given, Error> {
        let added = self.qmp.run_with("add-fd", json!({}), Some(file))?;
        let number = |name: &str| added[name].as_i64().unwrap_or(-1);
        Ok(Given { set: number("fdset-id"), file: number("fd") })
    }

    /// Takes back what was given. Who has opened it still has it.
    pub(super) fn take_file_back(&mut self, set: i64) {
        let _ = self.qmp.run("remove-fd", json!({"fdset-id": set}));
    }

    /// Gives QEMU a file for as long as something is done with it.
    pub(super) fn with_file<T>(
        &mut self,
        file: BorrowedFd<'_>,
        act: impl FnOnce(&mut Running, &Given) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let given = self.give_file(file)?;
        let done = act(self, &given);
        self.take_file_back(given.set);
        done
    }
}
