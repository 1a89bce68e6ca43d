//! Disks of a virtual machine.
//!
//! Keys are controller names and LUNs; LUNs are numbers as text, which reading checks.

use crate::kind::Keyed;
use crate::macros::{choices, documents};
use std::collections::BTreeMap;

documents! {
    /// A SCSI controller.
    pub struct Scsi {
        /// LUN (integer as text) → Attachment.
        "Attachments" 2.0 attachments: BTreeMap<String, Attachment> as Keyed<u32, Attachment>,
        /// Lower latency at higher per-interrupt cost.
        "DisableInterruptBatching" 2.4 disable_interrupt_batching: bool,
    }

    /// One medium on a SCSI controller LUN.
    pub struct Attachment {
        /// What is attached: virtual disk file, ISO image, or host physical device.
        "Type" 2.0 type_: AttachmentType,
        /// Host path of the image, or of the physical drive / device for PassThru.
        "Path" 2.0 path: String,
        /// Host cache policy for the image files.
        "CachingMode" 2.1 caching_mode: CachingMode,
        /// Guest may not write.
        "ReadOnly" 2.0 read_only: bool,
        /// Accept an image that sits on an NTFS-compressed volume.
        "SupportCompressedVolumes" 2.3 support_compressed_volumes: bool,
        /// Accept an image stored as a sparse file.
        "AlwaysAllowSparseFiles" 2.6 always_allow_sparse_files: bool,
        /// Accept an EFS-encrypted image file.
        "SupportEncryptedFiles" 2.6 support_encrypted_files: bool,
        /// Guest flushes are not passed to the host file.
        "IgnoreFlushes" client ignore_flushes: bool,
        /// Writes need not survive a host power loss.
        "NoWriteHardening" client no_write_hardening: bool,
        /// Do not optimise growth of the image.
        "DisableExpansionOptimization" client disable_expansion_optimization: bool,
        /// Find parents of a differencing disk by absolute path only.
        "IgnoreRelativeLocator" client ignore_relative_locator: bool,
        /// Attribute I/O to the process that caused it.
        "CaptureIoAttributionContext" client capture_io_attribution_context: bool,
        /// Provider of an ExtensibleVirtualDisk.
        "ExtensibleVirtualDiskType" client extensible_virtual_disk_type: String,
    }

    /// A persistent-memory controller.
    pub struct VirtualPMemController {
        /// Slot number → device.
        "Devices" 2.0 devices: BTreeMap<String, VirtualPMemDevice> as Keyed<u8, VirtualPMemDevice>,
        /// Pad Devices with empty slots up to this number.
        "MaximumCount" 2.0 maximum_count: u8,
        /// Size of padded slots; 0 = 512 MiB.
        "MaximumSizeBytes" 2.0 maximum_size_bytes: u64,
        /// Backing memory.
        "Backing" 2.1 backing: VirtualPMemBackingType,
    }

    /// A persistent-memory device.
    pub struct VirtualPMemDevice {
        /// Image.
        "HostPath" 2.0 host_path: String,
        /// No writes.
        "ReadOnly" 2.0 read_only: bool,
        /// VHD1 or VHDX.
        "ImageFormat" 2.0 image_format: VirtualPMemImageFormat,
        /// Device size (mapping mode).
        "SizeBytes" 2.2 size_bytes: u64,
        /// Byte offset → mapping.
        "Mappings" 2.2 mappings: BTreeMap<String, VirtualPMemMapping> as Keyed<u64, VirtualPMemMapping>,
    }

    /// An image mapped at an offset of a persistent-memory device.
    pub struct VirtualPMemMapping {
        /// Image.
        "HostPath" 2.2 host_path: String,
        /// VHD1 or VHDX.
        "ImageFormat" 2.2 image_format: VirtualPMemImageFormat,
    }

    /// Limits on storage traffic.
    pub struct StorageQoS {
        /// I/O per second cap.
        "IopsMaximum" 2.0 iops_maximum: u64,
        /// Bytes per second cap.
        "BandwidthMaximum" 2.0 bandwidth_maximum: u64,
    }
}

choices! {
    /// Kind of medium.
    pub enum AttachmentType {
        2.0:
            /// VHD/VHDX.
            VirtualDisk,
            /// Optical image.
            Iso,
            /// Host physical disk.
            PassThru;
        client:
            /// Disk of a third-party provider.
            ExtensibleVirtualDisk;
    }

    /// How the host caches a medium.
    pub enum CachingMode {
        2.1:
            /// Default.
            Uncached,
            /// All files cached.
            Cached,
            /// Read-only parents cached, writable files not.
            ReadOnlyCached;
    }

    /// What backs persistent memory.
    pub enum VirtualPMemBackingType {
        2.1: Virtual, Physical;
    }

    /// Format of a persistent-memory image.
    pub enum VirtualPMemImageFormat {
        2.0: Vhdx, Vhd1;
    }
}
