/**
 * ComputeDefs.h: types, constants and error codes of the Host Compute System API.
 *
 * Names, values and layouts are those of Windows (64-bit). Entries marked (n) come from newer Windows SDKs:
 * they are here so that programs compile, even where the functions that use them are not.
 */
#ifndef COMPUTE_DEFS_H
#define COMPUTE_DEFS_H

#include "HcsPlatform.h"

/* Enums are 32-bit. C++ is told so: a value from a newer service is then valid, as it is in C.
   (__extension__ marks enums with values beyond int, which ISO C before C23 lacks.) */
#ifdef __cplusplus
#define HCS_ENUM_BASE(type) : type
#else
#define HCS_ENUM_BASE(type)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Handles: NULL is never valid; a handle means nothing in another process, or after fork ---- */

/** A compute system. From HcsCreateComputeSystem, HcsOpenComputeSystem; to HcsCloseComputeSystem. */
DECLARE_HANDLE(HCS_SYSTEM);

/** A process in a compute system. From HcsCreateProcess, HcsOpenProcess; to HcsCloseProcess. */
DECLARE_HANDLE(HCS_PROCESS);

/** The tracker of one call at a time. From HcsCreateOperation; to HcsCloseOperation. */
DECLARE_HANDLE(HCS_OPERATION);

/** A registration of the older generation. From HcsRegisterProcessCallback; to HcsUnregisterProcessCallback. */
DECLARE_HANDLE(HCS_CALLBACK);

/** What HcsGetOperationId says of something that is no operation. */
#define HCS_INVALID_OPERATION_ID ((UINT64)-1)

/* ---- Operations ---- */

/** Which call an operation tracks. */
typedef enum HCS_OPERATION_TYPE HCS_ENUM_BASE(INT32) {
    HcsOperationTypeNone = -1, /* not used in a call yet */
    HcsOperationTypeEnumerate = 0,
    HcsOperationTypeCreate = 1,
    HcsOperationTypeStart = 2,
    HcsOperationTypeShutdown = 3,
    HcsOperationTypePause = 4,
    HcsOperationTypeResume = 5,
    HcsOperationTypeSave = 6,
    HcsOperationTypeTerminate = 7,
    HcsOperationTypeModify = 8,
    HcsOperationTypeGetProperties = 9,
    HcsOperationTypeCreateProcess = 10,
    HcsOperationTypeSignalProcess = 11, /* HcsTerminateProcess too */
    HcsOperationTypeGetProcessInfo = 12,
    HcsOperationTypeGetProcessProperties = 13,
    HcsOperationTypeModifyProcess = 14,
    HcsOperationTypeCrash = 15,
    HcsOperationTypeReserved1 = 16,    /* (n) */
    HcsOperationTypeReserved2 = 17,    /* (n) */
    HcsOperationTypeReserved3 = 18,    /* (n) */
    HcsOperationTypeLiveMigration = 19 /* (n) */
} HCS_OPERATION_TYPE;

/** Called when the call that an operation tracks has completed. */
typedef void (CALLBACK *HCS_OPERATION_COMPLETION)(HCS_OPERATION operation, void *context);

/* ---- Events ---- */

/** What happened. In brackets: the document in EventData; without one it is NULL. */
__extension__ typedef enum HCS_EVENT_TYPE HCS_ENUM_BASE(UINT32) {
    HcsEventInvalid = 0x00000000, /* never sent */

    /* To callbacks of systems. */
    HcsEventSystemExited = 0x00000001,         /* the system is gone [SystemExitStatus] */
    HcsEventSystemCrashInitiated = 0x00000002, /* the guest began to crash [CrashReport] */
    HcsEventSystemCrashReport = 0x00000003,    /* the guest reported its crash [CrashReport] */
    HcsEventSystemRdpEnhancedModeStateChanged = 0x00000004,
    HcsEventSystemSiloJobCreated = 0x00000005,
    HcsEventSystemGuestConnectionClosed = 0x00000006, /* the guest service hung up, expected or not */

    /* To callbacks of processes. */
    HcsEventProcessExited = 0x00010000, /* [ProcessStatus] */

    /* To both. */
    HcsEventOperationCallback = 0x01000000, /* a call completed; needs HcsEventOptionEnableOperationCallbacks */
    HcsEventServiceDisconnect = 0x02000000, /* the service went away for good */

    HcsEventGroupVmLifecycle = 0x80000002,   /* (n) */
    HcsEventGroupLiveMigration = 0x80000003, /* (n) [OperationSystemMigrationNotificationInfo] */
    HcsEventGroupOperationInfo = 0xC0000001  /* (n) [OperationNotificationInfo] */
} HCS_EVENT_TYPE;

/** What a callback wants to hear beyond the events that always come: bits. Unknown bits are accepted. */
typedef enum HCS_EVENT_OPTIONS HCS_ENUM_BASE(UINT32) {
    HcsEventOptionNone = 0x00000000,
    HcsEventOptionEnableOperationCallbacks = 0x00000001,
    HcsEventOptionEnableVmLifecycle = 0x00000002,        /* (n) */
    HcsEventOptionEnableLiveMigrationEvents = 0x00000004 /* (n) */
} HCS_EVENT_OPTIONS;
DEFINE_ENUM_FLAG_OPERATORS(HCS_EVENT_OPTIONS);

/** An event. The struct and its text belong to the library and are valid during the callback only. */
typedef struct HCS_EVENT {
    HCS_EVENT_TYPE Type;
    PCWSTR EventData;        /* a JSON document, or NULL */
    HCS_OPERATION Operation; /* the completed one for HcsEventOperationCallback, else NULL */
} HCS_EVENT;

/** Called for each event of a system or process. */
typedef void (CALLBACK *HCS_EVENT_CALLBACK)(HCS_EVENT *event, void *context);

/* ---- Processes ---- */

/**
 * How to reach a process that was started. The handles are the caller's own ends of the pipes that
 * ProcessParameters asked for, NULL for the others; release them with CloseHandle.
 */
typedef struct HCS_PROCESS_INFORMATION {
    DWORD ProcessId;  /* as the guest numbers it */
    DWORD Reserved;   /* 0 */
    HANDLE StdInput;  /* to write */
    HANDLE StdOutput; /* to read */
    HANDLE StdError;  /* to read */
} HCS_PROCESS_INFORMATION;

/* ---- Older generation: HcsRegisterProcessCallback ---- */

/** What a notification tells. In brackets: the document. Processes get the last two, the others are for systems. */
__extension__ typedef enum HCS_NOTIFICATIONS HCS_ENUM_BASE(UINT32) {
    HcsNotificationInvalid = 0x00000000,
    HcsNotificationSystemExited = 0x00000001,          /* [SystemExitStatus] */
    HcsNotificationSystemCreateCompleted = 0x00000002, /* [ResultError on failure], also the next three */
    HcsNotificationSystemStartCompleted = 0x00000003,
    HcsNotificationSystemPauseCompleted = 0x00000004,
    HcsNotificationSystemResumeCompleted = 0x00000005,
    HcsNotificationSystemCrashReport = 0x00000006, /* [CrashReport] */
    HcsNotificationSystemSiloJobCreated = 0x00000007,
    HcsNotificationSystemSaveCompleted = 0x00000008,
    HcsNotificationSystemRdpEnhancedModeStateChanged = 0x00000009,
    HcsNotificationSystemShutdownFailed = 0x0000000A,
    HcsNotificationSystemShutdownCompleted = 0x0000000A, /* one number, two names */
    HcsNotificationSystemGetPropertiesCompleted = 0x0000000B, /* [Properties] */
    HcsNotificationSystemModifyCompleted = 0x0000000C,
    HcsNotificationSystemCrashInitiated = 0x0000000D, /* [CrashReport] */
    HcsNotificationSystemGuestConnectionClosed = 0x0000000E,
    HcsNotificationSystemOperationCompletion = 0x0000000F,
    HcsNotificationSystemPassThru = 0x00000010,
    HcsNotificationOperationProgressUpdate = 0x00000100,
    HcsNotificationProcessExited = 0x00010000, /* [ProcessStatus] */
    HcsNotificationServiceDisconnect = 0x01000000,
    HcsNotificationFlagsReserved = 0xF0000000 /* the bits kept for HCS_NOTIFICATION_FLAGS */
} HCS_NOTIFICATIONS;

__extension__ typedef enum HCS_NOTIFICATION_FLAGS HCS_ENUM_BASE(UINT32) {
    HcsNotificationFlagSuccess = 0x00000000,
    HcsNotificationFlagFailure = 0x80000000
} HCS_NOTIFICATION_FLAGS;

/** Called for each notification. The text is valid during the callback only. */
typedef void (CALLBACK *HCS_NOTIFICATION_CALLBACK)(DWORD notificationType, void *context, HRESULT notificationStatus,
                                                   PCWSTR notificationData);

/* ---- Newer types (n) ---- */

typedef enum HCS_OPERATION_OPTIONS HCS_ENUM_BASE(UINT32) {
    HcsOperationOptionNone = 0x00000000,
    HcsOperationOptionProgressUpdate = 0x00000001,
    HcsOperationOptionReserved1 = 0x00000002
} HCS_OPERATION_OPTIONS;
DEFINE_ENUM_FLAG_OPERATORS(HCS_OPERATION_OPTIONS);

typedef enum HCS_RESOURCE_TYPE HCS_ENUM_BASE(UINT32) {
    HcsResourceTypeNone = 0,
    HcsResourceTypeFile = 1,
    HcsResourceTypeJob = 2,
    HcsResourceTypeComObject = 3,
    HcsResourceTypeSocket = 4
} HCS_RESOURCE_TYPE;

typedef enum HCS_CREATE_OPTIONS HCS_ENUM_BASE(UINT32) {
    HcsCreateOptions_1 = 0x00010000
} HCS_CREATE_OPTIONS;

typedef struct HCS_CREATE_OPTIONS_1 {
    HCS_CREATE_OPTIONS Version; /* HcsCreateOptions_1 */
    HANDLE UserToken;
    SECURITY_DESCRIPTOR *SecurityDescriptor;
    HCS_EVENT_OPTIONS CallbackOptions;
    void *CallbackContext;
    HCS_EVENT_CALLBACK Callback;
} HCS_CREATE_OPTIONS_1;

/* ---- Layout: programs and library must agree to the byte ---- */

static_assert(sizeof(WCHAR) == 2, "WCHAR");
static_assert(sizeof(HANDLE) == 8, "the API is 64-bit");
static_assert(sizeof(HCS_OPERATION_TYPE) == 4, "HCS_OPERATION_TYPE");
static_assert(sizeof(HCS_EVENT_TYPE) == 4, "HCS_EVENT_TYPE");
static_assert(sizeof(HCS_EVENT_OPTIONS) == 4, "HCS_EVENT_OPTIONS");

static_assert(sizeof(HCS_EVENT) == 24, "HCS_EVENT");
static_assert(offsetof(HCS_EVENT, Type) == 0, "HCS_EVENT.Type");
static_assert(offsetof(HCS_EVENT, EventData) == 8, "HCS_EVENT.EventData");
static_assert(offsetof(HCS_EVENT, Operation) == 16, "HCS_EVENT.Operation");

static_assert(sizeof(HCS_PROCESS_INFORMATION) == 32, "HCS_PROCESS_INFORMATION");
static_assert(offsetof(HCS_PROCESS_INFORMATION, ProcessId) == 0, "HCS_PROCESS_INFORMATION.ProcessId");
static_assert(offsetof(HCS_PROCESS_INFORMATION, Reserved) == 4, "HCS_PROCESS_INFORMATION.Reserved");
static_assert(offsetof(HCS_PROCESS_INFORMATION, StdInput) == 8, "HCS_PROCESS_INFORMATION.StdInput");
static_assert(offsetof(HCS_PROCESS_INFORMATION, StdOutput) == 16, "HCS_PROCESS_INFORMATION.StdOutput");
static_assert(offsetof(HCS_PROCESS_INFORMATION, StdError) == 24, "HCS_PROCESS_INFORMATION.StdError");

static_assert(sizeof(HCS_CREATE_OPTIONS_1) == 48, "HCS_CREATE_OPTIONS_1");
static_assert(offsetof(HCS_CREATE_OPTIONS_1, Version) == 0, "HCS_CREATE_OPTIONS_1.Version");
static_assert(offsetof(HCS_CREATE_OPTIONS_1, UserToken) == 8, "HCS_CREATE_OPTIONS_1.UserToken");
static_assert(offsetof(HCS_CREATE_OPTIONS_1, SecurityDescriptor) == 16, "HCS_CREATE_OPTIONS_1.SecurityDescriptor");
static_assert(offsetof(HCS_CREATE_OPTIONS_1, CallbackOptions) == 24, "HCS_CREATE_OPTIONS_1.CallbackOptions");
static_assert(offsetof(HCS_CREATE_OPTIONS_1, CallbackContext) == 32, "HCS_CREATE_OPTIONS_1.CallbackContext");
static_assert(offsetof(HCS_CREATE_OPTIONS_1, Callback) == 40, "HCS_CREATE_OPTIONS_1.Callback");

/* ---- Error codes ---- */

/* Systems and the service. */
#define HCS_E_TERMINATED_DURING_START _HRESULT_TYPEDEF_(0x80370100u)      /* exited while it was starting */
#define HCS_E_IMAGE_MISMATCH _HRESULT_TYPEDEF_(0x80370101u)               /* the image does not fit the host */
#define HCS_E_HYPERV_NOT_INSTALLED _HRESULT_TYPEDEF_(0x80370102u)         /* the host cannot run virtual machines */
#define HCS_E_INVALID_STATE _HRESULT_TYPEDEF_(0x80370105u)                /* not possible in the present state */
#define HCS_E_UNEXPECTED_EXIT _HRESULT_TYPEDEF_(0x80370106u)              /* exited unexpectedly */
#define HCS_E_TERMINATED _HRESULT_TYPEDEF_(0x80370107u)                   /* was ended by force */
#define HCS_E_CONNECT_FAILED _HRESULT_TYPEDEF_(0x80370108u)               /* no connection to the guest */
#define HCS_E_CONNECTION_TIMEOUT _HRESULT_TYPEDEF_(0x80370109u)           /* the guest did not answer in time */
#define HCS_E_CONNECTION_CLOSED _HRESULT_TYPEDEF_(0x8037010Au)            /* the connection to the guest was lost */
#define HCS_E_UNKNOWN_MESSAGE _HRESULT_TYPEDEF_(0x8037010Bu)              /* the guest does not know the message */
#define HCS_E_UNSUPPORTED_PROTOCOL_VERSION _HRESULT_TYPEDEF_(0x8037010Cu) /* no protocol in common with the guest */
#define HCS_E_INVALID_JSON _HRESULT_TYPEDEF_(0x8037010Du)                 /* the document is not valid */
#define HCS_E_SYSTEM_NOT_FOUND _HRESULT_TYPEDEF_(0x8037010Eu)             /* no system has that id */
#define HCS_E_SYSTEM_ALREADY_EXISTS _HRESULT_TYPEDEF_(0x8037010Fu)        /* a system has that id */
#define HCS_E_SYSTEM_ALREADY_STOPPED _HRESULT_TYPEDEF_(0x80370110u)       /* the system is gone */
#define HCS_E_PROTOCOL_ERROR _HRESULT_TYPEDEF_(0x80370111u)               /* the guest broke the protocol */
#define HCS_E_INVALID_LAYER _HRESULT_TYPEDEF_(0x80370112u)                /* a layer has an unknown format */
#define HCS_E_WINDOWS_INSIDER_REQUIRED _HRESULT_TYPEDEF_(0x80370113u)     /* the image is a pre-release */
#define HCS_E_SERVICE_NOT_AVAILABLE _HRESULT_TYPEDEF_(0x80370114u)        /* the service cannot be reached */

/* Operations. */
#define HCS_E_OPERATION_NOT_STARTED _HRESULT_TYPEDEF_(0x80370115u)     /* not used in a call yet */
#define HCS_E_OPERATION_ALREADY_STARTED _HRESULT_TYPEDEF_(0x80370116u) /* tracks a pending call */
#define HCS_E_OPERATION_PENDING _HRESULT_TYPEDEF_(0x80370117u)         /* the call has not completed */
#define HCS_E_OPERATION_TIMEOUT _HRESULT_TYPEDEF_(0x80370118u)         /* nor did it within the time given */
#define HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET _HRESULT_TYPEDEF_(0x80370119u) /* the event callback is taken */
#define HCS_E_OPERATION_RESULT_ALLOCATION_FAILED _HRESULT_TYPEDEF_(0x8037011Au)    /* no memory for the result */

/* Further ones. */
#define HCS_E_ACCESS_DENIED _HRESULT_TYPEDEF_(0x8037011Bu)              /* the caller may not use the service */
#define HCS_E_GUEST_CRITICAL_ERROR _HRESULT_TYPEDEF_(0x8037011Cu)       /* the guest failed and was stopped */
#define HCS_E_PROCESS_INFO_NOT_AVAILABLE _HRESULT_TYPEDEF_(0x8037011Du) /* the result tells of no process */
#define HCS_E_SERVICE_DISCONNECT _HRESULT_TYPEDEF_(0x8037011Eu)         /* the service went away during the call */
#define HCS_E_PROCESS_ALREADY_STOPPED _HRESULT_TYPEDEF_(0x8037011Fu)    /* the process has exited */
#define HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION _HRESULT_TYPEDEF_(0x80370120u) /* (n) not in its document */
#define HCS_E_OPERATION_ALREADY_CANCELLED _HRESULT_TYPEDEF_(0x80370121u)         /* (n) */

/* The same causes as the older library numbered them. This library never returns these; programs compare with them. */
#define ERROR_VMCOMPUTE_TERMINATED_DURING_START _HRESULT_TYPEDEF_(0xC0370100u)
#define ERROR_VMCOMPUTE_IMAGE_MISMATCH _HRESULT_TYPEDEF_(0xC0370101u)
#define ERROR_VMCOMPUTE_HYPERV_NOT_INSTALLED _HRESULT_TYPEDEF_(0xC0370102u)
#define ERROR_VMCOMPUTE_OPERATION_PENDING _HRESULT_TYPEDEF_(0xC0370103u)
#define ERROR_VMCOMPUTE_TOO_MANY_NOTIFICATIONS _HRESULT_TYPEDEF_(0xC0370104u)
#define ERROR_VMCOMPUTE_INVALID_STATE _HRESULT_TYPEDEF_(0xC0370105u)
#define ERROR_VMCOMPUTE_UNEXPECTED_EXIT _HRESULT_TYPEDEF_(0xC0370106u)
#define ERROR_VMCOMPUTE_TERMINATED _HRESULT_TYPEDEF_(0xC0370107u)
#define ERROR_VMCOMPUTE_CONNECT_FAILED _HRESULT_TYPEDEF_(0xC0370108u)
#define ERROR_VMCOMPUTE_TIMEOUT _HRESULT_TYPEDEF_(0xC0370109u)
#define ERROR_VMCOMPUTE_CONNECTION_CLOSED _HRESULT_TYPEDEF_(0xC037010Au)
#define ERROR_VMCOMPUTE_UNKNOWN_MESSAGE _HRESULT_TYPEDEF_(0xC037010Bu)
#define ERROR_VMCOMPUTE_UNSUPPORTED_PROTOCOL_VERSION _HRESULT_TYPEDEF_(0xC037010Cu)
#define ERROR_VMCOMPUTE_INVALID_JSON _HRESULT_TYPEDEF_(0xC037010Du)
#define ERROR_VMCOMPUTE_SYSTEM_NOT_FOUND _HRESULT_TYPEDEF_(0xC037010Eu)
#define ERROR_VMCOMPUTE_SYSTEM_ALREADY_EXISTS _HRESULT_TYPEDEF_(0xC037010Fu)
#define ERROR_VMCOMPUTE_SYSTEM_ALREADY_STOPPED _HRESULT_TYPEDEF_(0xC0370110u)
#define ERROR_VMCOMPUTE_PROTOCOL_ERROR _HRESULT_TYPEDEF_(0xC0370111u)
#define ERROR_VMCOMPUTE_INVALID_LAYER _HRESULT_TYPEDEF_(0xC0370112u)
#define ERROR_VMCOMPUTE_WINDOWS_INSIDER_REQUIRED _HRESULT_TYPEDEF_(0xC0370113u)

#ifdef __cplusplus
}
#endif

#endif
