/**
 * HyperVDeviceVirtualization.h: PCI devices that a program is, for a virtual machine.
 *
 * Link with -lcomputecore; programs that name vmdevicehost get the same library. The machine must announce the device in
 * VirtualMachine.Devices.FlexibleIov, or get it while it runs, by HcsModifyComputeSystem with the same object:
 *
 *     "FlexibleIov": { "<instance>": { "EmulatorId": "<class>", "HostingModel": "External", "Configuration": [] } }
 *
 *     HcsCreateComputeSystem                     the machine, not started
 *     HdvInitializeDeviceHost                    this program hosts devices for it
 *     HdvCreateDeviceInstance                    for each device: the pair of class and instance, and its callbacks
 *     HcsStartComputeSystem                      or HcsModifyComputeSystem, Add
 *         Initialize, SetConfiguration, GetDetails, Start, then whatever the guest does, Stop, Teardown
 *     HdvTeardownDeviceHost
 *     HcsCloseComputeSystem
 *
 * CALLBACKS run on threads of the library, several at once also for one device, and with none of its locks held. They may
 * call every function for their device, but not HdvTeardownDeviceHost, which waits for them. While a callback for an access
 * runs, the virtual processor that made it waits. Nothing may be thrown out of a callback, and the pointers that it gets are
 * valid during the call only.
 *
 * HANDLES are checked: a closed, NULL or foreign handle is never undefined behaviour. An HDV_DEVICE is valid until the end of
 * its host; there is no function that ends a device. Both mean nothing in another process, or after fork. A host ends
 * with its process: what the guest then reads from its devices is all ones.
 *
 * THREADS. Every function may be called from every thread.
 *
 * ERRORS that every function can return, and that are not repeated below:
 *     E_INVALIDARG     a required pointer is NULL, a handle is not valid or its host has ended, a number is out of range
 *     E_OUTOFMEMORY
 */
#ifndef HYPERV_DEVICE_VIRTUALIZATION_H
#define HYPERV_DEVICE_VIRTUALIZATION_H

#include "ComputeDefs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ==== Types =================================================================================================== */

/** A host of devices of one machine, in this process. To HdvTeardownDeviceHost. */
typedef void *HDV_HOST;

/** A device. From HdvCreateDeviceInstance; until its host ends. */
typedef void *HDV_DEVICE;

typedef enum HDV_DEVICE_TYPE HCS_ENUM_BASE(UINT32) {
    HdvDeviceTypeUndefined = 0,
    HdvDeviceTypePCI = 1
} HDV_DEVICE_TYPE;

/** What a host is to be: bits. */
typedef enum HDV_DEVICE_HOST_FLAGS HCS_ENUM_BASE(UINT32) {
    HdvDeviceHostFlagNone = 0x0,
    HdvDeviceHostFlagInitializeComSecurity = 0x1 /* accepted; there is no COM here */
} HDV_DEVICE_HOST_FLAGS;
DEFINE_ENUM_FLAG_OPERATORS(HDV_DEVICE_HOST_FLAGS);

typedef enum HDV_PCI_INTERFACE_VERSION HCS_ENUM_BASE(UINT32) {
    HdvPciDeviceInterfaceVersionInvalid = 0,
    HdvPciDeviceInterfaceVersion1 = 1
} HDV_PCI_INTERFACE_VERSION;

/** A base address register. One of 64 bits is named by its lower half. */
typedef enum HDV_PCI_BAR_SELECTOR HCS_ENUM_BASE(UINT32) {
    HDV_PCI_BAR0 = 0,
    HDV_PCI_BAR1 = 1,
    HDV_PCI_BAR2 = 2,
    HDV_PCI_BAR3 = 3,
    HDV_PCI_BAR4 = 4,
    HDV_PCI_BAR5 = 5
} HDV_PCI_BAR_SELECTOR;
#define HDV_PCI_BAR_COUNT 6

/** Which writes ring a doorbell: one of the sizes, and the bit if any value does. */
__extension__ typedef enum HDV_DOORBELL_FLAGS HCS_ENUM_BASE(UINT32) {
    HDV_DOORBELL_FLAG_TRIGGER_SIZE_ANY = 0,
    HDV_DOORBELL_FLAG_TRIGGER_SIZE_BYTE = 1,
    HDV_DOORBELL_FLAG_TRIGGER_SIZE_WORD = 2,
    HDV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD = 3,
    HDV_DOORBELL_FLAG_TRIGGER_SIZE_QWORD = 4,
    HDV_DOORBELL_FLAG_TRIGGER_ANY_VALUE = 0x80000000
} HDV_DOORBELL_FLAGS;
DEFINE_ENUM_FLAG_OPERATORS(HDV_DOORBELL_FLAGS);

/** What a guest may do with pages of a section beyond reading them: bits. */
typedef enum HDV_MMIO_MAPPING_FLAGS HCS_ENUM_BASE(UINT32) {
    HdvMmioMappingFlagNone = 0x0,
    HdvMmioMappingFlagWriteable = 0x1,
    HdvMmioMappingFlagExecutable = 0x2 /* accepted; a guest may always execute what it may read */
} HDV_MMIO_MAPPING_FLAGS;
DEFINE_ENUM_FLAG_OPERATORS(HDV_MMIO_MAPPING_FLAGS);

/** What a device is. In brackets: where that stands in its configuration space, which must say the same. */
typedef struct HDV_PCI_PNP_ID {
    UINT16 VendorID;    /* [0x00] */
    UINT16 DeviceID;    /* [0x02] */
    UINT8 RevisionID;   /* [0x08] */
    UINT8 ProgIf;       /* [0x09] */
    UINT8 SubClass;     /* [0x0A] */
    UINT8 BaseClass;    /* [0x0B] */
    UINT16 SubVendorID; /* [0x2C] */
    UINT16 SubSystemID; /* [0x2E] */
} HDV_PCI_PNP_ID, *PHDV_PCI_PNP_ID;

/* ==== Callbacks of a device =================================================================================== */

/**
 * The machine is switched on, or gets the device while it runs. The first callback. A failure of this one or of the next
 * three fails the start of the machine, or the request that adds the device.
 */
typedef HRESULT (CALLBACK *HDV_PCI_DEVICE_INITIALIZE)(void *DeviceContext);

/** The machine or the host of the device ends. The last callback. */
typedef void (CALLBACK *HDV_PCI_DEVICE_TEARDOWN)(void *DeviceContext);

/** Configuration of the machine's document, in order. Comes once, after Initialize, also if there are no values. */
typedef HRESULT (CALLBACK *HDV_PCI_DEVICE_SET_CONFIGURATION)(void *DeviceContext, UINT32 ConfigurationValueCount,
                                                             const PCWSTR *ConfigurationValues);

/**
 * What the device is. Comes before the guest sees it, maybe more than once; the answer must be the same.
 *
 * ProbedBars: HDV_PCI_BAR_COUNT values, 0 at first. For each register what it reads after all ones were written: the
 * complement of its size less one, with the bits of its type. Of one of 64 bits the upper half is in the next value.
 */
typedef HRESULT (CALLBACK *HDV_PCI_DEVICE_GET_DETAILS)(void *DeviceContext, PHDV_PCI_PNP_ID PnpId, UINT32 ProbedBarsCount,
                                                       UINT32 *ProbedBars);

/** The processors of the machine are about to run: at first, and after each Stop. */
typedef HRESULT (CALLBACK *HDV_PCI_DEVICE_START)(void *DeviceContext);

/** They have stopped: the machine is off, paused, being saved or reset. */
typedef void (CALLBACK *HDV_PCI_DEVICE_STOP)(void *DeviceContext);

/**
 * The guest reads or writes the configuration space, all of which is the device's.
 *
 * Offset: in bytes, a multiple of 4. Narrower accesses are made of these: of a word a part is written by reading it, changing
 * the part, and writing it. After a failure the guest has read all ones, or written nothing.
 */
typedef HRESULT (CALLBACK *HDV_PCI_READ_CONFIG_SPACE)(void *DeviceContext, UINT32 Offset, UINT32 *Value);
typedef HRESULT (CALLBACK *HDV_PCI_WRITE_CONFIG_SPACE)(void *DeviceContext, UINT32 Offset, UINT32 Value);

/**
 * The guest reads or writes where a base address register leads, and no doorbell and no section is.
 *
 * Length: 1, 2, 4 or 8. Value: that many bytes, little endian. After a failure as above.
 */
typedef HRESULT (CALLBACK *HDV_PCI_READ_INTERCEPTED_MEMORY)(void *DeviceContext, HDV_PCI_BAR_SELECTOR BarIndex,
                                                            UINT64 Offset, UINT64 Length, BYTE *Value);
typedef HRESULT (CALLBACK *HDV_PCI_WRITE_INTERCEPTED_MEMORY)(void *DeviceContext, HDV_PCI_BAR_SELECTOR BarIndex,
                                                             UINT64 Offset, UINT64 Length, const BYTE *Value);

/** The callbacks of a device. All are required. */
typedef struct HDV_PCI_DEVICE_INTERFACE {
    HDV_PCI_INTERFACE_VERSION Version; /* HdvPciDeviceInterfaceVersion1 */
    HDV_PCI_DEVICE_INITIALIZE Initialize;
    HDV_PCI_DEVICE_TEARDOWN Teardown;
    HDV_PCI_DEVICE_SET_CONFIGURATION SetConfiguration;
    HDV_PCI_DEVICE_GET_DETAILS GetDetails;
    HDV_PCI_DEVICE_START Start;
    HDV_PCI_DEVICE_STOP Stop;
    HDV_PCI_READ_CONFIG_SPACE ReadConfigSpace;
    HDV_PCI_WRITE_CONFIG_SPACE WriteConfigSpace;
    HDV_PCI_READ_INTERCEPTED_MEMORY ReadInterceptedMemory;
    HDV_PCI_WRITE_INTERCEPTED_MEMORY WriteInterceptedMemory;
} HDV_PCI_DEVICE_INTERFACE, *PHDV_PCI_DEVICE_INTERFACE;

/* ==== Hosts =================================================================================================== */

/**
 * Makes this process host devices of a machine. Synchronous.
 *
 * computeSystem: a virtual machine whose creation has completed.
 * deviceHostHandle: release it with HdvTeardownDeviceHost.
 *
 *     0xC0370030            the machine has a host like this already; for several see HdvProxyDeviceHost
 *     HCS_E_INVALID_STATE   the creation has not completed
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   it is no virtual machine
 *     HCS_E_SERVICE_NOT_AVAILABLE, HCS_E_SERVICE_DISCONNECT, HCS_E_ACCESS_DENIED, HCS_E_SYSTEM_NOT_FOUND,
 *     HCS_E_SYSTEM_ALREADY_STOPPED   as for all functions of ComputeCore.h
 */
HRESULT HdvInitializeDeviceHost(HCS_SYSTEM computeSystem, HDV_HOST *deviceHostHandle);

/** The same with flags, none of which makes a difference here. */
HRESULT HdvInitializeDeviceHostEx(HCS_SYSTEM computeSystem, HDV_DEVICE_HOST_FLAGS flags, HDV_HOST *deviceHostHandle);

/**
 * Ends a host: Stop and Teardown of its devices are called, and have returned when this returns. No callback comes any more,
 * and all the handles are dead; apertures are unmapped. Synchronous, blocks. Never call this from a callback of a device.
 *
 * Every thread may do this, also for a host of HdvInitializeDeviceHostForProxy.
 *
 *     HCS_E_INVALID_STATE   a callback has called this
 */
HRESULT HdvTeardownDeviceHost(HDV_HOST deviceHostHandle);

/*
 * HOSTS IN OTHER PROCESSES. The OWNER of a machine has its handle; a HOST PROCESS has none, and maybe no right to use the
 * service. There may be several, and the entries of their devices say "HostingModel": "ExternalRestricted": doorbells and
 * sections are refused to them. That is a matter of order: such a process has the memory of this guest, as every device has,
 * and can do to this machine what a device can. What it cannot is use the service, or another machine.
 *
 * Where Windows passes COM objects there are here the two ends of one connected Unix socket, of the type SOCK_STREAM or
 * SOCK_SEQPACKET: (PVOID)(intptr_t)fd. Descriptor 0 cannot be passed. How the two processes come by the socket is
 * theirs: socketpair and fork, or connect and accept. Both calls wait for each other, in either order; they leave the socket
 * open, and nothing goes over it afterwards, so that it may be closed or used for something else.
 */

/**
 * Makes this process host devices of a machine of another process. Synchronous, blocks until the owner has called
 * HdvProxyDeviceHost or has closed its end.
 *
 * vmId: RuntimeId of the machine.
 * proxyInterface_IUnknown: the host process's end.
 * deviceHostHandle: release it with HdvTeardownDeviceHost.
 *
 *     HRESULT_FROM_WIN32(ERROR_BROKEN_PIPE)   the owner has closed its end
 *     what HdvProxyDeviceHost has failed with
 */
HRESULT HdvInitializeDeviceHostForProxy(const GUID *vmId, PVOID proxyInterface_IUnknown, HDV_HOST *deviceHostHandle);

/**
 * Lets another process host devices of a machine. Synchronous, blocks until that process has called
 * HdvInitializeDeviceHostForProxy, ten seconds at most. A failure is told to the other process too.
 *
 * deviceHost_IUnknown: the owner's end.
 * targetProcessId: the process, as this one numbers it. 0 for any process; then who has the other end decides.
 * ipcSectionHandle: receives 0, which is no handle: what Windows keeps in a section goes over a channel that the
 * other process has got when this returns. Programs that pass the value on may do so.
 *
 *     E_INVALIDARG     also: the process has named another machine; or that is no Unix socket
 *     E_ACCESSDENIED   another process than targetProcessId has asked
 *     HRESULT_FROM_WIN32(ERROR_TIMEOUT)        nobody has asked
 *     HRESULT_FROM_WIN32(ERROR_BROKEN_PIPE)    the other process has closed its end
 *     HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   something else came over the socket
 *     what HdvInitializeDeviceHost fails with, except 0xC0370030
 */
HRESULT HdvProxyDeviceHost(HCS_SYSTEM computeSystem, PVOID deviceHost_IUnknown, DWORD targetProcessId,
                           UINT64 *ipcSectionHandle);

/* ==== Devices ================================================================================================= */

/**
 * Makes a device, before the machine looks for it. Synchronous. Callbacks can come before this returns; the handle is in its
 * place then.
 *
 * deviceClassId: what kind it is, EmulatorId in the machine's document.
 * deviceInstanceId: which one it is, the key in FlexibleIov.
 * deviceInterface: an HDV_PCI_DEVICE_INTERFACE. It is copied.
 * deviceContext: for the callbacks. May be NULL.
 *
 *     E_INVALIDARG   also: another type than HdvDeviceTypePCI, another version, a callback is missing
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   the host has this instance
 */
HRESULT HdvCreateDeviceInstance(HDV_HOST deviceHostHandle, HDV_DEVICE_TYPE deviceType, const GUID *deviceClassId,
                                const GUID *deviceInstanceId, const VOID *deviceInterface, void *deviceContext,
                                HDV_DEVICE *deviceHandle);

/*
 * MEMORY OF THE GUEST is named by the addresses that the guest's processors use, as it programs them into devices. An address
 * at which there is no memory is an error.
 *
 *     E_INVALIDARG          also: there is no memory
 *     HCS_E_INVALID_STATE   no machine has the device
 */

/** Copies from the guest's memory. byteCount may be 0. Synchronous. */
HRESULT HdvReadGuestMemory(HDV_DEVICE requestor, UINT64 guestPhysicalAddress, UINT32 byteCount, BYTE *buffer);

/** Copies to the guest's memory. byteCount may be 0. Synchronous. */
HRESULT HdvWriteGuestMemory(HDV_DEVICE requestor, UINT64 guestPhysicalAddress, UINT32 byteCount, const BYTE *buffer);

/**
 * Maps memory of the guest into this process, where both see what the other writes at once. Synchronous.
 *
 * guestPhysicalAddress, byteCount: whole pages of 4 KiB.
 * writeProtected: TRUE for memory that is only read; writing to it ends this program.
 * mappedAddress: valid until HdvDestroyGuestMemoryAperture, or Teardown of the device has returned.
 *
 *     E_ACCESSDENIED                               it is not to be written
 *     HRESULT_FROM_WIN32(ERROR_NOT_ENOUGH_QUOTA)   too much is mapped; destroy others first
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)      it cannot be mapped; read and write it instead
 */
HRESULT HdvCreateGuestMemoryAperture(HDV_DEVICE requestor, UINT64 guestPhysicalAddress, UINT32 byteCount,
                                     BOOL writeProtected, void **mappedAddress);

/** Ends such a mapping. Synchronous. mappedAddress: as it was received. */
HRESULT HdvDestroyGuestMemoryAperture(HDV_DEVICE requestor, void *mappedAddress);

/**
 * Interrupts the guest: writes what the guest has programmed into the registers of MSI or MSI-X where it has
 * said. Masking is the device's affair. Synchronous, and allowed in every callback.
 *
 *     E_INVALIDARG          also: the address is none that interrupts a processor
 *     HCS_E_INVALID_STATE   no machine has the device
 */
HRESULT HdvDeliverGuestInterrupt(HDV_DEVICE requestor, UINT64 msiAddress, UINT32 msiData);

/*
 * DOORBELLS AND SECTIONS.
 *
 *     E_ACCESSDENIED   the host is a restricted one: see HdvInitializeDeviceHostForProxy
 *     E_HANDLE         the handle is not open, or of another kind
 *     HRESULT_FROM_WIN32(ERROR_NOT_ENOUGH_QUOTA)   the device has too many
 */

/**
 * Has an event signalled by writes of the guest, instead of WriteInterceptedMemory, which does not hear of them. Reads
 * are as ever. Several at one place have different values. They go with Teardown of the device. Synchronous.
 *
 * triggerValue: what must be written; ignored with HDV_DOORBELL_FLAG_TRIGGER_ANY_VALUE.
 * flags: HDV_DOORBELL_FLAGS.
 * doorbellEvent: of CreateEvent, or HcsHandleFromFd of an eventfd. Several writes may signal it once. The library keeps the
 * event, so the handle may be closed.
 *
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   there is such a doorbell
 */
HRESULT HdvRegisterDoorbell(HDV_DEVICE requestor, HDV_PCI_BAR_SELECTOR barIndex, UINT64 barOffset, UINT64 triggerValue,
                            UINT64 flags, HANDLE doorbellEvent);

/**
 * Removes a doorbell, which all of these name. Synchronous.
 *
 *     HRESULT_FROM_WIN32(ERROR_NOT_FOUND)   there is no such doorbell
 */
HRESULT HdvUnregisterDoorbell(HDV_DEVICE requestor, HDV_PCI_BAR_SELECTOR barIndex, UINT64 barOffset, UINT64 triggerValue,
                              UINT64 flags);

/**
 * Has memory stand behind a part of a base address register: what the guest reads there is read from it, and no callback
 * comes. Without HdvMmioMappingFlagWriteable writes come to WriteInterceptedMemory. All units are pages of 4 KiB. Synchronous.
 *
 * What is there when Initialize returns is fastest: the guest gets the memory itself, if it may write it, and then it stays
 * until Teardown. For that the section must be one that can be sealed against being made shorter (memfd_create with
 * MFD_ALLOW_SEALING), which this does, and no other range of it may be for reading only. Of what comes later this process does
 * the reading and writing for the guest. All ranges go with Teardown.
 *
 * sectionHandle: HcsHandleFromFd of a memfd (memfd_create) or of a file, open for what the guest may do. The library keeps
 * it, so the handle may be closed.
 *
 *     E_INVALIDARG   also: the range overlaps another, or ends beyond the register or the section
 */
HRESULT HdvCreateSectionBackedMmioRange(HDV_DEVICE requestor, HDV_PCI_BAR_SELECTOR barIndex, UINT64 offsetInPages,
                                        UINT64 lengthInPages, HDV_MMIO_MAPPING_FLAGS mappingFlags, HANDLE sectionHandle,
                                        UINT64 sectionOffsetInPages);

/**
 * Removes the range that begins there. Synchronous.
 *
 *     HRESULT_FROM_WIN32(ERROR_NOT_FOUND)       none begins there
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   the guest has this memory itself
 */
HRESULT HdvDestroySectionBackedMmioRange(HDV_DEVICE requestor, HDV_PCI_BAR_SELECTOR barIndex, UINT64 offsetInPages);

/* ==== Layout: programs and library must agree to the byte ===================================================== */

static_assert(sizeof(HDV_DEVICE_TYPE) == 4, "HDV_DEVICE_TYPE");
static_assert(sizeof(HDV_PCI_INTERFACE_VERSION) == 4, "HDV_PCI_INTERFACE_VERSION");
static_assert(sizeof(HDV_PCI_BAR_SELECTOR) == 4, "HDV_PCI_BAR_SELECTOR");

static_assert(sizeof(HDV_PCI_PNP_ID) == 12, "HDV_PCI_PNP_ID");
static_assert(offsetof(HDV_PCI_PNP_ID, VendorID) == 0, "HDV_PCI_PNP_ID.VendorID");
static_assert(offsetof(HDV_PCI_PNP_ID, DeviceID) == 2, "HDV_PCI_PNP_ID.DeviceID");
static_assert(offsetof(HDV_PCI_PNP_ID, RevisionID) == 4, "HDV_PCI_PNP_ID.RevisionID");
static_assert(offsetof(HDV_PCI_PNP_ID, ProgIf) == 5, "HDV_PCI_PNP_ID.ProgIf");
static_assert(offsetof(HDV_PCI_PNP_ID, SubClass) == 6, "HDV_PCI_PNP_ID.SubClass");
static_assert(offsetof(HDV_PCI_PNP_ID, BaseClass) == 7, "HDV_PCI_PNP_ID.BaseClass");
static_assert(offsetof(HDV_PCI_PNP_ID, SubVendorID) == 8, "HDV_PCI_PNP_ID.SubVendorID");
static_assert(offsetof(HDV_PCI_PNP_ID, SubSystemID) == 10, "HDV_PCI_PNP_ID.SubSystemID");

static_assert(sizeof(HDV_PCI_DEVICE_INTERFACE) == 88, "HDV_PCI_DEVICE_INTERFACE");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, Version) == 0, "HDV_PCI_DEVICE_INTERFACE.Version");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, Initialize) == 8, "HDV_PCI_DEVICE_INTERFACE.Initialize");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, Teardown) == 16, "HDV_PCI_DEVICE_INTERFACE.Teardown");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, SetConfiguration) == 24, "HDV_PCI_DEVICE_INTERFACE.SetConfiguration");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, GetDetails) == 32, "HDV_PCI_DEVICE_INTERFACE.GetDetails");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, Start) == 40, "HDV_PCI_DEVICE_INTERFACE.Start");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, Stop) == 48, "HDV_PCI_DEVICE_INTERFACE.Stop");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, ReadConfigSpace) == 56, "HDV_PCI_DEVICE_INTERFACE.ReadConfigSpace");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, WriteConfigSpace) == 64, "HDV_PCI_DEVICE_INTERFACE.WriteConfigSpace");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, ReadInterceptedMemory) == 72,
              "HDV_PCI_DEVICE_INTERFACE.ReadInterceptedMemory");
static_assert(offsetof(HDV_PCI_DEVICE_INTERFACE, WriteInterceptedMemory) == 80,
              "HDV_PCI_DEVICE_INTERFACE.WriteInterceptedMemory");

#ifdef __cplusplus
}
#endif

#endif
