//! What each handle of the program stands for.

use std::sync::{Arc, LazyLock};

use hcs_core::Cause;
use hdv::Device;

use crate::{
    abi::Handle, devices::host::DeviceHost, handles::Handles, operation::Operation, process::Process,
    system::System, target::Registration,
};

/// What a handle stands for.
pub enum Object {
    /// `HCS_OPERATION`.
    Operation(Arc<Operation>),
    /// `HCS_SYSTEM`.
    System(Arc<System>),
    /// `HCS_PROCESS`.
    Process(Arc<Process>),
    /// `HCS_CALLBACK`.
    Callback(Arc<Registration>),
    /// `HDV_HOST`.
    DeviceHost(Arc<DeviceHost>),
    /// `HDV_DEVICE`.
    Device(Arc<Device>),
}

static TABLE: LazyLock<Handles<Object>> = LazyLock::new(Handles::new);

/// A new handle; it is valid once something is inserted.
pub fn reserve() -> Handle {
    TABLE.reserve()
}

/// Makes a handle valid.
pub fn insert(handle: Handle, object: Object) {
    TABLE.insert(handle, object);
}

/// How many handles are valid.
#[cfg(fuzzing)]
pub fn count() -> usize {
    TABLE.count()
}

macro_rules! accessors {
    ($( $access:ident $name:ident $variant:ident $type:ident; )+) => {
        $(
            /// What a handle of this kind stands for; `remove` ends it, and of two threads only one gets the object.
            pub fn $name(handle: Handle) -> Result<Arc<$type>, Cause> {
                let found = TABLE.$access(handle, |object| match object {
                    Object::$variant(object) => Some(object.clone()),
                    _ => None,
                });
                found.ok_or(Cause::InvalidArgument)
            }
        )+
    };
}

accessors! {
    get operation Operation Operation;
    get system System System;
    get process Process Process;
    get device_host DeviceHost DeviceHost;
    get device Device Device;
    remove remove_operation Operation Operation;
    remove remove_system System System;
    remove remove_process Process Process;
    remove remove_callback Callback Registration;
    remove remove_device_host DeviceHost DeviceHost;
    remove remove_device Device Device;
}
