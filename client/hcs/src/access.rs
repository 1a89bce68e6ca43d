//! Who may use a file: entries of its POSIX access control list for users of virtual machines.
//!
//! They are set by the caller, with the caller's own rights on the file: the service never touches it.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error as CoreError};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, XattrFlags},
    io::Errno,
};

use crate::Error;

/// Whom an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user, with the right to read and to write.
    User(u32),
    /// A group, with the right to read.
    Group(u32),
}

const ACCESS: &str = "system.posix_acl_access";
/// What is made in a folder begins with these.
const DEFAULT: &str = "system.posix_acl_default";

const READ: u16 = 4;
const WRITE: u16 = 2;
const SEARCH: u16 = 1;

/// Gives somebody a right to a file, or to a folder and what will be made in it.
pub fn grant(path: &Path, who: Who) -> Result<(), Error> {
    change(path, |list, is_folder| list.set(who, is_folder))
}

/// Takes it away. That there is none is fine.
pub fn revoke(path: &Path, who: Who) -> Result<(), Error> {
    change(path, |list, _| list.remove(who))
}

/// The first folder above a file through which somebody who is in none of its groups cannot pass, if there is one.
pub fn closed_folder(path: &Path, user: u32) -> Option<PathBuf> {
    let absolute = fs::canonicalize(path).ok()?;
    let mut above: Vec<&Path> = absolute.ancestors().skip(1).collect();
    above.reverse();
    let passes = |folder: &Path| {
        let mode = fs::metadata(folder).map_or(0, |about| about.permissions().mode());
        mode & u32::from(SEARCH) != 0
            || List::read(folder, ACCESS).is_ok_and(|list| list.is_some_and(|list| list.lets_pass(user)))
    };
    above.into_iter().find(|folder| !passes(folder)).map(Path::to_owned)
}

/// All is done to the file that is opened here, whatever comes to stand at its path meanwhile.
fn change(path: &Path, act: impl Fn(&mut List, bool)) -> Result<(), Error> {
    let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(|errno| failed(path)(errno.into()))?;
    let own = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let about = fs::metadata(&own).map_err(failed(path))?;
    let _lock = if about.is_file() { lock(&own, path)? } else { None };
    let names: &[&str] = if about.is_dir() { &[ACCESS, DEFAULT] } else { &[ACCESS] };
    for name in names {
        let list = List::read(&own, name).map_err(failed(path))?;
        let mut list = list.unwrap_or_else(|| List::of_mode(about.permissions().mode()));
        act(&mut list, about.is_dir());
        list.write(&own, name).map_err(failed(path))?;
    }
    Ok(())
}

/// Two who change the list of one file do so one after the other, or the entry of one is lost. Folders are not locked: that
/// says of one that it is a layer in use. Anybody who may read a file can lock it, so this waits for so long at most.
fn lock(own: &Path, path: &Path) -> Result<Option<fs::File>, Error> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(5);
    // Its owner may say who may use it also if he may not read it.
    let Ok(file) = fs::File::open(own) else { return Ok(None) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => {
                let detail = format!("somebody has locked {}", path.display());
                return Err(CoreError::new(Cause::InUse, detail).into());
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(path)(errno.into())),
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    let what = format!("changing who may use {}", path.display());
    move |error| match error.raw_os_error() {
        Some(libc::ENOTSUP) => {
            let detail = format!("{what}: its file system keeps no lists of access");
            CoreError::new(Cause::NotSupported, detail).into()
        }
        _ => CoreError::from_io(&error, &what).into(),
    }
}

/// A list, as the kernel has it: entries of kind, rights and number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List(Vec<(u16, u16, u32)>);

const VERSION: u32 = 2;
const OWNER: u16 = 1;
const USER: u16 = 2;
const OWNING_GROUP: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHERS: u16 = 32;
/// The number of entries that have none.
const NOBODY: u32 = u32::MAX;

impl List {
    /// What a mode says.
    fn of_mode(mode: u32) -> List {
        let rights = |shift: u32| (mode >> shift & 7) as u16;
        List(vec![(OWNER, rights(6), NOBODY), (OWNING_GROUP, rights(3), NOBODY), (OTHERS, rights(0), NOBODY)])
    }

    fn read(path: &Path, name: &str) -> io::Result<Option<List>> {
        let mut buffer = vec![0; 64 << 10];
        match rustix::fs::getxattr(path, name, &mut buffer) {
            Ok(length) => List::parse(&buffer[..length])
                .map(Some)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its list of access is damaged")),
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn parse(bytes: &[u8]) -> Option<List> {
        let (version, entries) = bytes.split_at_checked(4)?;
        if version != VERSION.to_le_bytes() || entries.len() % 8 != 0 {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            (half(0), half(2), u32::from(half(4)) | u32::from(half(6)) << 16)
        };
        Some(List(entries.chunks_exact(8).map(entry).collect()))
    }

    fn write(&self, path: &Path, name: &str) -> io::Result<()> {
        if name == DEFAULT && self.0.len() == 3 {
            // Nobody is named any more, so there is nothing to be passed on.
            return match rustix::fs::removexattr(path, name) {
                Err(errno) if errno != Errno::NODATA => Err(errno.into()),
                _ => Ok(()),
            };
        }
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (kind, rights, number) in &self.0 {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
        Ok(rustix::fs::setxattr(path, name, &bytes, XattrFlags::empty())?)
    }

    fn set(&mut self, who: Who, is_folder: bool) {
        self.0.retain(|entry| !is_of(entry, who));
        let search = if is_folder { SEARCH } else { 0 };
        self.0.push(match who {
            Who::User(user) => (USER, READ | WRITE | search, user),
            Who::Group(group) => (GROUP, READ | search, group),
        });
        self.settle();
    }

    fn remove(&mut self, who: Who) {
        let before = self.0.len();
        self.0.retain(|entry| !is_of(entry, who));
        if self.0.len() != before {
            self.settle();
        }
    }

    /// The kernel wants them in order, and with a mask if anybody is named: what the named may have at most.
    fn settle(&mut self) {
        self.0.retain(|entry| entry.0 != MASK);
        let named = |entry: &&(u16, u16, u32)| matches!(entry.0, USER | GROUP);
        if self.0.iter().any(|entry| named(&entry)) {
            let limited = |entry: &&(u16, u16, u32)| matches!(entry.0, USER | GROUP | OWNING_GROUP);
            let mask = self.0.iter().filter(limited).fold(0, |mask, entry| mask | entry.1);
            self.0.push((MASK, mask, NOBODY));
        }
        self.0.sort_unstable_by_key(|entry| (entry.0, entry.2));
    }

    fn lets_pass(&self, user: u32) -> bool {
        let mask = self.0.iter().find(|entry| entry.0 == MASK).map_or(7, |entry| entry.1);
        self.0.iter().any(|entry| is_of(entry, Who::User(user)) && entry.1 & mask & SEARCH != 0)
    }
}

fn is_of(entry: &(u16, u16, u32), who: Who) -> bool {
    match who {
        Who::User(user) => (entry.0, entry.2) == (USER, user),
        Who::Group(group) => (entry.0, entry.2) == (GROUP, group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_it_was_when_everybody_who_was_named_is_gone() {
        let before = List::of_mode(0o640);
        let mut list = before.clone();
        list.set(Who::User(70_000), false);
        list.set(Who::Group(9), false);
        list.set(Who::User(70_000), true);
        let expected = [
            (OWNER, 6, NOBODY),
            (USER, 7, 70_000),
            (OWNING_GROUP, 4, NOBODY),
            (GROUP, 4, 9),
            (MASK, 7, NOBODY),
            (OTHERS, 0, NOBODY),
        ];
        assert_eq!(list.0, expected);
        assert!(list.lets_pass(70_000) && !list.lets_pass(70_001));
        list.remove(Who::User(70_000));
        list.remove(Who::User(5));
        assert_eq!(list.0.iter().find(|entry| entry.0 == MASK), Some(&(MASK, 4, NOBODY)));
        list.remove(Who::Group(9));
        assert_eq!(list, before);
    }

    #[test]
    fn nobody_is_lost_of_many_who_are_named_at_once() {
        let path = std::env::temp_dir().join(format!("hcs-access-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        std::thread::scope(|scope| {
            for user in 70_000..70_032 {
                let path = &path;
                scope.spawn(move || grant(path, Who::User(user)).unwrap());
            }
        });
        let list = List::read(&path, ACCESS).unwrap().unwrap();
        assert_eq!(list.0.iter().filter(|entry| entry.0 == USER).count(), 32);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn damaged_lists_are_told() {
        assert_eq!(List::parse(&[2, 0, 0]), None);
        assert_eq!(List::parse(&[3, 0, 0, 0]), None);
        assert_eq!(List::parse(&[2, 0, 0, 0, 1]), None);
        assert_eq!(List::parse(&[2, 0, 0, 0, 8, 0, 4, 0, 1, 0, 2, 0]), Some(List(vec![(8, 4, 131_073)])));
    }
}
