//! The exports of the group Utility Functions for Virtual Machines that are about access to files.
#![expect(unsafe_code, reason = "exported names")]

use std::path::PathBuf;

use hcs::{
    Error,
    access::{self, Who},
};
use hcs_core::Cause;
use hcs_ipc::compute::GetMachineUser;

use crate::{
    abi::{Code, Text},
    call::tell,
    link::link,
};

/// An absolute path.
pub fn path(text: Text) -> Result<PathBuf, Error> {
    let path = PathBuf::from(text.id()?);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(Cause::InvalidArgument.into()),
    }
}

/// The user of a machine; a machine need not exist for that.
fn user(id: Text) -> Result<Who, Error> {
    let call = GetMachineUser { id: Some(id.id()?) };
    let (reply, _) = link()?.call_wait(&call)?;
    reply.user.map(Who::User).ok_or(Cause::Unexpected.into())
}

fn group() -> Result<Who, Error> {
    let (reply, _) = link()?.call_wait(&GetMachineUser { id: None })?;
    Ok(Who::Group(reply.group))
}

#[unsafe(no_mangle)]
extern "C" fn HcsGrantVmAccess(id: Text, file: Text) -> Code {
    tell(|| access::grant(&path(file)?, user(id)?))
}

#[unsafe(no_mangle)]
extern "C" fn HcsRevokeVmAccess(id: Text, file: Text) -> Code {
    tell(|| access::revoke(&path(file)?, user(id)?))
}

#[unsafe(no_mangle)]
extern "C" fn HcsGrantVmGroupAccess(file: Text) -> Code {
    tell(|| access::grant(&path(file)?, group()?))
}

#[unsafe(no_mangle)]
extern "C" fn HcsRevokeVmGroupAccess(file: Text) -> Code {
    tell(|| access::revoke(&path(file)?, group()?))
}
