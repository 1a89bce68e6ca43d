//! The exports of the group Utility Functions for Virtual Machines that are about saved machines.
#![expect(unsafe_code, reason = "exported names")]

use hcs::saved;
use hcs_core::Cause;
use hcs_schema::Any;

use crate::{
    abi::{Code, Out, Owned, Text, code, utf16},
    call::tell,
    systems::hand_out,
    vm_access::path,
};

#[unsafe(no_mangle)]
extern "C" fn HcsCreateEmptyGuestStateFile(file: Text) -> Code {
    tell(|| saved::create_empty_guest_state(&path(file)?))
}

#[unsafe(no_mangle)]
extern "C" fn HcsCreateEmptyRuntimeStateFile(file: Text) -> Code {
    tell(|| saved::create_empty_runtime_state(&path(file)?))
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetProcessorCompatibilityFromSavedState(file: Text, features: Out<Owned>) -> Code {
    features.clear();
    let found = || -> Result<Any, hcs::Error> {
        let requirements = saved::processor_requirements(&path(file)?)?;
        Ok(Any::from_value(&requirements).map_err(|_| Cause::Unexpected)?)
    };
    let written = found().map_err(|error| code(error.cause));
    written.and_then(|text| hand_out(&utf16(text.get()), features)).err().unwrap_or(0)
}
