//! Gives up what this program does not need, which is nearly everything.

use std::{fs::File, io, os::fd::AsFd};

use rustix::{
    process::{Gid, Uid},
    thread::{CapabilitySet, CapabilitySets},
};

/// Nobody: who owns nothing on a system.
const NOBODY: u32 = 65534;

/// Becomes a user without rights, to whom only this folder belongs. Without root it stays who it is. There must be one
/// thread.
pub fn confine(folder: &File) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::fs::fchown(folder.as_fd(), Some(uid), Some(gid))?;
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(rustix::thread::set_capabilities(None, none)?)
}
