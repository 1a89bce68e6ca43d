//! The exports of the group Utility Functions for Virtual Machines that are about saved machines.
#![allow(unsafe_code, reason = "exported names")]

use hcs::saved;
use hcs_core::Cause;
use hcs_schema::Any;

use crate::{
    abi::{Code, Out, Owned, Text, utf16},
    call::tell,
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
    tell(|| {
        let requirements = saved::processor_requirements(&path(file)?)?;
        let text = Any::from_value(&requirements).map_err(|_| Cause::Unexpected)?;
        if !features.is_null() {
            features.set(Owned::copy(&utf16(text.get()))?);
        }
        Ok(())
    })
}
