//! Layers of container file systems and the options of the storage functions.
//!
//! Used by the storage functions and, within documents, by the container engine.

use crate::macros::{choices, documents};
use crate::{Guid, StorageQoS, Version};

documents! {
    /// File system of a container: read-only layers and a scratch.
    pub struct Storage {
        /// Parent layers.
        "Layers" 2.0 layers: Vec<Layer>,
        /// Scratch location.
        "Path" 2.0 path: String,
        /// Volume limits.
        "QoS" 2.0 qos: StorageQoS,
        /// Where a host-process container sees its root.
        "PrivilegedContainerRootPath" client privileged_container_root_path: String,
    }

    /// A read-only layer of a container file system.
    pub struct Layer {
        /// Layer GUID.
        "Id" 2.0 id: Guid,
        /// Root path of the layer.
        "Path" 2.0 path: String,
        /// How to read Path.
        "PathType" 2.1 path_type: PathType,
        /// Cache policy; unset acts as Enabled.
        "Cache" 2.0 cache: CacheMode,
    }

    /// layerData parameter of the storage functions.
    pub struct LayerData {
        /// Schema version.
        "SchemaVersion" 2.1 schema_version: Version,
        /// Parent layers (clients list nearest parent first, base OS last).
        "Layers" 2.1 layers: Vec<Layer>,
        /// Filter that unites the layers.
        "FilterType" client filter_type: LayerFilterType,
    }

    /// Guest request: stack layers into a union. Windows guest puts a filter on ContainerRootPath
    /// (ScratchPath ignored); Linux guest unions Layers + ScratchPath at ContainerRootPath.
    pub struct CombinedLayers {
        /// Parent layers to combine.
        "Layers" 2.0 layers: Vec<Layer>,
        /// Writable layer (Linux guest only).
        "ScratchPath" 2.0 scratch_path: String,
        /// Where the combined tree appears.
        "ContainerRootPath" 2.0 container_root_path: String,
    }

    /// Guest request body for mounting a composite image.
    pub struct CimMount {
        /// Directory that holds the image.
        "ImagePath" 2.3 image_path: String,
        /// File-system object name inside the image.
        "FileSystemName" 2.3 file_system_name: String,
        /// GUID the mounted volume gets.
        "VolumeGuid" 2.3 volume_guid: Guid,
        /// Handed unchanged to the CimFS mount call.
        "MountFlags" 2.5 mount_flags: u32,
    }

    /// Options of HcsSetupBaseOSLayer / HcsSetupBaseOSVolume.
    pub struct OsLayerOptions {
        /// Target of the OS layer.
        "Type" 2.1 type_: OsLayerType,
        /// Do not build the code-integrity cache.
        "DisableCiCacheOptimization" 2.1 disable_ci_cache_optimization: bool,
        /// Leave boot configuration alone.
        "SkipUpdateBcdForBoot" 2.5 skip_update_bcd_for_boot: bool,
    }

    /// Options of HcsExportLayer.
    pub struct ExportLayerOptions {
        /// Layer being exported is a scratch (writable) layer.
        "IsWritableLayer" 2.1 is_writable_layer: bool,
    }
}

choices! {
    /// How the files of a layer are cached.
    pub enum CacheMode {
        2.0:
            /// Default, normally Enabled; some clients write `""`.
            Unspecified = "Unspecified" or "",
            /// No cache.
            Disabled,
            /// Cache in system partition.
            Enabled,
            /// Cache in private partition.
            Private,
            /// Private partition, others may read.
            PrivateAllowSharing;
    }

    /// How a host path is read.
    pub enum PathType {
        2.1:
            /// As is.
            AbsolutePath,
            /// Share name, resolved under the VSMB object path.
            VirtualSmbShareName;
    }

    /// File-system filter that unites layers.
    pub enum LayerFilterType {
        client: UnionFS, WCIFS;
    }

    /// What an OS layer is for.
    pub enum OsLayerType {
        2.1:
            /// Process-isolated use.
            Container,
            /// Utility-VM use (needs a VHD).
            Vm;
    }
}
