//! Files that are made for somebody else: whoever acts for others has what it makes belong to them from the first moment on. A
//! change of the owner behind it could be of another file, if somebody else is as quick.

use rustix::{
    io::Errno,
    thread::{CapabilitySets, capabilities, set_capabilities},
};

use crate::sys;

/// Makes something that belongs to this user and group; what is in between must not be left by a panic. The rights on files
/// stay those of the process, which must have one thread.
pub fn making_for<T>(user: u32, group: u32, make: impl FnOnce() -> T) -> Result<T, Errno> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if (user, group) == own {
        return Ok(make());
    }
    sys::set_file_user(user, group).inspect_err(|_| {
        let _ = sys::set_file_user(own.0, own.1);
    })?;
    // Those that are about files have gone with the user.
    let held = capabilities(None)
        .and_then(|sets| set_capabilities(None, CapabilitySets { effective: sets.permitted, ..sets }));
    let made = held.map(|()| make());
    sys::set_file_user(own.0, own.1)?;
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_for_nobody_is_not_made() {
        let nobody = u32::MAX;
        let mut is_made = false;
        assert_eq!(making_for(nobody, nobody, || is_made = true), Err(Errno::PERM));
        assert!(!is_made);
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(making_for(own.0, own.1, || 7), Ok(7));
    }
}
