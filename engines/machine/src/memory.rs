//! The memory of a machine as files without a name: QEMU maps them, and we can save them and give them to clones.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use hcs_state::runtime::Saved;
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, SealFlags},
    io::Errno,
};

use crate::plan::Plan;

/// The memory of a machine.
pub struct Memory {
    /// What it boots with.
    pub boot: File,
    /// What it may get.
    pub more: Option<File>,
    /// What it boots with is that of a template, and is only read.
    pub is_private: bool,
}

fn failed(errno: Errno) -> Error {
    Error::from_errno(errno.raw_os_error(), "making the memory of the machine")
}

/// A file without a name, of so many MiB, all of them zero.
pub fn nameless(name: &str, mib: u64) -> Result<File, Error> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create(name, flags).map_err(failed)?);
    rustix::fs::ftruncate(&file, mib << 20).map_err(failed)?;
    Ok(file)
}

/// Opens a file without a name once more, to be read or to be written: QEMU wants one that can do nothing else.
pub fn reopen(file: &impl AsRawFd, access: OFlags) -> Result<OwnedFd, Errno> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(own, access | OFlags::CLOEXEC, Mode::empty())
}

impl Memory {
    /// New memory for a plan.
    pub fn new(plan: &Plan) -> Result<Memory, Error> {
        let growth = plan.growth_mib();
        let memory = Memory {
            boot: nameless("hcs-memory", plan.memory.boot_mib)?,
            more: (growth > 0).then(|| nameless("hcs-growth", growth)).transpose()?,
            is_private: false,
        };
        for file in memory.regions() {
            // An application that is a device maps it, and must not die of what QEMU does to it.
            // Whatever the guest may get lies in it already, so it never grows either.
            rustix::fs::fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW).map_err(failed)?;
        }
        Ok(memory)
    }

    /// The memory that was saved, and the state of the devices.
    pub fn load(plan: &Plan, saved: &Saved) -> Result<(Memory, File), Error> {
        let memory = Memory::new(plan)?;
        let state = nameless("hcs-state", 0)?;
        let regions = memory.regions();
        let sizes: Vec<u64> =
            regions.iter().map(|file| file.metadata().map_or(0, |about| about.len())).collect();
        if saved.regions().collect::<Vec<_>>() != sizes {
            return Err(Error::new(Cause::InvalidData, "its memory has another size than it says"));
        }
        saved.load(&state, &regions)?;
        Ok((memory, state))
    }

    /// Each file.
    pub fn regions(&self) -> Vec<&File> {
        [&self.boot].into_iter().chain(&self.more).collect()
    }

    /// The same once more.
    pub fn try_clone(&self) -> Result<Memory, Error> {
        let failed = |error| Error::from_io(&error, "holding the memory of the machine");
        Ok(Memory {
            boot: self.boot.try_clone().map_err(failed)?,
            more: self.more.as_ref().map(File::try_clone).transpose().map_err(failed)?,
            is_private: self.is_private,
        })
    }

    /// Nobody seals it any more: whoever maps it from now on writes there as long as they want.
    pub fn seal(&self) -> Result<(), Error> {
        for file in self.regions() {
            rustix::fs::fcntl_add_seals(file, SealFlags::SEAL).map_err(failed)?;
        }
        Ok(())
    }

    /// Nobody changes it any more: whoever has mapped it stands still, and nobody else can.
    pub fn freeze(&self) -> Result<(), Error> {
        for file in self.regions() {
            rustix::fs::fcntl_add_seals(file, SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW)
                .map_err(failed)?;
            rustix::fs::fchmod(file, Mode::RUSR | Mode::RGRP | Mode::ROTH).map_err(failed)?;
        }
        Ok(())
    }
}
