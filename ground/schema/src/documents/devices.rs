//! Devices of a virtual machine other than disks, shares and network adapters.
//!
//! Keys of the maps are chosen by the client and are the ids that modify requests use later.

use crate::kind::{Base64, Keyed};
use crate::macros::{choices, documents};
use crate::{
    GuestCrashReporting, Guid, NetworkAdapter, Plan9, Scsi, VirtualMachineHvSocket, VirtualPMemController,
    VirtualSmb,
};
use std::collections::BTreeMap;

documents! {
    /// VM devices. Map keys that are names are hashed to an instance GUID; a key that already is a GUID is
    /// used as is.
    pub struct Devices {
        /// Serial ports, key = port index 0 or 1.
        "ComPorts" 2.1 com_ports: BTreeMap<String, ComPort> as Keyed<u32, ComPort>,
        /// Virtio serial controller.
        "VirtioSerial" 2.2 virtio_serial: VirtioSerial,
        /// SCSI controllers, key = name or GUID.
        "Scsi" 2.0 scsi: BTreeMap<String, Scsi>,
        /// Persistent-memory controller.
        "VirtualPMem" 2.0 virtual_pmem: VirtualPMemController,
        /// NICs, key = name or GUID.
        "NetworkAdapters" 2.0 network_adapters: BTreeMap<String, NetworkAdapter>,
        /// Basic display.
        "VideoMonitor" 2.0 video_monitor: VideoMonitor,
        /// Keyboard device.
        "Keyboard" 2.0 keyboard: Keyboard,
        /// Mouse device.
        "Mouse" 2.0 mouse: Mouse,
        /// hvsocket service table / ACLs.
        "HvSocket" 2.1 hv_socket: VirtualMachineHvSocket,
        /// RDP-style enhanced mode.
        "EnhancedModeVideo" 2.1 enhanced_mode_video: EnhancedModeVideo,
        /// Crash capture settings.
        "GuestCrashReporting" 2.0 guest_crash_reporting: GuestCrashReporting,
        /// Host directories shared through VSMB.
        "VirtualSmb" 2.0 virtual_smb: VirtualSmb,
        /// Host directories shared through 9P.
        "Plan9" 2.0 plan9: Plan9,
        /// Host battery mirror.
        "Battery" 2.0 battery: Battery,
        /// Emulated PCI devices, key = name or instance GUID.
        "FlexibleIov" 2.1 flexible_iov: BTreeMap<String, FlexibleIoDevice>,
        /// Host sections mapped into guest memory.
        "SharedMemory" 2.1 shared_memory: SharedMemoryConfiguration,
        /// Assigned (SR-IOV / DDA) PCI devices, key = VMBus instance GUID or name.
        "VirtualPci" 2.3 virtual_pci: BTreeMap<String, VirtualPciDevice>,
    }

    /// Serial port backed by a host named pipe.
    pub struct ComPort {
        /// Pipe name; empty = port is disconnected.
        "NamedPipe" 2.1 named_pipe: String,
        /// Tune the port for kernel-debugger traffic.
        "OptimizeForDebugger" 2.1 optimize_for_debugger: bool,
    }

    /// A virtio serial controller.
    pub struct VirtioSerial {
        /// Port number → port.
        "Ports" 2.2 ports: BTreeMap<String, VirtioSerialPort> as Keyed<u32, VirtioSerialPort>,
    }

    /// A port of the virtio serial controller, backed by a host pipe.
    pub struct VirtioSerialPort {
        /// Host pipe.
        "NamedPipe" 2.2 named_pipe: String,
        /// Name shown to guest.
        "Name" 2.2 name: String,
        /// Port is a console.
        "ConsoleSupport" 2.6 console_support: bool,
    }

    /// A display.
    pub struct VideoMonitor {
        /// Pixels.
        "HorizontalResolution" 2.1 horizontal_resolution: u16,
        /// Pixels.
        "VerticalResolution" 2.1 vertical_resolution: u16,
        /// RDP access.
        "ConnectionOptions" 2.1 connection_options: RdpConnectionOptions,
    }

    /// A display for enhanced sessions, served over RDP.
    pub struct EnhancedModeVideo {
        /// Who may connect and through which pipe.
        "ConnectionOptions" 2.1 connection_options: RdpConnectionOptions,
    }

    /// Who may see a display, and where.
    pub struct RdpConnectionOptions {
        /// SIDs that may connect.
        "AccessSids" 2.1 access_sids: Vec<String>,
        /// Pipe the RDP stream is served on.
        "NamedPipe" 2.1 named_pipe: String,
    }

    /// A keyboard. Has no members; present = there is one.
    pub struct Keyboard {}

    /// A mouse. Has no members; present = there is one.
    pub struct Mouse {}

    /// A battery that mirrors the host's. Has no members; present = there is one.
    pub struct Battery {}

    /// Property query for a console screenshot.
    pub struct ConsoleImageQuery {
        /// Wanted width in pixels.
        "Width" 2.5 width: u16,
        /// Wanted height in pixels.
        "Height" 2.5 height: u16,
        /// 0x1 = result is a DMTF OctetString: 4-byte big-endian total length (incl. itself) precedes the
        /// data.
        "Flags" 2.5 flags: u32,
    }

    /// Result of a ConsoleImageQuery.
    pub struct ConsoleImage {
        /// Picture bytes (base64 in JSON).
        "Image" 2.5 image: String as Base64,
    }

    /// Memory shared between host and guest.
    pub struct SharedMemoryConfiguration {
        /// Regions.
        "Regions" 2.1 regions: Vec<SharedMemoryRegion>,
    }

    /// A part of a host section mapped into guest memory.
    pub struct SharedMemoryRegion {
        /// Named section on the host.
        "SectionName" 2.0 section_name: String,
        /// Byte offset in the section.
        "StartOffset" 2.0 start_offset: u64,
        /// Bytes.
        "Length" 2.0 length: u64,
        /// Writable by guest.
        "AllowGuestWrite" 2.0 allow_guest_write: bool,
        /// Not described to the guest.
        "HiddenFromGuest" 2.0 hidden_from_guest: bool,
    }

    /// Property "SharedMemoryRegion".
    pub struct SharedMemoryRegionInfo {
        /// Section.
        "SectionName" 2.1 section_name: String,
        /// Where it is mapped.
        "GuestPhysicalAddress" 2.1 guest_physical_address: u64,
    }

    /// An emulated PCI device served by a device host.
    pub struct FlexibleIoDevice {
        /// Device class id, equals DeviceClassId of HdvCreateDeviceInstance.
        "EmulatorId" 2.1 emulator_id: Guid,
        /// Where the emulator lives.
        "HostingModel" 2.1 hosting_model: FlexibleIoDeviceHostingModel,
        /// Strings delivered to the device's SetConfiguration callback.
        "Configuration" 2.1 configuration: Vec<String>,
    }

    /// An assigned PCI device.
    pub struct VirtualPciDevice {
        /// Functions.
        "Functions" 2.3 functions: Vec<VirtualPciFunction>,
        /// Tell the guest the NUMA node of the device.
        "PropagateNumaAffinity" client propagate_numa_affinity: bool,
    }

    /// A function of an assigned PCI device.
    pub struct VirtualPciFunction {
        /// Host PnP instance path.
        "DeviceInstancePath" 2.3 device_instance_path: String,
        /// SR-IOV VF index.
        "VirtualFunction" 2.3 virtual_function: u16,
        /// Allow peer-to-peer DMA with translated addresses.
        "AllowDirectTranslatedP2P" 2.4 allow_direct_translated_p2p: bool,
    }
}

choices! {
    /// Which process emulates a device.
    pub enum FlexibleIoDeviceHostingModel {
        2.1:
            /// Hosted by the VM worker.
            Internal,
            /// Hosted by an HDV process.
            External;
        client:
            /// Hosted by an HDV process without full access to the VM.
            ExternalRestricted;
    }
}
