/* Sizes, offsets and numbers: what a compiled Windows program knows by heart. */
#include "check.h"

#include <HyperVDeviceVirtualization.h>

/* Once for the compiler and once for the machine. */
#define SAME(wanted, got)                       \
    do {                                        \
        static_assert((got) == (wanted), #got); \
        CHECK_EQUAL(wanted, got);               \
    } while (0)

#define VALUE(wanted, constant) SAME(wanted, (UINT32)(constant))

static void structs(void)
{
    SAME(2, sizeof(WCHAR));
    SAME(4, sizeof(HRESULT));
    SAME(4, sizeof(DWORD));
    SAME(4, sizeof(BOOL));
    SAME(8, sizeof(UINT64));
    SAME(8, sizeof(HANDLE));
    SAME(16, sizeof(GUID));
    SAME(8, sizeof(HCS_SYSTEM));
    SAME(8, sizeof(HCS_PROCESS));
    SAME(8, sizeof(HCS_OPERATION));
    SAME(8, sizeof(HCS_CALLBACK));
    SAME(8, sizeof(HCS_OPERATION_COMPLETION));
    SAME(4, sizeof(HCS_OPERATION_TYPE));
    SAME(4, sizeof(HCS_EVENT_TYPE));
    SAME(4, sizeof(HCS_EVENT_OPTIONS));
    SAME(4, sizeof(HCS_NOTIFICATIONS));
    SAME(4, sizeof(HCS_NOTIFICATION_FLAGS));
    SAME(4, sizeof(HCS_OPERATION_OPTIONS));
    SAME(4, sizeof(HCS_RESOURCE_TYPE));
    SAME(4, sizeof(HCS_CREATE_OPTIONS));

    SAME(24, sizeof(HCS_EVENT));
    SAME(0, offsetof(HCS_EVENT, Type));
    SAME(8, offsetof(HCS_EVENT, EventData));
    SAME(16, offsetof(HCS_EVENT, Operation));

    SAME(32, sizeof(HCS_PROCESS_INFORMATION));
    SAME(0, offsetof(HCS_PROCESS_INFORMATION, ProcessId));
    SAME(4, offsetof(HCS_PROCESS_INFORMATION, Reserved));
    SAME(8, offsetof(HCS_PROCESS_INFORMATION, StdInput));
    SAME(16, offsetof(HCS_PROCESS_INFORMATION, StdOutput));
    SAME(24, offsetof(HCS_PROCESS_INFORMATION, StdError));

    SAME(48, sizeof(HCS_CREATE_OPTIONS_1));
    SAME(0, offsetof(HCS_CREATE_OPTIONS_1, Version));
    SAME(8, offsetof(HCS_CREATE_OPTIONS_1, UserToken));
    SAME(16, offsetof(HCS_CREATE_OPTIONS_1, SecurityDescriptor));
    SAME(24, offsetof(HCS_CREATE_OPTIONS_1, CallbackOptions));
    SAME(32, offsetof(HCS_CREATE_OPTIONS_1, CallbackContext));
    SAME(40, offsetof(HCS_CREATE_OPTIONS_1, Callback));
}

static void devices(void)
{
    SAME(8, sizeof(HDV_HOST));
    SAME(8, sizeof(HDV_DEVICE));
    SAME(4, sizeof(HDV_DEVICE_TYPE));
    SAME(4, sizeof(HDV_DEVICE_HOST_FLAGS));
    SAME(4, sizeof(HDV_PCI_INTERFACE_VERSION));
    SAME(4, sizeof(HDV_PCI_BAR_SELECTOR));
    SAME(4, sizeof(HDV_DOORBELL_FLAGS));
    SAME(4, sizeof(HDV_MMIO_MAPPING_FLAGS));

    SAME(12, sizeof(HDV_PCI_PNP_ID));
    SAME(0, offsetof(HDV_PCI_PNP_ID, VendorID));
    SAME(2, offsetof(HDV_PCI_PNP_ID, DeviceID));
    SAME(4, offsetof(HDV_PCI_PNP_ID, RevisionID));
    SAME(5, offsetof(HDV_PCI_PNP_ID, ProgIf));
    SAME(6, offsetof(HDV_PCI_PNP_ID, SubClass));
    SAME(7, offsetof(HDV_PCI_PNP_ID, BaseClass));
    SAME(8, offsetof(HDV_PCI_PNP_ID, SubVendorID));
    SAME(10, offsetof(HDV_PCI_PNP_ID, SubSystemID));

    SAME(88, sizeof(HDV_PCI_DEVICE_INTERFACE));
    SAME(0, offsetof(HDV_PCI_DEVICE_INTERFACE, Version));
    SAME(8, offsetof(HDV_PCI_DEVICE_INTERFACE, Initialize));
    SAME(16, offsetof(HDV_PCI_DEVICE_INTERFACE, Teardown));
    SAME(24, offsetof(HDV_PCI_DEVICE_INTERFACE, SetConfiguration));
    SAME(32, offsetof(HDV_PCI_DEVICE_INTERFACE, GetDetails));
    SAME(40, offsetof(HDV_PCI_DEVICE_INTERFACE, Start));
    SAME(48, offsetof(HDV_PCI_DEVICE_INTERFACE, Stop));
    SAME(56, offsetof(HDV_PCI_DEVICE_INTERFACE, ReadConfigSpace));
    SAME(64, offsetof(HDV_PCI_DEVICE_INTERFACE, WriteConfigSpace));
    SAME(72, offsetof(HDV_PCI_DEVICE_INTERFACE, ReadInterceptedMemory));
    SAME(80, offsetof(HDV_PCI_DEVICE_INTERFACE, WriteInterceptedMemory));

    VALUE(0, HdvDeviceTypeUndefined);
    VALUE(1, HdvDeviceTypePCI);
    VALUE(0, HdvDeviceHostFlagNone);
    VALUE(1, HdvDeviceHostFlagInitializeComSecurity);
    VALUE(0, HdvPciDeviceInterfaceVersionInvalid);
    VALUE(1, HdvPciDeviceInterfaceVersion1);
    VALUE(0, HDV_PCI_BAR0);
    VALUE(5, HDV_PCI_BAR5);
    VALUE(6, HDV_PCI_BAR_COUNT);
    VALUE(0, HDV_DOORBELL_FLAG_TRIGGER_SIZE_ANY);
    VALUE(1, HDV_DOORBELL_FLAG_TRIGGER_SIZE_BYTE);
    VALUE(2, HDV_DOORBELL_FLAG_TRIGGER_SIZE_WORD);
    VALUE(3, HDV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD);
    VALUE(4, HDV_DOORBELL_FLAG_TRIGGER_SIZE_QWORD);
    VALUE(0x80000000, HDV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
    VALUE(0, HdvMmioMappingFlagNone);
    VALUE(1, HdvMmioMappingFlagWriteable);
    VALUE(2, HdvMmioMappingFlagExecutable);
}

static void operation_types(void)
{
    VALUE(0xFFFFFFFF, HcsOperationTypeNone);
    VALUE(0, HcsOperationTypeEnumerate);
    VALUE(1, HcsOperationTypeCreate);
    VALUE(2, HcsOperationTypeStart);
    VALUE(3, HcsOperationTypeShutdown);
    VALUE(4, HcsOperationTypePause);
    VALUE(5, HcsOperationTypeResume);
    VALUE(6, HcsOperationTypeSave);
    VALUE(7, HcsOperationTypeTerminate);
    VALUE(8, HcsOperationTypeModify);
    VALUE(9, HcsOperationTypeGetProperties);
    VALUE(10, HcsOperationTypeCreateProcess);
    VALUE(11, HcsOperationTypeSignalProcess);
    VALUE(12, HcsOperationTypeGetProcessInfo);
    VALUE(13, HcsOperationTypeGetProcessProperties);
    VALUE(14, HcsOperationTypeModifyProcess);
    VALUE(15, HcsOperationTypeCrash);
    VALUE(19, HcsOperationTypeLiveMigration);
}

static void events(void)
{
    VALUE(0x00000000, HcsEventInvalid);
    VALUE(0x00000001, HcsEventSystemExited);
    VALUE(0x00000002, HcsEventSystemCrashInitiated);
    VALUE(0x00000003, HcsEventSystemCrashReport);
    VALUE(0x00000004, HcsEventSystemRdpEnhancedModeStateChanged);
    VALUE(0x00000005, HcsEventSystemSiloJobCreated);
    VALUE(0x00000006, HcsEventSystemGuestConnectionClosed);
    VALUE(0x00010000, HcsEventProcessExited);
    VALUE(0x01000000, HcsEventOperationCallback);
    VALUE(0x02000000, HcsEventServiceDisconnect);
    VALUE(0x80000002, HcsEventGroupVmLifecycle);
    VALUE(0x80000003, HcsEventGroupLiveMigration);
    VALUE(0xC0000001, HcsEventGroupOperationInfo);
    VALUE(0x0, HcsEventOptionNone);
    VALUE(0x1, HcsEventOptionEnableOperationCallbacks);
    VALUE(0x2, HcsEventOptionEnableVmLifecycle);
    VALUE(0x4, HcsEventOptionEnableLiveMigrationEvents);
}

static void notifications(void)
{
    VALUE(0x00000000, HcsNotificationInvalid);
    VALUE(0x00000001, HcsNotificationSystemExited);
    VALUE(0x00000002, HcsNotificationSystemCreateCompleted);
    VALUE(0x00000003, HcsNotificationSystemStartCompleted);
    VALUE(0x00000004, HcsNotificationSystemPauseCompleted);
    VALUE(0x00000005, HcsNotificationSystemResumeCompleted);
    VALUE(0x00000006, HcsNotificationSystemCrashReport);
    VALUE(0x00000007, HcsNotificationSystemSiloJobCreated);
    VALUE(0x00000008, HcsNotificationSystemSaveCompleted);
    VALUE(0x00000009, HcsNotificationSystemRdpEnhancedModeStateChanged);
    VALUE(0x0000000A, HcsNotificationSystemShutdownFailed);
    VALUE(0x0000000A, HcsNotificationSystemShutdownCompleted);
    VALUE(0x0000000B, HcsNotificationSystemGetPropertiesCompleted);
    VALUE(0x0000000C, HcsNotificationSystemModifyCompleted);
    VALUE(0x0000000D, HcsNotificationSystemCrashInitiated);
    VALUE(0x0000000E, HcsNotificationSystemGuestConnectionClosed);
    VALUE(0x0000000F, HcsNotificationSystemOperationCompletion);
    VALUE(0x00000010, HcsNotificationSystemPassThru);
    VALUE(0x00000100, HcsNotificationOperationProgressUpdate);
    VALUE(0x00010000, HcsNotificationProcessExited);
    VALUE(0x01000000, HcsNotificationServiceDisconnect);
    VALUE(0xF0000000, HcsNotificationFlagsReserved);
    VALUE(0x00000000, HcsNotificationFlagSuccess);
    VALUE(0x80000000, HcsNotificationFlagFailure);
}

static void newer_types(void)
{
    VALUE(0, HcsOperationOptionNone);
    VALUE(1, HcsOperationOptionProgressUpdate);
    VALUE(2, HcsOperationOptionReserved1);
    VALUE(0, HcsResourceTypeNone);
    VALUE(1, HcsResourceTypeFile);
    VALUE(2, HcsResourceTypeJob);
    VALUE(3, HcsResourceTypeComObject);
    VALUE(4, HcsResourceTypeSocket);
    VALUE(0x00010000, HcsCreateOptions_1);
}

static void codes(void)
{
    VALUE(0x00000000, S_OK);
    VALUE(0x80370100, HCS_E_TERMINATED_DURING_START);
    VALUE(0x80370101, HCS_E_IMAGE_MISMATCH);
    VALUE(0x80370102, HCS_E_HYPERV_NOT_INSTALLED);
    VALUE(0x80370105, HCS_E_INVALID_STATE);
    VALUE(0x80370106, HCS_E_UNEXPECTED_EXIT);
    VALUE(0x80370107, HCS_E_TERMINATED);
    VALUE(0x80370108, HCS_E_CONNECT_FAILED);
    VALUE(0x80370109, HCS_E_CONNECTION_TIMEOUT);
    VALUE(0x8037010A, HCS_E_CONNECTION_CLOSED);
    VALUE(0x8037010B, HCS_E_UNKNOWN_MESSAGE);
    VALUE(0x8037010C, HCS_E_UNSUPPORTED_PROTOCOL_VERSION);
    VALUE(0x8037010D, HCS_E_INVALID_JSON);
    VALUE(0x8037010E, HCS_E_SYSTEM_NOT_FOUND);
    VALUE(0x8037010F, HCS_E_SYSTEM_ALREADY_EXISTS);
    VALUE(0x80370110, HCS_E_SYSTEM_ALREADY_STOPPED);
    VALUE(0x80370111, HCS_E_PROTOCOL_ERROR);
    VALUE(0x80370112, HCS_E_INVALID_LAYER);
    VALUE(0x80370113, HCS_E_WINDOWS_INSIDER_REQUIRED);
    VALUE(0x80370114, HCS_E_SERVICE_NOT_AVAILABLE);
    VALUE(0x80370115, HCS_E_OPERATION_NOT_STARTED);
    VALUE(0x80370116, HCS_E_OPERATION_ALREADY_STARTED);
    VALUE(0x80370117, HCS_E_OPERATION_PENDING);
    VALUE(0x80370118, HCS_E_OPERATION_TIMEOUT);
    VALUE(0x80370119, HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET);
    VALUE(0x8037011A, HCS_E_OPERATION_RESULT_ALLOCATION_FAILED);
    VALUE(0x8037011B, HCS_E_ACCESS_DENIED);
    VALUE(0x8037011C, HCS_E_GUEST_CRITICAL_ERROR);
    VALUE(0x8037011D, HCS_E_PROCESS_INFO_NOT_AVAILABLE);
    VALUE(0x8037011E, HCS_E_SERVICE_DISCONNECT);
    VALUE(0x8037011F, HCS_E_PROCESS_ALREADY_STOPPED);
    VALUE(0x80370120, HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION);
    VALUE(0x80370121, HCS_E_OPERATION_ALREADY_CANCELLED);
}

static void old_codes(void)
{
    VALUE(0xC0370100, ERROR_VMCOMPUTE_TERMINATED_DURING_START);
    VALUE(0xC0370101, ERROR_VMCOMPUTE_IMAGE_MISMATCH);
    VALUE(0xC0370102, ERROR_VMCOMPUTE_HYPERV_NOT_INSTALLED);
    VALUE(0xC0370103, ERROR_VMCOMPUTE_OPERATION_PENDING);
    VALUE(0xC0370104, ERROR_VMCOMPUTE_TOO_MANY_NOTIFICATIONS);
    VALUE(0xC0370105, ERROR_VMCOMPUTE_INVALID_STATE);
    VALUE(0xC0370106, ERROR_VMCOMPUTE_UNEXPECTED_EXIT);
    VALUE(0xC0370107, ERROR_VMCOMPUTE_TERMINATED);
    VALUE(0xC0370108, ERROR_VMCOMPUTE_CONNECT_FAILED);
    VALUE(0xC0370109, ERROR_VMCOMPUTE_TIMEOUT);
    VALUE(0xC037010A, ERROR_VMCOMPUTE_CONNECTION_CLOSED);
    VALUE(0xC037010B, ERROR_VMCOMPUTE_UNKNOWN_MESSAGE);
    VALUE(0xC037010C, ERROR_VMCOMPUTE_UNSUPPORTED_PROTOCOL_VERSION);
    VALUE(0xC037010D, ERROR_VMCOMPUTE_INVALID_JSON);
    VALUE(0xC037010E, ERROR_VMCOMPUTE_SYSTEM_NOT_FOUND);
    VALUE(0xC037010F, ERROR_VMCOMPUTE_SYSTEM_ALREADY_EXISTS);
    VALUE(0xC0370110, ERROR_VMCOMPUTE_SYSTEM_ALREADY_STOPPED);
    VALUE(0xC0370111, ERROR_VMCOMPUTE_PROTOCOL_ERROR);
    VALUE(0xC0370112, ERROR_VMCOMPUTE_INVALID_LAYER);
    VALUE(0xC0370113, ERROR_VMCOMPUTE_WINDOWS_INSIDER_REQUIRED);
}

static void windows_codes(void)
{
    VALUE(0x80004001, E_NOTIMPL);
    VALUE(0x80070002, HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND));
    VALUE(0x80070003, HRESULT_FROM_WIN32(ERROR_PATH_NOT_FOUND));
    VALUE(0x80070005, E_ACCESSDENIED);
    VALUE(0x80070005, HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED));
    VALUE(0x80070006, E_HANDLE);
    VALUE(0x80070006, HRESULT_FROM_WIN32(ERROR_INVALID_HANDLE));
    VALUE(0x8007000D, HRESULT_FROM_WIN32(ERROR_INVALID_DATA));
    VALUE(0x8007000E, E_OUTOFMEMORY);
    VALUE(0x80070020, HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION));
    VALUE(0x80070032, HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED));
    VALUE(0x80070050, HRESULT_FROM_WIN32(ERROR_FILE_EXISTS));
    VALUE(0x80070057, E_INVALIDARG);
    VALUE(0x80070057, HRESULT_FROM_WIN32(ERROR_INVALID_PARAMETER));
    VALUE(0x8007006D, HRESULT_FROM_WIN32(ERROR_BROKEN_PIPE));
    VALUE(0x800700B7, HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS));
    VALUE(0x800700E8, HRESULT_FROM_WIN32(ERROR_NO_DATA));
    VALUE(0x80070424, HRESULT_FROM_WIN32(ERROR_SERVICE_DOES_NOT_EXIST));
    VALUE(0x80070490, HRESULT_FROM_WIN32(ERROR_NOT_FOUND));
    VALUE(0x800705B4, HRESULT_FROM_WIN32(ERROR_TIMEOUT));
    VALUE(0x80070718, HRESULT_FROM_WIN32(ERROR_NOT_ENOUGH_QUOTA));
    VALUE(0x8000000C, E_CHANGED_STATE);
    VALUE(0x80010119, RPC_E_TOO_LATE);
    VALUE(0x8000FFFF, E_UNEXPECTED);
    VALUE(0, HRESULT_FROM_WIN32(ERROR_SUCCESS));
    VALUE(0x80070005, HRESULT_FROM_WIN32(E_ACCESSDENIED));
    VALUE(0x10000000, GENERIC_ALL);
    VALUE(0xFFFFFFFF, INFINITE);
    VALUE(0, WAIT_OBJECT_0);
    VALUE(258, WAIT_TIMEOUT);
    VALUE(0xFFFFFFFF, WAIT_FAILED);
}

int main(void)
{
    structs();
    devices();
    operation_types();
    events();
    notifications();
    newer_types();
    codes();
    old_codes();
    windows_codes();
    CHECK(HCS_INVALID_OPERATION_ID == 0xFFFFFFFFFFFFFFFFull);
    CHECK(SUCCEEDED(S_OK) && SUCCEEDED(S_FALSE) && FAILED(HCS_E_INVALID_JSON));
    CHECK_EQUAL(-2147024883, HRESULT_FROM_WIN32(ERROR_INVALID_DATA)); /* as documents print it */
    return 0;
}
