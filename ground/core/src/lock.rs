//! Locks on files, which end with the last descriptor and so with the process: no crash leaves one. Of what may be removed by who has
//! the lock, the lock alone says nothing: whoever waited for it has that of something that is nowhere any more. [`take_at`] and
//! [`is_at`] tell.

use std::{io, ops::Deref, os::fd::AsFd, path::Path};

use rustix::{fs::FlockOperation, io::Errno};

/// Something that is locked until this goes. The lock is given back by name: closing the descriptor would leave it to whoever
/// has a copy, as a program has that another thread is just starting, and who only tries would find somebody at work.
#[derive(Debug)]
pub struct Held<F: AsFd>(F);

impl<F: AsFd> Held<F> {
    /// Of what is locked already, in whichever way.
    pub fn of(locked: F) -> Held<F> {
        Held(locked)
    }

    /// Locks it unless somebody has.
    pub fn try_take(file: F) -> Result<Option<Held<F>>, Errno> {
        Ok(try_take(&file)?.then_some(Held(file)))
    }
}

impl<F: AsFd> Deref for Held<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F: AsFd> Drop for Held<F> {
    fn drop(&mut self) {
        // Nothing speaks against it that closing would not mend.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the lock. It is waited for as long as somebody has it, so it is for what nobody has for long.
pub fn take(file: impl AsFd) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

/// Takes the lock unless somebody has it; whether it is ours now.
pub fn try_take(file: impl AsFd) -> Result<bool, Errno> {
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Takes the lock of what is at a place, which `open` opens there, or makes; links are not followed. If somebody has removed it
/// before it was ours, what is there then is opened.
pub fn take_at<F: AsFd>(place: &Path, mut open: impl FnMut() -> io::Result<F>) -> io::Result<Held<F>> {
    loop {
        let file = open()?;
        take(&file)?;
        let file = Held(file);
        if is_at(&*file, place)? {
            return Ok(file);
        }
    }
}

/// Whether this very file is what is at a place, and neither nothing nor another.
pub fn is_at(file: impl AsFd, place: &Path) -> Result<bool, Errno> {
    let own = rustix::fs::fstat(file)?;
    Ok(rustix::fs::lstat(place).is_ok_and(|there| (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::PathBuf,
    };

    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("hcs-core-lock-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_lock_is_of_one_at_a_time_and_ends_with_its_file() {
        let place = place("one");
        let first = File::create(&place).unwrap();
        let second = File::open(&place).unwrap();
        assert_eq!(try_take(&first), Ok(true));
        assert_eq!(try_take(&second), Ok(false));
        drop(first);
        assert_eq!(try_take(&second), Ok(true));
        fs::remove_file(place).unwrap();
    }

    #[test]
    fn a_lock_that_is_given_back_is_free_though_somebody_has_a_copy_of_the_file() {
        let place = place("copied");
        let file = File::create(&place).unwrap();
        let copy = file.try_clone().unwrap();
        let held = Held::try_take(file).unwrap().expect("nobody else has it");
        let other = File::open(&place).unwrap();
        assert_eq!(try_take(&other), Ok(false));
        drop(held);
        assert_eq!(try_take(&other), Ok(true));
        drop(copy);
        fs::remove_file(place).unwrap();
    }

    #[test]
    fn what_was_removed_before_it_was_locked_is_opened_anew() {
        let place = place("removed");
        let mut opened = 0;
        let file = take_at(&place, || {
            let file = File::create(&place)?;
            opened += 1;
            if opened == 1 {
                // As who had the lock does it.
                fs::remove_file(&place)?;
            }
            Ok(file)
        })
        .unwrap();
        assert_eq!(opened, 2);
        assert_eq!(is_at(&*file, &place), Ok(true));
        fs::rename(&place, place.with_extension("old")).unwrap();
        File::create(&place).unwrap();
        assert_eq!(is_at(&*file, &place), Ok(false));
        fs::remove_file(&place).unwrap();
        assert_eq!(is_at(&*file, &place), Ok(false));
        fs::remove_file(place.with_extension("old")).unwrap();
    }
}
