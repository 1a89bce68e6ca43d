//! Files that machines are saved to, and that their firmware remembers in. Making and reading them needs no service.

use std::{fs::File, path::Path};

use hcs_core::Error as CoreError;
use hcs_schema::VmProcessorRequirements;
use hcs_state::{
    guest,
    runtime::{self, Saved},
};

use crate::{Error, document::from_any};

/// Makes an empty file that a virtual machine can be saved to. A file that is there is an error.
pub fn create_empty_runtime_state(path: &Path) -> Result<(), Error> {
    Ok(runtime::create_empty(path)?)
}

/// Makes a file in which the firmware of a virtual machine remembers nothing yet. A file that is there is an error.
pub fn create_empty_guest_state(path: &Path) -> Result<(), Error> {
    Ok(guest::create_empty(path)?)
}

/// What the processors of a host must be able to do for the machine that was saved to a file.
pub fn processor_requirements(path: &Path) -> Result<VmProcessorRequirements, Error> {
    let file = File::open(path)
        .map_err(|error| CoreError::from_io(&error, format!("opening {}", path.display())))?;
    let saved = Saved::open(file)?;
    from_any(&crate::document::to_any(&saved.description.processor))
}
