//! What each function does otherwise than on Windows. A function that no line names, and a line that names no function, are
//! errors.

const SAME: &str = "the same.";
const NO_ACCESS: &str =
    "the same. A security descriptor or another access than GENERIC_ALL is refused on both sides.";
const RESERVED: &str = "the same; a reserved text may be NULL or empty.";
const HOST_THREADS: &str = "the same; callbacks come on threads of the library.";
const REGISTRY: &str =
    "there is no registry in a layer, so nothing is read from or written to the folder that keeps it there.";
const POSTED: &str = "writes are posted, as those to a PCI device are: the processor does not wait for this callback. Their order is kept, \
     and a read waits for the writes before it.";

/// Function and difference, in the order of the headers.
pub const LINES: &[(&str, &str)] = &[
    // ComputeCore.h
    ("HcsCreateOperation", SAME),
    (
        "HcsCloseOperation",
        "the same. That a pending call carries on and no callback follows is promised here; there it is not written down.",
    ),
    ("HcsGetOperationContext", SAME),
    ("HcsSetOperationContext", SAME),
    (
        "HcsGetComputeSystemFromOperation",
        "the same; how long the handle stays valid is not written down there.",
    ),
    ("HcsGetProcessFromOperation", "the same; how long the handle stays valid is not written down there."),
    ("HcsGetOperationType", "the same. HcsTerminateProcess has the type of HcsSignalProcess."),
    ("HcsGetOperationId", SAME),
    ("HcsGetOperationResult", "the same. A result may be read as often as one likes."),
    (
        "HcsGetOperationResultAndProcessInfo",
        "the same, but the standard handles are handed out once by promise; and a process that was made at once is told \
         without the fault of Server 2022, which answers E_INVALIDARG.",
    ),
    ("HcsWaitForOperationResult", SAME),
    ("HcsWaitForOperationResultAndProcessInfo", "as HcsGetOperationResultAndProcessInfo."),
    ("HcsSetOperationCallback", "the same; one that is set after completion holds for the next call."),
    (
        "HcsCancelOperation",
        "there it always returns E_NOTIMPL. Here HcsCreateComputeSystem can be cancelled; everything else answers E_NOTIMPL.",
    ),
    (
        "HcsCreateComputeSystem",
        "the same. Documents are those of Windows with members for Linux; see the pages of documents for what becomes of each.",
    ),
    ("HcsOpenComputeSystem", NO_ACCESS),
    ("HcsCloseComputeSystem", SAME),
    (
        "HcsStartComputeSystem",
        "the same, except that StartOptions, the destination of a live migration, are not provided: the text is reserved.",
    ),
    (
        "HcsShutDownComputeSystem",
        "the same; NULL, the empty text and ShutdownOptions are all taken. Type must be Shutdown: Hibernate and Reboot are refused. \
         A container is asked by SIGTERM to its processes, a machine by its power button or its agent.",
    ),
    ("HcsTerminateComputeSystem", RESERVED),
    (
        "HcsCrashComputeSystem",
        "the same for virtual machines (a non-maskable interrupt). Containers refuse it.",
    ),
    (
        "HcsPauseComputeSystem",
        "the same for virtual machines, with SuspensionLevel Suspend only. Containers are paused too, by the freezer of \
         their cgroup.",
    ),
    ("HcsResumeComputeSystem", RESERVED),
    (
        "HcsSaveComputeSystem",
        "the same, but the form of the file is our own: a machine that Windows has saved is not restored here, nor the other way \
         round. A template is kept in memory. Machines with folders of the host, sockets, shared memory, or devices of \
         applications are refused by name.",
    ),
    (
        "HcsGetComputeSystemProperties",
        "the same, with the property types that the page of documents of calls lists; others are refused by name. \
         `Queries` takes two names of ours: Warnings, what of the document was accepted without effect, and ConsoleImage.",
    ),
    (
        "HcsModifyComputeSystem",
        "the paths are those of Windows; see the page of resource paths. `identity` must be NULL: there are no tokens.",
    ),
    (
        "HcsSetComputeSystemCallback",
        "the same. A NULL callback, of which nothing is written down there, removes the present one.",
    ),
    ("HcsEnumerateComputeSystems", SAME),
    (
        "HcsWaitForComputeSystemExit",
        "the same; the code for running out of time, which is not written down there, is HCS_E_OPERATION_TIMEOUT.",
    ),
    (
        "HcsCreateProcess",
        "the same. Standard handles are descriptors: of pipes, or of a terminal. Members for users and tokens of Windows are \
         refused by name.",
    ),
    ("HcsOpenProcess", NO_ACCESS),
    ("HcsCloseProcess", SAME),
    ("HcsTerminateProcess", "the same: SIGKILL."),
    (
        "HcsSignalProcess",
        "numbers of signals as to a guest of Linux, and the names of Windows: CtrlC and CtrlBreak are SIGINT, CtrlClose and \
         CtrlLogOff SIGHUP, CtrlShutdown SIGTERM. NULL, of which nothing is written down there, is SIGTERM.",
    ),
    ("HcsGetProcessInfo", SAME),
    ("HcsGetProcessProperties", "the same; it works after the exit too, as long as the system lives."),
    (
        "HcsModifyProcess",
        "the same for the size of the console and for StdIn. StdOut and StdErr cannot be closed from here: the process writes \
         straight into the caller's pipe, so close that end.",
    ),
    ("HcsSetProcessCallback", SAME),
    ("HcsWaitForProcessExit", "the same; running out of time is HCS_E_OPERATION_TIMEOUT."),
    (
        "HcsRegisterProcessCallback",
        "there it is of an older library (vmcompute.dll); here it is beside the newer ones.",
    ),
    (
        "HcsUnregisterProcessCallback",
        "there it is of an older library (vmcompute.dll); here it is beside the newer ones.",
    ),
    (
        "HcsGetServiceProperties",
        "the same form. Of the properties there are Basic, ProcessorTopology, CpuGroup, QoSCapabilities, Memory and \
         ProcessorCapabilities.",
    ),
    (
        "HcsModifyServiceSettings",
        "the same for CPU groups, which are cgroups here (cpuset). Every other setting is refused by name.",
    ),
    (
        "HcsSubmitWerReport",
        "there is no Windows Error Reporting: the service keeps the report; see `hcs crash list`.",
    ),
    (
        "HcsGrantVmAccess",
        "an entry of a POSIX access control list for the machine's user, where Windows has an entry for its account.",
    ),
    ("HcsRevokeVmAccess", "as HcsGrantVmAccess."),
    (
        "HcsGrantVmGroupAccess",
        "an entry for the group of all machines, where Windows has one for their group.",
    ),
    ("HcsRevokeVmGroupAccess", "as HcsGrantVmGroupAccess."),
    (
        "HcsCreateEmptyGuestStateFile",
        "the same, and the form (.vmgs) is that of Windows. A file that is there is refused.",
    ),
    ("HcsCreateEmptyRuntimeStateFile", "the same; the form is our own. A file that is there is refused."),
    (
        "HcsGetProcessorCompatibilityFromSavedState",
        "the same; the names of features are those of Windows as far as there are any.",
    ),
    // ComputeStorage.h
    (
        "HcsImportLayer",
        "transport is that of OCI images: a tar, plain, gzip or zstd, where Windows has a folder of files.",
    ),
    ("HcsExportLayer", "transport is a tar, always the same bytes for the same layer."),
    ("HcsExportLegacyWritableLayer", REGISTRY),
    ("HcsDestroyLayer", "the same, but what is no layer stays: there nothing guards against a wrong path."),
    ("HcsInitializeWritableLayer", RESERVED),
    ("HcsInitializeLegacyWritableLayer", REGISTRY),
    (
        "HcsAttachLayerStorageFilter",
        "the union is an overlay file system at `rootfs` in the layer, where Windows shows it at the layer itself.",
    ),
    ("HcsDetachLayerStorageFilter", SAME),
    (
        "HcsSetupBaseOSLayer",
        "a system of Linux: mount points are made, the machine id is forgotten, and the kernel is copied out for machines.",
    ),
    ("HcsSetupBaseOSVolume", "as HcsSetupBaseOSLayer."),
    (
        "HcsFormatWritableLayerVhd",
        "ext4 where Windows has NTFS; the handle is the descriptor of an image or of a disk.",
    ),
    (
        "HcsGetLayerVhdMountPath",
        "a disk that is not mounted is mounted, where Windows wants it attached before; the place is a folder.",
    ),
    // HyperVDeviceVirtualization.h
    ("HDV_PCI_DEVICE_INITIALIZE", HOST_THREADS),
    ("HDV_PCI_DEVICE_TEARDOWN", HOST_THREADS),
    ("HDV_PCI_DEVICE_SET_CONFIGURATION", "the same; it comes also if there are no values."),
    (
        "HDV_PCI_DEVICE_GET_DETAILS",
        "the same; the library answers for base addresses from what it says, so the guest's probing does not reach the device.",
    ),
    ("HDV_PCI_DEVICE_START", HOST_THREADS),
    ("HDV_PCI_DEVICE_STOP", HOST_THREADS),
    (
        "HDV_PCI_READ_CONFIG_SPACE",
        "the same. Capabilities are hidden from QEMU until the first reset, which comes before the guest runs; MSI and MSI-X are \
         the device's own.",
    ),
    ("HDV_PCI_WRITE_CONFIG_SPACE", POSTED),
    ("HDV_PCI_READ_INTERCEPTED_MEMORY", SAME),
    ("HDV_PCI_WRITE_INTERCEPTED_MEMORY", POSTED),
    ("HdvInitializeDeviceHost", SAME),
    ("HdvInitializeDeviceHostEx", "the same; no flag makes a difference here."),
    (
        "HdvTeardownDeviceHost",
        "every thread may do this, where Windows wants the thread that has made a proxy's host.",
    ),
    (
        "HdvInitializeDeviceHostForProxy",
        "one end of a connected Unix socket stands where Windows has a COM object.",
    ),
    (
        "HdvProxyDeviceHost",
        "as HdvInitializeDeviceHostForProxy; no section is handed out, so the value received is 0.",
    ),
    ("HdvCreateDeviceInstance", SAME),
    ("HdvReadGuestMemory", "the same; memory is that of the guest as devices see it."),
    ("HdvWriteGuestMemory", "the same; memory is that of the guest as devices see it."),
    ("HdvCreateGuestMemoryAperture", SAME),
    ("HdvDestroyGuestMemoryAperture", SAME),
    (
        "HdvDeliverGuestInterrupt",
        "the same; the address must be one that interrupts a processor, 0xFEExxxxx.",
    ),
    ("HdvRegisterDoorbell", "the same; refused to restricted hosts."),
    ("HdvUnregisterDoorbell", SAME),
    (
        "HdvCreateSectionBackedMmioRange",
        "the same; a section is a memfd or a file. Those that are there when Initialize returns are mapped by the guest and \
         go with the device; refused to restricted hosts.",
    ),
    (
        "HdvDestroySectionBackedMmioRange",
        "the same for ranges that came later; those that the guest has mapped stay.",
    ),
    // HcsPlatform.h
    ("HcsHandleToFd", "there is no such function; handles are descriptors here only."),
    ("HcsHandleFromFd", "there is no such function; handles are descriptors here only."),
    ("LocalFree", "only for what this library returns."),
    ("CoTaskMemFree", "only for what this library returns."),
    ("GetLastError", "of the functions here only, one value per thread as there."),
    ("CloseHandle", "of handles of this library and of wrapped descriptors only."),
    ("CreateEventW", "no named events, and attributes are ignored; an event is a descriptor."),
    ("SetEvent", SAME),
    ("ResetEvent", SAME),
    ("WaitForSingleObject", "for events and for what can be read; not for processes and threads."),
    ("ReadFile", "without overlapped reading; use poll(2) and HcsHandleToFd."),
    ("WriteFile", "without overlapped writing; use poll(2) and HcsHandleToFd."),
];
