//! Changes of a machine that exists, as plain data: hcsd makes one of a ModifySettingRequest ([`request`]), the worker carries it
//! out ([`crate::machine::changes`]).

mod request;

use hcs_schema::Guid;
pub use request::REFUSED;
use serde::{Deserialize, Serialize};

use crate::plan::{
    Adapter, Disk, HostedDevice, MappedFile, PersistentDevice, Pipe, SharedRegion, shares::FolderShare,
    topology::Share,
};

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The size of the memory.
    Memory {
        /// What it is to be.
        mib: u64,
    },
    /// How much of the host's processors the machine may use.
    Share(Share),
    /// How many of its processors it may not use.
    Idle {
        /// So many.
        processors: u32,
    },
    /// On which processors of the host it runs.
    Processors {
        /// These; none is all.
        list: Option<Vec<u32>>,
    },
    /// A disk comes.
    AttachDisk {
        /// The name of its controller.
        controller: String,
        /// The disk.
        disk: Disk,
        /// Whether it takes the place of one that is there.
        replaces: bool,
    },
    /// A disk goes.
    DetachDisk {
        /// The name of its controller.
        controller: String,
        /// Its number.
        lun: u32,
    },
    /// An adapter comes.
    AddAdapter(Adapter),
    /// The cable of an adapter is plugged in or pulled out.
    ConnectAdapter {
        /// What the document calls it.
        key: String,
        /// Which.
        connected: bool,
    },
    /// An adapter goes.
    RemoveAdapter {
        /// What the document calls it.
        key: String,
    },
    /// A device of persistent memory comes.
    AddPersistent(PersistentDevice),
    /// A file is put into a device of persistent memory.
    MapPersistent {
        /// The number of the device.
        number: u32,
        /// The file.
        file: MappedFile,
    },
    /// A file is taken out of a device of persistent memory.
    UnmapPersistent {
        /// The number of the device.
        number: u32,
        /// Where it begins there.
        offset: u64,
    },
    /// Memory is shared.
    AddShared(SharedRegion),
    /// Memory is not shared any more.
    RemoveShared {
        /// What the document calls it.
        section: String,
        /// Where it begins there.
        offset: u64,
    },
    /// A socket of somebody on the host becomes a port of the guest.
    MapPipe {
        /// Where it is.
        socket: String,
    },
    /// It is one no more.
    UnmapPipe {
        /// Where it is.
        socket: String,
    },
    /// What a service of the machine's sockets may do, which the rights of their folder say.
    Service,
    /// A folder is shared.
    AddShare(FolderShare),
    /// A folder is shared no more.
    RemoveShare {
        /// What it is called.
        name: String,
        /// At which port, if that is said.
        #[serde(default)]
        port: Option<u32>,
    },
    /// A device of an application comes.
    AddHosted(HostedDevice),
    /// A device of an application goes.
    RemoveHosted {
        /// Which.
        instance: Guid,
    },
    /// A serial port is connected to another socket, or to none.
    SerialPort {
        /// Which.
        number: usize,
        /// Where.
        pipe: Option<Pipe>,
    },
}

/// Where a request says what is to be.
pub(crate) const SETTINGS: &str = "$.Settings";
/// Where a request says of what.
pub(crate) const PATH: &str = "$.ResourcePath";

impl Change {
    /// Whether it is complete only when the guest has done its part.
    pub fn needs_guest(&self) -> bool {
        matches!(
            self,
            Change::Memory { .. }
                | Change::RemoveAdapter { .. }
                | Change::RemoveShared { .. }
                | Change::RemoveHosted { .. }
        )
    }

    /// The socket that the change makes.
    pub fn socket(&self) -> Option<&str> {
        match self {
            Change::SerialPort { pipe, .. } => pipe.as_ref().map(|pipe| pipe.socket.as_str()),
            _ => None,
        }
    }
}
