//! Host directories shared with a virtual machine.
//!
//! Part of the create document, and as Settings of modify requests.

use crate::macros::documents;

documents! {
    /// Host directories shared through 9P.
    pub struct Plan9 {
        /// Shares.
        "Shares" 2.1 shares: Vec<Plan9Share>,
    }

    /// A host directory shared through 9P.
    pub struct Plan9Share {
        /// Share name on the host side.
        "Name" 2.0 name: String,
        /// aname the guest mounts.
        "AccessName" 2.1 access_name: String,
        /// Host directory.
        "Path" 2.0 path: String,
        /// vsock/hvsocket port of the 9P server for this share. Guests whose agent is ours and has a port need none.
        "Port" 2.0 port: u32,
        /// When restricted: reachable files.
        "AllowedFiles" 2.2 allowed_files: Vec<String>,
        /// Bits: 0x1 read only, 0x4 Linux metadata, 0x8 case sensitive, 0x10 use share root identity, 0x20
        /// allow options, 0x40 allow sub-paths, 0x80 restrict file access to AllowedFiles, 0x100 unlimited
        /// connections.
        "Flags" client flags: u32,
    }

    /// Host directories shared through VSMB.
    pub struct VirtualSmb {
        /// Shares.
        "Shares" 2.1 shares: Vec<VirtualSmbShare>,
        /// Space for direct-mapped file views.
        "DirectFileMappingInMB" 2.1 direct_file_mapping_in_mb: i64,
    }

    /// A host directory shared through VSMB.
    pub struct VirtualSmbShare {
        /// Share name (key for Remove).
        "Name" 2.0 name: String,
        /// Host directory.
        "Path" 2.0 path: String,
        /// Reachable files with RestrictFileAccess.
        "AllowedFiles" 2.0 allowed_files: Vec<String>,
        /// Flags.
        "Options" 2.1 options: VirtualSmbShareOptions,
    }

    /// How a VSMB share behaves.
    pub struct VirtualSmbShareOptions {
        /// No writes.
        "ReadOnly" 2.1 read_only: bool,
        /// Turn exclusive opens into shared-read.
        "ShareRead" 2.1 share_read: bool,
        /// Always cached I/O.
        "CacheIo" 2.1 cache_io: bool,
        /// No oplocks.
        "NoOplocks" 2.1 no_oplocks: bool,
        /// Open with backup privilege.
        "TakeBackupPrivilege" 2.1 take_backup_privilege: bool,
        /// Open with the identity that owns the share root handle.
        "UseShareRootIdentity" 2.1 use_share_root_identity: bool,
        /// No direct mapping.
        "NoDirectmap" 2.1 no_directmap: bool,
        /// No byte-range locks.
        "NoLocks" 2.1 no_locks: bool,
        /// No change notification.
        "NoDirnotify" 2.1 no_dirnotify: bool,
        /// Share carries VM shared memory.
        "VmSharedMemory" 2.1 vm_shared_memory: bool,
        /// Only AllowedFiles are reachable.
        "RestrictFileAccess" 2.1 restrict_file_access: bool,
        /// Only level-II oplocks.
        "ForceLevelIIOplocks" 2.1 force_level_ii_oplocks: bool,
        /// Host may reparse this base layer.
        "ReparseBaseLayer" 2.1 reparse_base_layer: bool,
        /// Pseudo oplocks.
        "PseudoOplocks" 2.1 pseudo_oplocks: bool,
        /// Always uncached I/O.
        "NonCacheIo" 2.1 non_cache_io: bool,
        /// Pseudo change notification.
        "PseudoDirnotify" 2.1 pseudo_dirnotify: bool,
        /// Block enumeration, rename and delete.
        "SingleFileMapping" 2.1 single_file_mapping: bool,
        /// Cloud placeholders.
        "SupportCloudFiles" 2.3 support_cloud_files: bool,
        /// Hide EFS attributes.
        "FilterEncryptionAttributes" 2.4 filter_encryption_attributes: bool,
    }
}
