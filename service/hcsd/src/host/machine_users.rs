//! Every virtual machine has a user of its own: whoever breaks out of one is still kept from the files of all others.
//!
//! Which machine has which is written down, because files are given to users by their numbers: a machine of the same id
//! has the same user again, as long as this host lives. A number is never computed, so no two machines share one.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::durable;

/// The group that every machine is in.
pub const GROUP: u32 = USUAL.start - 1;

/// Numbers that distributions give to nobody.
pub const USUAL: Range<u32> = 1_879_048_192..1_879_113_728;

const FILE: &str = "users.json";

/// Who is who.
#[derive(Debug)]
pub struct MachineUsers {
    folder: PathBuf,
    range: Range<u32>,
    users: BTreeMap<String, u32>,
}

impl MachineUsers {
    /// Reads what was written down.
    pub fn open(folder: &Path, range: Range<u32>) -> io::Result<MachineUsers> {
        durable::sweep(folder)?;
        let users = match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(MachineUsers { folder: folder.to_owned(), range, users })
    }

    /// The user of a machine; a new one is written down before it is told.
    pub fn user_of(&mut self, id: &str) -> io::Result<u32> {
        if let Some(user) = self.users.get(id) {
            return Ok(*user);
        }
        let taken: std::collections::BTreeSet<u32> = self.users.values().copied().collect();
        let free = self.range.clone().find(|user| !taken.contains(user));
        let user = free.ok_or_else(|| {
            let file = self.folder.join(FILE);
            io::Error::other(format!(
                "every one of the {} users for machines belongs to an id already; stop the service, and remove ids of machines that \
                 will not come back from {}",
                self.range.len(),
                file.display()
            ))
        })?;
        let mut users = self.users.clone();
        users.insert(id.to_owned(), user);
        durable::write(&self.folder, FILE, &serde_json::to_vec_pretty(&users)?)?;
        self.users = users;
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_its_user_and_nobody_else_has_it() {
        let folder = std::env::temp_dir().join(format!("hcs-machine-users-{}", std::process::id()));
        let mut users = MachineUsers::open(&folder, 100..102).unwrap();
        assert_eq!((users.user_of("a").unwrap(), users.user_of("b").unwrap()), (100, 101));
        let error = users.user_of("c").unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        let mut again = MachineUsers::open(&folder, 100..103).unwrap();
        assert_eq!((again.user_of("b").unwrap(), again.user_of("c").unwrap()), (101, 102));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
