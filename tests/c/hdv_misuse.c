/*
 * Device hosting with wrong arguments, in wrong states and without a machine. No service is needed: the program plays the owner
 * of a machine and the machine's worker to itself, as far as they say anything before a device is wanted.
 */
#include "check.h"

#include <HyperVDeviceVirtualization.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define FOREIGN(type) ((type)(uintptr_t)0xDEADBEE8)
#define OBJECT(fd) ((PVOID)(intptr_t)(fd))

static const GUID machine = {0x3f2504e0, 0x4f89, 0x11d3, {0x9a, 0x0c, 0x03, 0x05, 0xe8, 0x2c, 0x33, 0x01}};
static const GUID class = {1, 2, 3, {4}};
static const GUID instance = {5, 6, 7, {8}};

/* ---- A device that nobody gets to see ---- */

static HRESULT CALLBACK initialize(void *context)
{
    (void)context;
    return E_FAIL;
}

static void CALLBACK nothing(void *context)
{
    (void)context;
}

static HRESULT CALLBACK set_configuration(void *context, UINT32 count, const PCWSTR *values)
{
    (void)context, (void)count, (void)values;
    return E_FAIL;
}

static HRESULT CALLBACK get_details(void *context, PHDV_PCI_PNP_ID ids, UINT32 count, UINT32 *probed)
{
    (void)context, (void)ids, (void)count, (void)probed;
    return E_FAIL;
}

static HRESULT CALLBACK read_config(void *context, UINT32 offset, UINT32 *value)
{
    (void)context, (void)offset, (void)value;
    return E_FAIL;
}

static HRESULT CALLBACK write_config(void *context, UINT32 offset, UINT32 value)
{
    (void)context, (void)offset, (void)value;
    return E_FAIL;
}

static HRESULT CALLBACK read_memory(void *context, HDV_PCI_BAR_SELECTOR bar, UINT64 offset, UINT64 length, BYTE *value)
{
    (void)context, (void)bar, (void)offset, (void)length, (void)value;
    return E_FAIL;
}

static HRESULT CALLBACK write_memory(void *context, HDV_PCI_BAR_SELECTOR bar, UINT64 offset, UINT64 length,
                                     const BYTE *value)
{
    (void)context, (void)bar, (void)offset, (void)length, (void)value;
    return E_FAIL;
}

static const HDV_PCI_DEVICE_INTERFACE whole = {
    HdvPciDeviceInterfaceVersion1, initialize, nothing,     set_configuration, get_details, initialize, nothing,
    read_config,                   write_config, read_memory, write_memory,
};

static HRESULT create(HDV_HOST host, const HDV_PCI_DEVICE_INTERFACE *interface, HDV_DEVICE *device)
{
    return HdvCreateDeviceInstance(host, HdvDeviceTypePCI, &class, &instance, interface, NULL, device);
}

/* ---- Handles that are none ---- */

static void no_system(HCS_SYSTEM system)
{
    HDV_HOST host = FOREIGN(HDV_HOST);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHost(system, &host));
    CHECK(host == NULL);
    host = FOREIGN(HDV_HOST);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostEx(system, HdvDeviceHostFlagNone, &host));
    CHECK(host == NULL);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostEx(system, HdvDeviceHostFlagInitializeComSecurity, &host));
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostEx(system, (HDV_DEVICE_HOST_FLAGS)2, &host));
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHost(system, NULL));
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostEx(system, HdvDeviceHostFlagNone, NULL));
}

static void no_host(HDV_HOST host)
{
    HDV_DEVICE device = FOREIGN(HDV_DEVICE);
    CHECK_HR(E_INVALIDARG, create(host, &whole, &device));
    CHECK(device == NULL);
    CHECK_HR(E_INVALIDARG, create(host, NULL, NULL));
    CHECK_HR(E_INVALIDARG, HdvTeardownDeviceHost(host));
}

static void no_device(HDV_DEVICE device)
{
    BYTE bytes[16] = {0};
    void *mapped = FOREIGN(void *);
    HANDLE event = CreateEvent(NULL, FALSE, FALSE, NULL);
    CHECK_HR(E_INVALIDARG, HdvReadGuestMemory(device, 0, sizeof bytes, bytes));
    CHECK_HR(E_INVALIDARG, HdvReadGuestMemory(device, 0, 0, NULL));
    CHECK_HR(E_INVALIDARG, HdvWriteGuestMemory(device, 0, sizeof bytes, bytes));
    CHECK_HR(E_INVALIDARG, HdvWriteGuestMemory(device, 0, 0, NULL));
    CHECK_HR(E_INVALIDARG, HdvCreateGuestMemoryAperture(device, 0, 4096, FALSE, &mapped));
    CHECK(mapped == NULL);
    CHECK_HR(E_INVALIDARG, HdvCreateGuestMemoryAperture(device, 0, 4096, FALSE, NULL));
    CHECK_HR(E_INVALIDARG, HdvDestroyGuestMemoryAperture(device, bytes));
    CHECK_HR(E_INVALIDARG, HdvDestroyGuestMemoryAperture(device, NULL));
    CHECK_HR(E_INVALIDARG, HdvDeliverGuestInterrupt(device, 0xFEE00000, 0));
    CHECK_HR(E_INVALIDARG, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0, event));
    CHECK_HR(E_INVALIDARG, HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0));
    CHECK_HR(E_INVALIDARG,
             HdvCreateSectionBackedMmioRange(device, HDV_PCI_BAR0, 0, 1, HdvMmioMappingFlagNone, event, 0));
    CHECK_HR(E_INVALIDARG, HdvDestroySectionBackedMmioRange(device, HDV_PCI_BAR0, 0));
    CloseHandle(event);
}

/* ---- The owner and the worker that this program plays ---- */

/* What an owner answers to a request, or what it does instead. */
typedef struct Owner {
    int end;
    HRESULT result;
    int channel; /* goes with the result; -1 for none */
} Owner;

static void *play_owner(void *context)
{
    Owner *owner = context;
    unsigned char request[25], id[16] = {0x3f, 0x25, 0x04, 0xe0, 0x4f, 0x89, 0x11, 0xd3,
                                         0x9a, 0x0c, 0x03, 0x05, 0xe8, 0x2c, 0x33, 0x01};
    CHECK_EQUAL(24, read(owner->end, request, sizeof request));
    CHECK(memcmp(request, "HDVPROX1", 8) == 0);
    CHECK(memcmp(request + 8, id, sizeof id) == 0);

    struct iovec part = {&owner->result, sizeof owner->result};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (owner->channel >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &owner->channel, sizeof(int));
    }
    CHECK_EQUAL(sizeof owner->result, sendmsg(owner->end, &message, 0));
    return NULL;
}

static HRESULT ask(int type, HRESULT result, int channel, HDV_HOST *host)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0);
    Owner owner = {ends[0], result, channel};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, play_owner, &owner) == 0);
    HRESULT hr = HdvInitializeDeviceHostForProxy(&machine, OBJECT(ends[1]), host);
    CHECK(pthread_join(thread, NULL) == 0);
    /* The socket is still ours. */
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    return hr;
}

/* A host, and the worker's end of its channel. */
static HDV_HOST make_host(bool is_restricted, int *worker)
{
    HDV_HOST host = NULL;
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    char welcome[64];
    int length = snprintf(welcome, sizeof welcome, "{\"Welcome\":{\"version\":1,\"is_restricted\":%s}}",
                          is_restricted ? "true" : "false");
    CHECK_EQUAL(length + 1, write(ends[0], welcome, (size_t)length + 1));
    CHECK_HR(S_OK, ask(SOCK_STREAM, S_OK, ends[1], &host));
    CHECK(host != NULL);
    close(ends[1]);
    *worker = ends[0];
    return host;
}

static void host_processes(void)
{
    HDV_HOST host = FOREIGN(HDV_HOST);
    int pipe_ends[2], ends[2];
    CHECK(pipe(pipe_ends) == 0);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, OBJECT(pipe_ends[0]), &host));
    CHECK(host == NULL);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, NULL, &host));
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, OBJECT(9999), &host));
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, FOREIGN(PVOID), &host));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(NULL, OBJECT(ends[1]), &host));
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, OBJECT(ends[1]), NULL));
    /* The owner has gone. */
    close(ends[0]);
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_BROKEN_PIPE), HdvInitializeDeviceHostForProxy(&machine, OBJECT(ends[1]), &host));
    close(ends[1]);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
    CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, OBJECT(ends[1]), &host));
    close(ends[0]), close(ends[1]), close(pipe_ends[0]), close(pipe_ends[1]);

    /* It refuses, with whatever code, or says that all is well and gives nothing. */
    CHECK_HR(E_ACCESSDENIED, ask(SOCK_STREAM, E_ACCESSDENIED, -1, &host));
    CHECK_HR((HRESULT)0x8BADF00Du, ask(SOCK_SEQPACKET, (HRESULT)0x8BADF00Du, -1, &host));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_INVALID_DATA), ask(SOCK_STREAM, S_OK, -1, &host));
    CHECK(host == NULL);
}

/* The owner tells the host process why it refuses. */
static void owners(void)
{
    UINT64 section = 1;
    int ends[2];
    CHECK_HR(E_INVALIDARG, HdvProxyDeviceHost(NULL, NULL, 0, &section));
    CHECK_EQUAL(0, section);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        HDV_HOST host = NULL;
        begin();
        close(ends[0]);
        CHECK_HR(E_INVALIDARG, HdvInitializeDeviceHostForProxy(&machine, OBJECT(ends[1]), &host));
        _exit(0);
    }
    close(ends[1]);
    CHECK_HR(E_INVALIDARG, HdvProxyDeviceHost(FOREIGN(HCS_SYSTEM), OBJECT(ends[0]), (DWORD)child, &section));
    int status = -1;
    CHECK_EQUAL(child, waitpid(child, &status, 0));
    CHECK_EQUAL(0, status);
    CHECK_HR(E_INVALIDARG, HdvProxyDeviceHost(NULL, OBJECT(ends[0]), 0, NULL));
    close(ends[0]);
}

/* ---- Devices ---- */

static void tables(HDV_HOST host)
{
    HDV_DEVICE device = FOREIGN(HDV_DEVICE);
    HDV_PCI_DEVICE_INTERFACE table = whole;
    CHECK_HR(E_INVALIDARG, create(host, NULL, &device));
    CHECK(device == NULL);
    table.Version = HdvPciDeviceInterfaceVersionInvalid;
    CHECK_HR(E_INVALIDARG, create(host, &table, &device));
    table.Version = (HDV_PCI_INTERFACE_VERSION)2;
    CHECK_HR(E_INVALIDARG, create(host, &table, &device));
    /* Each callback is required. */
    const size_t first = offsetof(HDV_PCI_DEVICE_INTERFACE, Initialize);
    for (size_t at = first; at < sizeof table; at += sizeof(void *)) {
        table = whole;
        memset((char *)&table + at, 0, sizeof(void *));
        CHECK_HR(E_INVALIDARG, create(host, &table, &device));
    }
    CHECK_HR(E_INVALIDARG,
             HdvCreateDeviceInstance(host, HdvDeviceTypeUndefined, &class, &instance, &whole, NULL, &device));
    CHECK_HR(E_INVALIDARG,
             HdvCreateDeviceInstance(host, (HDV_DEVICE_TYPE)2, &class, &instance, &whole, NULL, &device));
    CHECK_HR(E_INVALIDARG, HdvCreateDeviceInstance(host, HdvDeviceTypePCI, NULL, &instance, &whole, NULL, &device));
    CHECK_HR(E_INVALIDARG, HdvCreateDeviceInstance(host, HdvDeviceTypePCI, &class, NULL, &whole, NULL, &device));
    CHECK_HR(E_INVALIDARG, create(host, &whole, NULL));
    CHECK(device == NULL);
}

static void memory(HDV_DEVICE device)
{
    BYTE bytes[16] = {0};
    void *mapped = FOREIGN(void *);
    CHECK_HR(S_OK, HdvReadGuestMemory(device, 0, 0, NULL));
    CHECK_HR(S_OK, HdvWriteGuestMemory(device, 0, 0, bytes));
    CHECK_HR(E_INVALIDARG, HdvReadGuestMemory(device, 0, 1, NULL));
    CHECK_HR(E_INVALIDARG, HdvWriteGuestMemory(device, 0, 1, NULL));
    /* No machine has the device. */
    CHECK_FAILS(HdvReadGuestMemory(device, 0, sizeof bytes, bytes));
    CHECK_FAILS(HdvWriteGuestMemory(device, UINT64_MAX, sizeof bytes, bytes));
    CHECK_FAILS(HdvCreateGuestMemoryAperture(device, 0, 4096, FALSE, &mapped));
    CHECK(mapped == NULL);
    CHECK_FAILS(HdvCreateGuestMemoryAperture(device, 0, 0, TRUE, &mapped));
    CHECK_HR(E_INVALIDARG, HdvCreateGuestMemoryAperture(device, 0, 4096, FALSE, NULL));
    CHECK_HR(E_INVALIDARG, HdvDestroyGuestMemoryAperture(device, NULL));
    CHECK_HR(E_INVALIDARG, HdvDestroyGuestMemoryAperture(device, bytes));
    CHECK_FAILS(HdvDeliverGuestInterrupt(device, 0xFEE00000, 0));
}

static void doorbells(HDV_DEVICE device, bool is_restricted)
{
    const UINT64 any = HDV_DOORBELL_FLAG_TRIGGER_ANY_VALUE, word = HDV_DOORBELL_FLAG_TRIGGER_SIZE_WORD;
    const HRESULT good = is_restricted ? E_ACCESSDENIED : S_OK;
    HANDLE event = CreateEvent(NULL, FALSE, FALSE, NULL);
    HANDLE own = HcsHandleFromFd(eventfd(0, EFD_CLOEXEC));
    int pipe_ends[2];
    CHECK(event != NULL && own != NULL && pipe(pipe_ends) == 0);

    CHECK_HR(E_INVALIDARG, HdvRegisterDoorbell(device, (HDV_PCI_BAR_SELECTOR)HDV_PCI_BAR_COUNT, 0, 0, 0, event));
    CHECK_HR(E_INVALIDARG, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 5, event));
    CHECK_HR(E_INVALIDARG, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, any << 1, event));
    CHECK_HR(E_HANDLE, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0, NULL));
    CHECK_HR(E_HANDLE, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0, INVALID_HANDLE_VALUE));
    CHECK_HR(E_HANDLE, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0, HcsHandleFromFd(9999)));
    CHECK_HR(E_HANDLE, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0, HcsHandleFromFd(pipe_ends[1])));
    CHECK_HR(E_INVALIDARG, HdvUnregisterDoorbell(device, (HDV_PCI_BAR_SELECTOR)HDV_PCI_BAR_COUNT, 0, 0, 0));
    CHECK_HR(E_INVALIDARG, HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0, 0, 0x10));

    CHECK_HR(good, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0x20, 7, word, event));
    CHECK_HR(good, HdvRegisterDoorbell(device, HDV_PCI_BAR0, 0x20, 8, word, own));
    CHECK_HR(good, HdvRegisterDoorbell(device, HDV_PCI_BAR5, 0x20, 0, any, own));
    /* The library has its own. */
    CHECK(CloseHandle(event) && CloseHandle(own));
    if (!is_restricted) {
        /* All of it names a doorbell, but not a value that any is. */
        CHECK_FAILS(HdvUnregisterDoorbell(device, HDV_PCI_BAR1, 0x20, 7, word));
        CHECK_FAILS(HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0x22, 7, word));
        CHECK_FAILS(HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0x20, 9, word));
        CHECK_FAILS(HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0x20, 7, 0));
        CHECK_FAILS(HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0x20, 7, word | any));
        CHECK_HR(S_OK, HdvUnregisterDoorbell(device, HDV_PCI_BAR5, 0x20, 99, any));
    }
    CHECK_HR(good, HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0x20, 7, word));
    CHECK_FAILS(HdvUnregisterDoorbell(device, HDV_PCI_BAR0, 0x20, 7, word));
    close(pipe_ends[0]), close(pipe_ends[1]);
}

static void sections(HDV_DEVICE device, bool is_restricted)
{
    const HRESULT good = is_restricted ? E_ACCESSDENIED : S_OK;
    const HDV_MMIO_MAPPING_FLAGS all = (HDV_MMIO_MAPPING_FLAGS)3;
    int fd = memfd_create("section", MFD_CLOEXEC);
    CHECK(fd > 0 && ftruncate(fd, 4 * 4096) == 0);
    HANDLE memory = HcsHandleFromFd(fd);
    CHECK_HR(E_INVALIDARG, HdvCreateSectionBackedMmioRange(device, (HDV_PCI_BAR_SELECTOR)HDV_PCI_BAR_COUNT, 0, 1,
                                                           HdvMmioMappingFlagNone, memory, 0));
    CHECK_HR(E_INVALIDARG, HdvCreateSectionBackedMmioRange(device, HDV_PCI_BAR0, 0, 1, (HDV_MMIO_MAPPING_FLAGS)4,
                                                           memory, 0));
    CHECK_HR(E_INVALIDARG,
             HdvCreateSectionBackedMmioRange(device, HDV_PCI_BAR0, 0, 0, HdvMmioMappingFlagNone, memory, 0));
    CHECK_HR(E_HANDLE, HdvCreateSectionBackedMmioRange(device, HDV_PCI_BAR0, 0, 1, HdvMmioMappingFlagNone, NULL, 0));
    CHECK_HR(E_HANDLE, HdvCreateSectionBackedMmioRange(device, HDV_PCI_BAR0, 0, 1, HdvMmioMappingFlagNone,
                                                       HcsHandleFromFd(9999), 0));
    CHECK_HR(E_INVALIDARG, HdvDestroySectionBackedMmioRange(device, (HDV_PCI_BAR_SELECTOR)HDV_PCI_BAR_COUNT, 0));
    CHECK_HR(good, HdvCreateSectionBackedMmioRange(device, HDV_PCI_BAR1, 2, 2, all, memory, 1));
    CHECK(CloseHandle(memory));
    if (!is_restricted) CHECK_FAILS(HdvDestroySectionBackedMmioRange(device, HDV_PCI_BAR1, 3));
    CHECK_HR(good, HdvDestroySectionBackedMmioRange(device, HDV_PCI_BAR1, 2));
    CHECK_FAILS(HdvDestroySectionBackedMmioRange(device, HDV_PCI_BAR1, 2));
}

static void devices(bool is_restricted)
{
    int worker = -1;
    HDV_DEVICE device = NULL, second = FOREIGN(HDV_DEVICE);
    HDV_HOST host = make_host(is_restricted, &worker);
    tables(host);
    CHECK_HR(S_OK, create(host, &whole, &device));
    CHECK(device != NULL && device != host);
    CHECK_FAILS(create(host, &whole, &second));
    CHECK(second == NULL);

    /* Each kind of handle is its own. */
    no_device(host);
    no_host(device);
    no_system((HCS_SYSTEM)host);
    HcsCloseComputeSystem((HCS_SYSTEM)host);
    CHECK_HR(E_INVALIDARG, HcsGetOperationResult((HCS_OPERATION)device, NULL));

    memory(device);
    doorbells(device, is_restricted);
    sections(device, is_restricted);

    CHECK_HR(S_OK, HdvTeardownDeviceHost(host));
    no_host(host);
    no_device(device);
    /* The worker sees the end. */
    char byte;
    CHECK(read(worker, &byte, 1) <= 0);
    close(worker);
}

/* A worker that goes takes nothing but its machine. */
static void lost(void)
{
    int worker = -1;
    HDV_DEVICE device = NULL;
    HDV_HOST host = make_host(false, &worker);
    close(worker);
    CHECK_HR(S_OK, create(host, &whole, &device));
    memory(device);
    CHECK_HR(S_OK, HdvTeardownDeviceHost(host));
    no_device(device);
}

int main(void)
{
    begin();
    no_system(NULL);
    no_system(FOREIGN(HCS_SYSTEM));
    no_host(NULL);
    no_host(FOREIGN(HDV_HOST));
    no_device(NULL);
    no_device(FOREIGN(HDV_DEVICE));
    owners();
    host_processes();
    devices(false);
    devices(true);
    lost();
    return 0;
}
