/*
 * A sensor as a PCI device of a virtual machine, all of it in this program. An example, and what tests try the API with.
 *
 *   sensor_device SYSTEM CLASS INSTANCE                     for a machine that this program may open
 *   sensor_device --proxy FD RUNTIME-ID CLASS INSTANCE      for one whose owner is at the other end of a socket
 *
 * The machine's document has the device, or HcsModifyComputeSystem adds it once this program has said `ready`:
 *
 *   "Devices": { "FlexibleIov": { "INSTANCE": { "EmulatorId": "CLASS", "HostingModel": "External" } } }
 *
 * Each event of the device's life is a line on stdout. At the end of stdin the device is taken away.
 *
 * BAR0, 4 KiB, registers of 32 bits:
 *   0x00  id, 'SENS'
 *   0x04  how many samples were taken
 *   0x08  reading it takes a sample; 0 while the sensor is off
 *   0x0C  control: bit 0 switches the sensor on; writing bit 1 has 64 samples stored in memory, then an interrupt
 *   0x10  where they are stored, low half
 *   0x14  the high half
 *   0x18  status: bit 0 samples were stored, bit 1 that failed. Writing ones clears them
 *   0x20  doorbell: whatever is written as 32 bits, the program is woken
 *   0x24  how often it was
 * BAR1, 8 KiB: in the first page a table of calibration, memory that guest and program share. In the second its name, while the
 * machine runs, which the guest can only read.
 */
#define _GNU_SOURCE 1 /* memfd_create */
#include <ComputeCore.h>
#include <HyperVDeviceVirtualization.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { VENDOR = 0x1234, DEVICE = 0x5E50, REVISION = 1, SUBSYSTEM = 1 };
enum { BASE_CLASS = 0x11, SUB_CLASS = 0x80 }; /* data acquisition, other */

/* What a base address register reads after all ones were written to it: its size, and bits of its type, none here. */
#define BAR0_PROBED 0xFFFFF000u
#define BAR1_PROBED 0xFFFFE000u

/* Registers in BAR0. */
enum {
    REGISTER_ID = 0x00,
    REGISTER_COUNT = 0x04,
    REGISTER_SAMPLE = 0x08,
    REGISTER_CONTROL = 0x0C,
    REGISTER_ADDRESS_LOW = 0x10,
    REGISTER_ADDRESS_HIGH = 0x14,
    REGISTER_STATUS = 0x18,
    REGISTER_DOORBELL = 0x20,
    REGISTER_WOKEN = 0x24,
};
#define ID 0x534E4553u
enum { CONTROL_ON = 1, CONTROL_STORE = 2 };
enum { STATUS_STORED = 1, STATUS_FAILED = 2 };
enum { STORED_SAMPLES = 64 };

/* Words of the configuration space. */
enum {
    CONFIG_ID = 0x00 / 4,
    CONFIG_COMMAND = 0x04 / 4,
    CONFIG_CLASS = 0x08 / 4,
    CONFIG_BAR0 = 0x10 / 4,
    CONFIG_BAR1 = 0x14 / 4,
    CONFIG_SUBSYSTEM = 0x2C / 4,
    CONFIG_CAPABILITIES = 0x34 / 4,
    CONFIG_INTERRUPT = 0x3C / 4,
    CONFIG_MSI = 0x40 / 4,
    CONFIG_MSI_ADDRESS_LOW = 0x44 / 4,
    CONFIG_MSI_ADDRESS_HIGH = 0x48 / 4,
    CONFIG_MSI_DATA = 0x4C / 4,
    CONFIG_WORDS = 256 / 4,
};
#define COMMAND_MEMORY 0x0002u
#define COMMAND_MASTER 0x0004u
#define STATUS_HAS_CAPABILITIES (0x0010u << 16)
#define MSI_ENABLED (0x0001u << 16)
#define MSI_64_BITS (0x0080u << 16)
#define MSI_CAPABILITY 0x05u

enum { PAGE = 4096 };

#define DOORBELL_FLAGS ((UINT64)HDV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD | (UINT64)HDV_DOORBELL_FLAG_TRIGGER_ANY_VALUE)

/* The device. Several callbacks can run at once, so what they share is under a lock. */
typedef struct Sensor {
    HDV_DEVICE device; /* written before the first callback comes, and never again */

    pthread_mutex_t lock;
    UINT32 config[CONFIG_WORDS];
    UINT32 count;
    UINT32 control;
    UINT32 status;
    UINT64 address;

    HANDLE doorbell; /* an event that is reset by the wait that it ends */
    atomic_uint woken;
    atomic_bool is_over;

    int calibration_fd; /* the first page of BAR1 */
    BYTE *calibration;
    int name_fd; /* the second page of BAR1 */
    atomic_bool is_shared; /* that page is memory for the guest too */
} Sensor;

/* The bits of the configuration space that the guest can change; all others are as the device has made them. */
static const UINT32 writable[CONFIG_WORDS] = {
    [CONFIG_COMMAND] = COMMAND_MEMORY | COMMAND_MASTER,
    [CONFIG_BAR0] = BAR0_PROBED,
    [CONFIG_BAR1] = BAR1_PROBED,
    [CONFIG_INTERRUPT] = 0xFF, /* for the guest's notes */
    [CONFIG_MSI] = MSI_ENABLED,
    [CONFIG_MSI_ADDRESS_LOW] = 0xFFFFFFFC,
    [CONFIG_MSI_ADDRESS_HIGH] = 0xFFFFFFFF,
    [CONFIG_MSI_DATA] = 0xFFFF,
};

static void reset(Sensor *sensor)
{
    pthread_mutex_lock(&sensor->lock);
    memset(sensor->config, 0, sizeof sensor->config);
    sensor->config[CONFIG_ID] = VENDOR | (UINT32)DEVICE << 16;
    sensor->config[CONFIG_COMMAND] = STATUS_HAS_CAPABILITIES;
    sensor->config[CONFIG_CLASS] = REVISION | SUB_CLASS << 16 | BASE_CLASS << 24;
    sensor->config[CONFIG_SUBSYSTEM] = VENDOR | SUBSYSTEM << 16;
    sensor->config[CONFIG_CAPABILITIES] = CONFIG_MSI * 4;
    sensor->config[CONFIG_MSI] = MSI_CAPABILITY | MSI_64_BITS;
    sensor->count = sensor->control = sensor->status = 0;
    sensor->address = 0;
    pthread_mutex_unlock(&sensor->lock);
    atomic_store(&sensor->woken, 0);
}

static void say(const char *event)
{
    printf("%s\n", event);
    fflush(stdout);
}

/* ---- The life of the device ---- */

/* Where this is refused the device does the work in its callbacks, more slowly. */
static void share_calibration(Sensor *sensor)
{
    HRESULT hr = HdvCreateSectionBackedMmioRange(sensor->device, HDV_PCI_BAR1, 0, 1, HdvMmioMappingFlagWriteable,
                                                 HcsHandleFromFd(sensor->calibration_fd), 0);
    sensor->is_shared = SUCCEEDED(hr);
    if (FAILED(hr)) printf("HdvCreateSectionBackedMmioRange 0x%08x\n", (unsigned)hr);
}

/* Switched on, or added. A failure here would fail the start of the machine, with the cause that the HRESULT names. */
static HRESULT CALLBACK initialize(void *context)
{
    say("Initialize");
    reset(context);
    /* Before the machine gets the device: what it finds then it gives to the guest as memory. */
    share_calibration(context);
    fflush(stdout);
    return S_OK;
}

static HRESULT CALLBACK set_configuration(void *context, UINT32 count, const PCWSTR *values)
{
    (void)context;
    printf("SetConfiguration %u", count);
    for (UINT32 i = 0; i < count; ++i) {
        putchar(' ');
        for (PCWSTR unit = values[i]; *unit; ++unit) putchar(*unit < 0x80 ? (int)*unit : '?');
    }
    say("");
    return S_OK;
}

/* The same as the configuration space says, and the same whenever it is asked. */
static HRESULT CALLBACK get_details(void *context, PHDV_PCI_PNP_ID ids, UINT32 count, UINT32 *probed)
{
    (void)context;
    say("GetDetails");
    if (count < 2) return E_INVALIDARG;
    *ids = (HDV_PCI_PNP_ID){
        .VendorID = VENDOR,
        .DeviceID = DEVICE,
        .RevisionID = REVISION,
        .SubClass = SUB_CLASS,
        .BaseClass = BASE_CLASS,
        .SubVendorID = VENDOR,
        .SubSystemID = SUBSYSTEM,
    };
    memset(probed, 0, count * sizeof *probed);
    probed[HDV_PCI_BAR0] = BAR0_PROBED;
    probed[HDV_PCI_BAR1] = BAR1_PROBED;
    return S_OK;
}

/*
 * The processors are about to run, for the first time or again after Stop. A device in a restricted host gets neither doorbells
 * nor sections.
 */
static HRESULT CALLBACK start(void *context)
{
    Sensor *sensor = context;
    say("Start");
    HRESULT hr = HdvRegisterDoorbell(sensor->device, HDV_PCI_BAR0, REGISTER_DOORBELL, 0, DOORBELL_FLAGS, sensor->doorbell);
    if (FAILED(hr)) printf("HdvRegisterDoorbell 0x%08x\n", (unsigned)hr);
    /* What comes this late the library reads for the guest. It goes again while the machine stands still. */
    hr = HdvCreateSectionBackedMmioRange(sensor->device, HDV_PCI_BAR1, 1, 1, HdvMmioMappingFlagNone,
                                         HcsHandleFromFd(sensor->name_fd), 0);
    if (FAILED(hr)) printf("HdvCreateSectionBackedMmioRange 0x%08x\n", (unsigned)hr);
    fflush(stdout);
    return S_OK;
}

/* The processors have stopped: at the end, or for a pause. */
static void CALLBACK stop(void *context)
{
    Sensor *sensor = context;
    say("Stop");
    HdvUnregisterDoorbell(sensor->device, HDV_PCI_BAR0, REGISTER_DOORBELL, 0, DOORBELL_FLAGS);
    HdvDestroySectionBackedMmioRange(sensor->device, HDV_PCI_BAR1, 1);
}

static void CALLBACK teardown(void *context)
{
    Sensor *sensor = context;
    atomic_store(&sensor->is_shared, false); /* it goes with this */
    say("Teardown");
}

/* ---- Configuration space ---- */

static HRESULT CALLBACK read_config(void *context, UINT32 offset, UINT32 *value)
{
    Sensor *sensor = context;
    *value = 0; /* what is not there */
    pthread_mutex_lock(&sensor->lock);
    if (offset / 4 < CONFIG_WORDS) *value = sensor->config[offset / 4];
    pthread_mutex_unlock(&sensor->lock);
    return S_OK;
}

static HRESULT CALLBACK write_config(void *context, UINT32 offset, UINT32 value)
{
    Sensor *sensor = context;
    UINT32 word = offset / 4;
    if (word >= CONFIG_WORDS) return S_OK;
    pthread_mutex_lock(&sensor->lock);
    sensor->config[word] = (sensor->config[word] & ~writable[word]) | (value & writable[word]);
    pthread_mutex_unlock(&sensor->lock);
    return S_OK;
}

/* ---- Registers ---- */

/* What the sensor measures. The lock is held. */
static UINT32 take_sample(Sensor *sensor)
{
    return 5 * sensor->count++ + 1;
}

/* Whether they lie in the guest's memory now: the first is looked at through a window, the last is read. */
static bool are_stored(Sensor *sensor, UINT64 address, const UINT32 *samples)
{
    UINT32 last = ~samples[STORED_SAMPLES - 1];
    HdvReadGuestMemory(sensor->device, address + (STORED_SAMPLES - 1) * sizeof last, sizeof last, (BYTE *)&last);
    void *window = NULL;
    if (FAILED(HdvCreateGuestMemoryAperture(sensor->device, address & ~(UINT64)(PAGE - 1), PAGE, TRUE, &window))) return false;
    /* The guest writes there when it likes. */
    UINT32 first = 0;
    if (address % PAGE <= PAGE - sizeof first) memcpy(&first, (BYTE *)window + address % PAGE, sizeof first);
    HdvDestroyGuestMemoryAperture(sensor->device, window);
    return first == samples[0] && last == samples[STORED_SAMPLES - 1];
}

/* Stores samples in the guest's memory, and interrupts the guest. No lock is held while the library is called. */
static void store_samples(Sensor *sensor)
{
    UINT32 samples[STORED_SAMPLES];
    pthread_mutex_lock(&sensor->lock);
    for (int i = 0; i < STORED_SAMPLES; ++i) samples[i] = take_sample(sensor);
    UINT64 address = sensor->address;
    /* The guest decides whether a device may use its memory. */
    bool is_master = (sensor->config[CONFIG_COMMAND] & COMMAND_MASTER) != 0;
    pthread_mutex_unlock(&sensor->lock);

    HRESULT hr = E_ACCESSDENIED;
    if (is_master) hr = HdvWriteGuestMemory(sensor->device, address, sizeof samples, (const BYTE *)samples);

    bool is_stored = SUCCEEDED(hr) && are_stored(sensor, address, samples);

    pthread_mutex_lock(&sensor->lock);
    sensor->status |= is_stored ? STATUS_STORED : STATUS_FAILED;
    bool interrupts = is_master && (sensor->config[CONFIG_MSI] & MSI_ENABLED);
    UINT64 msi_address = sensor->config[CONFIG_MSI_ADDRESS_LOW] | (UINT64)sensor->config[CONFIG_MSI_ADDRESS_HIGH] << 32;
    UINT32 msi_data = sensor->config[CONFIG_MSI_DATA];
    pthread_mutex_unlock(&sensor->lock);

    if (interrupts) {
        hr = HdvDeliverGuestInterrupt(sensor->device, msi_address, msi_data);
        if (FAILED(hr)) fprintf(stderr, "HdvDeliverGuestInterrupt: 0x%08x\n", (unsigned)hr);
    }
}

static UINT32 read_register(Sensor *sensor, UINT64 offset)
{
    UINT32 value = 0;
    pthread_mutex_lock(&sensor->lock);
    switch (offset) {
    case REGISTER_ID: value = ID; break;
    case REGISTER_COUNT: value = sensor->count; break;
    case REGISTER_SAMPLE: value = sensor->control & CONTROL_ON ? take_sample(sensor) : 0; break;
    case REGISTER_CONTROL: value = sensor->control; break;
    case REGISTER_ADDRESS_LOW: value = (UINT32)sensor->address; break;
    case REGISTER_ADDRESS_HIGH: value = (UINT32)(sensor->address >> 32); break;
    case REGISTER_STATUS: value = sensor->status; break;
    case REGISTER_WOKEN: value = atomic_load(&sensor->woken); break;
    default: break;
    }
    pthread_mutex_unlock(&sensor->lock);
    return value;
}

static void write_register(Sensor *sensor, UINT64 offset, UINT32 value)
{
    bool stores = false;
    pthread_mutex_lock(&sensor->lock);
    switch (offset) {
    case REGISTER_CONTROL:
        sensor->control = value & CONTROL_ON;
        stores = (value & CONTROL_ON) && (value & CONTROL_STORE);
        break;
    case REGISTER_ADDRESS_LOW: sensor->address = (sensor->address & 0xFFFFFFFF00000000u) | value; break;
    case REGISTER_ADDRESS_HIGH: sensor->address = (UINT32)sensor->address | (UINT64)value << 32; break;
    case REGISTER_STATUS: sensor->status &= ~value; break;
    /* Only where the doorbell was refused: else this write is not heard of here. */
    case REGISTER_DOORBELL: SetEvent(sensor->doorbell); break;
    default: break;
    }
    pthread_mutex_unlock(&sensor->lock);
    if (stores) store_samples(sensor);
}

/* The guest's byte order is ours: both are little endian. */
static HRESULT CALLBACK read_memory(void *context, HDV_PCI_BAR_SELECTOR bar, UINT64 offset, UINT64 length, BYTE *value)
{
    Sensor *sensor = context;
    memset(value, 0, length);
    if (bar == HDV_PCI_BAR1) {
        /* Only where the section was refused. */
        if (offset + length <= PAGE) memcpy(value, sensor->calibration + offset, length);
        return S_OK;
    }
    for (UINT64 done = 0; done < length;) {
        UINT64 inside = (offset + done) % 4;
        UINT64 part = 4 - inside < length - done ? 4 - inside : length - done;
        UINT32 word = read_register(sensor, offset + done - inside);
        memcpy(value + done, (const BYTE *)&word + inside, part);
        done += part;
    }
    return S_OK;
}

static HRESULT CALLBACK write_memory(void *context, HDV_PCI_BAR_SELECTOR bar, UINT64 offset, UINT64 length,
                                     const BYTE *value)
{
    Sensor *sensor = context;
    if (bar == HDV_PCI_BAR1) {
        if (offset + length <= PAGE) memcpy(sensor->calibration + offset, value, length);
        return S_OK;
    }
    /* Registers are written whole. */
    for (UINT64 done = 0; offset % 4 == 0 && done + 4 <= length; done += 4) {
        UINT32 word;
        memcpy(&word, value + done, sizeof word);
        write_register(sensor, offset + done, word);
    }
    return S_OK;
}

static const HDV_PCI_DEVICE_INTERFACE interface = {
    .Version = HdvPciDeviceInterfaceVersion1,
    .Initialize = initialize,
    .Teardown = teardown,
    .SetConfiguration = set_configuration,
    .GetDetails = get_details,
    .Start = start,
    .Stop = stop,
    .ReadConfigSpace = read_config,
    .WriteConfigSpace = write_config,
    .ReadInterceptedMemory = read_memory,
    .WriteInterceptedMemory = write_memory,
};

/* ---- The program around it ---- */

/* What the doorbell wakes. Rings that come close upon each other may wake it once. */
static void *wait_for_rings(void *context)
{
    Sensor *sensor = context;
    while (WaitForSingleObject(sensor->doorbell, INFINITE) == WAIT_OBJECT_0) {
        if (atomic_load(&sensor->is_over)) break;
        atomic_fetch_add(&sensor->woken, 1);
    }
    return NULL;
}

static void end_if(bool failed, const char *what)
{
    if (!failed) return;
    perror(what);
    exit(1);
}

static void end_if_failed(HRESULT hr, const char *what)
{
    if (SUCCEEDED(hr)) return;
    fprintf(stderr, "%s: 0x%08x\n", what, (unsigned)hr);
    exit(1);
}

static GUID parse_guid(const char *text)
{
    GUID guid = {0};
    unsigned first, parts[10];
    int end = 0;
    int count = sscanf(text, "%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x%n", &first, &parts[0], &parts[1], &parts[2], &parts[3],
                       &parts[4], &parts[5], &parts[6], &parts[7], &parts[8], &parts[9], &end);
    if (count != 11 || text[end]) {
        fprintf(stderr, "%s: no GUID\n", text);
        exit(2);
    }
    guid.Data1 = first;
    guid.Data2 = (UINT16)parts[0];
    guid.Data3 = (UINT16)parts[1];
    for (int i = 0; i < 8; ++i) guid.Data4[i] = (UINT8)parts[2 + i];
    return guid;
}

static HCS_SYSTEM open_system(const char *id)
{
    WCHAR wide[256];
    size_t length = strlen(id);
    HCS_SYSTEM system = NULL;
    if (length >= sizeof wide / sizeof *wide) end_if_failed(E_INVALIDARG, id);
    for (size_t i = 0; i <= length; ++i) wide[i] = (WCHAR)(unsigned char)id[i]; /* ids are ASCII here */
    end_if_failed(HcsOpenComputeSystem(wide, GENERIC_ALL, &system), "HcsOpenComputeSystem");
    return system;
}

int main(int count, char **arguments)
{
    static Sensor sensor = {.lock = PTHREAD_MUTEX_INITIALIZER};
    bool is_proxy = count == 6 && strcmp(arguments[1], "--proxy") == 0;
    if (!is_proxy && count != 4) {
        fprintf(stderr, "usage: sensor_device [--proxy FD RUNTIME-ID | SYSTEM] CLASS INSTANCE\n");
        return 2;
    }
    GUID class = parse_guid(arguments[count - 2]), instance = parse_guid(arguments[count - 1]);

    /* What the callbacks use is there before the device is. */
    sensor.doorbell = CreateEvent(NULL, FALSE, FALSE, NULL);
    end_if(!sensor.doorbell, "CreateEvent");
    sensor.calibration_fd = memfd_create("calibration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    end_if(sensor.calibration_fd < 0 || ftruncate(sensor.calibration_fd, PAGE) != 0, "memfd_create");
    sensor.calibration = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sensor.calibration_fd, 0);
    end_if(sensor.calibration == MAP_FAILED, "mmap");
    memcpy(sensor.calibration, "calibration", sizeof "calibration");
    sensor.name_fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    end_if(sensor.name_fd < 0 || ftruncate(sensor.name_fd, PAGE) != 0 || write(sensor.name_fd, "sensor", 6) != 6, "memfd_create");
    reset(&sensor);
    pthread_t thread;
    end_if(pthread_create(&thread, NULL, wait_for_rings, &sensor) != 0, "pthread_create");

    HCS_SYSTEM system = NULL;
    HDV_HOST host = NULL;
    if (is_proxy) {
        GUID machine = parse_guid(arguments[3]);
        int fd = atoi(arguments[2]);
        end_if_failed(HdvInitializeDeviceHostForProxy(&machine, (PVOID)(intptr_t)fd, &host),
                      "HdvInitializeDeviceHostForProxy");
        close(fd);
    } else {
        system = open_system(arguments[1]);
        end_if_failed(HdvInitializeDeviceHost(system, &host), "HdvInitializeDeviceHost");
    }
    end_if_failed(HdvCreateDeviceInstance(host, HdvDeviceTypePCI, &class, &instance, &interface, &sensor, &sensor.device),
                  "HdvCreateDeviceInstance");
    say("ready");

    while (getchar() != EOF) continue;

    /* From here on no callback comes. What they used is released afterwards. */
    end_if_failed(HdvTeardownDeviceHost(host), "HdvTeardownDeviceHost");
    HcsCloseComputeSystem(system);
    atomic_store(&sensor.is_over, true);
    SetEvent(sensor.doorbell);
    pthread_join(thread, NULL);
    CloseHandle(sensor.doorbell);
    munmap(sensor.calibration, PAGE);
    close(sensor.calibration_fd);
    close(sensor.name_fd);
    return 0;
}
