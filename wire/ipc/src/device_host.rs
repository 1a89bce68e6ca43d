//! The words between the worker of a virtual machine and an application that is a host of devices for it.
//!
//! hcsd introduces them: the application gets one end of a socket pair, and from then on they speak without hcsd, so that its
//! death takes no device from a machine. Either side frames JSON as [`crate::frame`] says. The worker asks, by number, and the
//! application answers; it also tells by itself what has become of a device. Whoever hangs up is gone, with all devices.
//! The worker hangs up on an application that answers what it was not asked, or twice; that sends a descriptor, or more than
//! 64 KiB in a message; or that leaves 64 questions open.
//!
//! What the guest does to a device goes neither this way nor through the worker: QEMU connects to the socket that comes with
//! [`Ask::Serve`] and speaks vfio-user there.

use hcs_schema::Guid;
use serde::{Deserialize, Serialize};

use crate::worker::{Failure, Numbered};

/// The version that is spoken.
pub const VERSION: u32 = 1;

/// A message of the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToHost {
    /// The first message.
    Welcome {
        /// The version that is spoken from now on.
        version: u32,
        /// The host has fewer rights: its doorbells and sections are refused.
        is_restricted: bool,
    },
    /// Something is asked.
    Ask(Numbered<Ask>),
}

/// What the worker asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Is it you who has this device? Several hosts are asked so at once, before one of them is asked to be it. Answer:
    /// [`Said::Done`] or [`Said::NotHere`], at once; nothing else happens.
    Has {
        /// Which device.
        instance: Guid,
        /// What kind it is.
        class: Guid,
    },
    /// Be this device. Beside it comes the listening socket at which QEMU connects once. Answer: [`Said::Done`] when the device is
    /// initialized, configured and has told what it is; [`Said::NotHere`] if there is none of this class and instance.
    Serve {
        /// Which device.
        instance: Guid,
        /// What kind it is.
        class: Guid,
        /// What its document tells it, in order.
        configuration: Vec<String>,
    },
    /// The processors of the machine are about to run. Answer: [`Said::NotHere`] if QEMU has hung up on the device.
    Start {
        /// Which device.
        instance: Guid,
    },
    /// They have stopped.
    Stop {
        /// Which device.
        instance: Guid,
    },
    /// The machine has the device no more.
    Remove {
        /// Which device.
        instance: Guid,
    },
}

/// What the application answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It is done.
    Done,
    /// There is no such device, or it is in the machine no more.
    NotHere,
    /// It failed.
    Failed(Failure),
}

/// A message of the application.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromHost {
    /// An answer.
    Reply(Numbered<Said>),
    /// QEMU has connected to a device. Beside it comes a duplicate of that socket, for the worker to hold: the kernel tells who is at
    /// the other end of a socket that closes with something unread of an error, by which QEMU ends; of one that is shut down first
    /// it tells nothing but the end.
    Connected {
        /// Which device.
        instance: Guid,
    },
    /// A device does not work any more, and QEMU was hung up on.
    Broken {
        /// Which device.
        instance: Guid,
        /// Why.
        detail: String,
    },
}
