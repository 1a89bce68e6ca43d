//! How a system ended, and why.
//!
//! Written once per system, into the exit event and the result of waiting.

use crate::Guid;
use crate::macros::{choices, documents};

documents! {
    /// EventData of SystemExited; result of HcsWaitForComputeSystemExit.
    pub struct SystemExitStatus {
        /// HRESULT.
        "Status" 2.1 status: i32,
        /// Class of exit.
        "ExitType" 2.2 exit_type: NotificationType,
        /// Cause records.
        "Attribution" 2.4 attribution: Vec<AttributionRecord>,
    }

    /// One cause record; a union: exactly one member is set per record.
    pub struct AttributionRecord {
        /// The VM worker ended.
        "WorkerExit" 2.4 worker_exit: WorkerExit,
        /// The guest OS crashed.
        "GuestCrash" 2.4 guest_crash: GuestCrash,
        /// A virtual CPU triple-faulted.
        "TripleFault" 2.4 triple_fault: TripleFault,
        /// An NMI was injected from the host (empty object).
        "InjectNonMaskableInterrupt" 2.4 inject_non_maskable_interrupt: InjectNonMaskableInterrupt,
        /// An API call failed; says which.
        "OperationFailure" 2.4 operation_failure: OperationFailure,
        /// The system exited; says how and on whose initiative.
        "SystemExit" 2.4 system_exit: SystemExit,
        /// A virtual device failed.
        "VirtualDeviceFailure" 2.4 virtual_device_failure: VirtualDeviceFailure,
    }

    /// Cause: the process that runs a VM has ended.
    pub struct WorkerExit {
        /// Worker process exit code.
        "ExitCode" 2.4 exit_code: u32,
        /// Class.
        "Type" 2.4 type_: WorkerExitType,
        /// Detail (informational).
        "Detail" 2.4 detail: WorkerExitDetail,
        /// Who.
        "Initiator" 2.4 initiator: ExitInitiator,
    }

    /// Cause: the system has ended.
    pub struct SystemExit {
        /// How.
        "Detail" 2.4 detail: SystemExitDetail,
        /// Who.
        "Initiator" 2.4 initiator: ExitInitiator,
    }

    /// Cause: the guest operating system has crashed.
    pub struct GuestCrash {
        /// Codes reported by the guest.
        "CrashParameters" 2.4 crash_parameters: Vec<u64>,
    }

    /// Cause: a virtual processor has triple-faulted.
    pub struct TripleFault {
        /// Hypervisor-supplied code.
        "ErrorType" 2.4 error_type: u64,
    }

    /// Cause: a non-maskable interrupt was injected. Has no members.
    pub struct InjectNonMaskableInterrupt {}

    /// Cause: an operation has failed.
    pub struct OperationFailure {
        /// Which API call failed.
        "Detail" 2.4 detail: OperationFailureDetail,
    }

    /// Cause: a virtual device has failed.
    pub struct VirtualDeviceFailure {
        /// Phase that failed.
        "Detail" 2.4 detail: VirtualDeviceFailureDetail,
        /// Device name.
        "Name" 2.4 name: String,
        /// Device class GUID.
        "DeviceId" 2.4 device_id: Guid,
        /// Device instance GUID.
        "InstanceId" 2.4 instance_id: Guid,
    }
}

choices! {
    /// Class of exit.
    pub enum NotificationType {
        2.1:
            None,
            /// Guest or HcsShutDownComputeSystem shutdown.
            GracefulExit,
            /// HcsTerminateComputeSystem.
            ForcedExit,
            /// Crash or failure.
            UnexpectedExit,
            /// Cannot be told.
            Unknown;
    }

    /// On whose initiative something ended.
    pub enum ExitInitiator {
        2.4:
            None,
            /// Guest itself.
            GuestOS,
            /// API client.
            Client,
            /// VM or service error.
            Internal,
            /// E.g. worker killed.
            Unknown;
    }

    /// How a system ended.
    pub enum SystemExitDetail {
        2.4:
            Invalid,
            /// Unrecoverable failure in an API call.
            HcsApiFatalError,
            /// Service was stopped.
            ServiceStop,
            /// Initiator Client: API shutdown; GuestOS: guest-initiated.
            Shutdown,
            /// API terminate.
            Terminate,
            /// See other attribution records.
            UnexpectedExit;
    }

    /// How the process that runs a VM ended.
    pub enum WorkerExitType {
        2.4:
            None,
            /// VM did not initialise.
            InitializationFailed,
            /// Clean stop.
            Stopped,
            /// After save.
            Saved,
            /// Reset with StopOnReset.
            StoppedOnReset,
            /// Worker died.
            UnexpectedStop,
            /// Reset failed.
            ResetFailed,
            /// E.g. storage failure.
            UnrecoverableError;
    }

    /// Informational; clients must not depend on values.
    pub enum WorkerExitDetail {
        2.4:
            Invalid, PowerOff, PowerOffCritical, Reset, GuestCrash, GuestFirmwareCrash, TripleFault,
            DeviceFatalApicRequest, DeviceFatalMsrRequest, DeviceFatalException, DeviceFatalError,
            DeviceMachineCheck, EmulatorError, VidTerminate, ProcessUnexpectedExit, InitializationFailure,
            InitializationStartTimeout, ColdStartFailure, ResetStartFailure, FastRestoreStartFailure,
            RestoreStartFailure, FastSavePreservePartition, FastSavePreservePartitionHandleTransfer,
            FastSave, CloneTemplate, Save, Migrate, MigrateFailure, CannotReferenceVm, MgotUnregister;
        2.5:
            FastSavePreservePartitionHandleTransferStorage,
            FastSavePreservePartitionHandleTransferNetworking,
            FastSavePreservePartitionHandleTransferStorageAndNetworking, FastSavePreservePartitionHsr,
            FastSavePreservePartitionWithHandleTransfer, FastSaveWithHandleTransfer;
    }

    /// Which operation failed.
    pub enum OperationFailureDetail {
        2.4:
            Invalid,
            CreateInternalError,
            ConstructStateError,
            RuntimeOsTypeMismatch,
            /// Create.
            Construct,
            Start,
            Pause,
            Resume,
            Shutdown,
            Terminate,
            Save,
            GetProperties,
            Modify,
            Crash,
            /// Guest crashed while an API call ran.
            GuestCrash,
            LifecycleNotify,
            /// HcsCreateProcess.
            ExecuteProcess,
            GetProcessInfo,
            WaitForProcess,
            SignalProcess,
            ModifyProcess,
            PrepareForHosting,
            RegisterHostedSystem,
            UnregisterHostedSystem,
            PrepareForClone,
            GetCloneTemplate;
    }

    /// Informational; clients must not depend on values.
    pub enum VirtualDeviceFailureDetail {
        2.4:
            None, Create, Initialize, StartReservingResources, FinishReservingResources,
            FreeReservedResources, SaveReservedResources, PowerOnCold, PowerOnRestore, PowerOff, Save,
            Resume, Pause, EnableOptimizations, StartDisableOptimizations, FinishDisableOptimizations,
            Reset, PostReset, Teardown, SaveCompatibilityInfo, MetricRestore, MetricEnumerate,
            MetricEnumerateForSave, MetricReset, MetricEnable, MetricDisable;
    }
}
