//! What the firmware and the trusted platform module of a machine remember: read from the guest state file when it starts, and
//! written there when it has ended. Meanwhile it is in memory, in the forms that they have it in.

use std::{fs::File, os::unix::fs::FileExt};

use hcs_core::{Cause, Error};
use hcs_state::{
    guest::{Content, GuestState},
    variables,
};
use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
};

use crate::{
    files,
    plan::{GuestStateFile, Host},
};

const AT: &str = "$.VirtualMachine.GuestState.GuestStateFilePath";

/// It, while the machine runs.
pub struct Remembered {
    /// The file, if it is to be written; nobody else has it.
    state: Option<GuestState>,
    /// The store of the firmware.
    pub variables: Option<File>,
    /// The memory of the module.
    pub tpm: Option<File>,
}

fn failed(error: std::io::Error) -> Error {
    Error::from_io(&error, "what the firmware remembers")
}

fn content(file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; file.metadata().map_err(failed)?.len() as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    Ok(bytes)
}

impl Remembered {
    /// Puts what a file remembers into the store of the firmware, which is as it is delivered, and into the memory of the
    /// module, which is empty.
    pub fn begin(
        planned: Option<&GuestStateFile>,
        host: &Host,
        variables: Option<File>,
        tpm: Option<File>,
    ) -> Result<Remembered, Error> {
        let Some(planned) = planned else { return Ok(Remembered { state: None, variables, tpm }) };
        let at = |error: Error| error.at(AT);
        let flags = if planned.is_kept { OFlags::RDWR } else { OFlags::RDONLY };
        let file = files::open(host, &planned.path, flags, AT)?;
        let lock = match planned.is_kept {
            true => FlockOperation::NonBlockingLockExclusive,
            false => FlockOperation::NonBlockingLockShared,
        };
        rustix::fs::flock(&file, lock).map_err(|errno| match errno {
            Errno::WOULDBLOCK => at(Error::new(
                Cause::InUse,
                format!("{} is the guest state of a machine that runs", planned.path),
            )),
            errno => at(Error::from_errno(errno.raw_os_error(), format!("locking {}", planned.path))),
        })?;
        let state = GuestState::open(file, planned.is_kept).map_err(at)?;
        if let Some(store) = &variables
            && let Some(packed) = state.read(Content::Variables).map_err(at)?
        {
            let mut volume = content(store)?;
            variables::into_volume(&mut volume, &variables::unpack(&packed).map_err(at)?).map_err(at)?;
            store.write_all_at(&volume, 0).map_err(failed)?;
        }
        if let Some(memory) = &tpm
            && let Some(blob) = state.read(Content::Tpm).map_err(at)?
        {
            memory.write_all_at(&blob, 0).map_err(failed)?;
        }
        Ok(Remembered { state: planned.is_kept.then_some(state), variables, tpm })
    }

    /// The machine has ended: what is remembered goes to the file.
    pub fn keep(&mut self) -> Result<(), Error> {
        let Some(mut state) = self.state.take() else { return Ok(()) };
        if let Some(store) = &self.variables {
            let packed = variables::pack(&variables::of_volume(&content(store)?)?)?;
            write(&mut state, Content::Variables, &packed)?;
        }
        if let Some(memory) = &self.tpm {
            write(&mut state, Content::Tpm, &content(memory)?)?;
        }
        Ok(())
    }
}

/// What is remembered already is not written again.
fn write(state: &mut GuestState, what: Content, bytes: &[u8]) -> Result<(), Error> {
    match state.read(what)?.as_deref() == Some(bytes) {
        true => Ok(()),
        false => state.write(what, bytes),
    }
}
