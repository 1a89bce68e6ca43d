/*
 * Reads the sensor of sensor_device.c from within the guest, without a driver: its registers by a mapping of what sysfs shows of
 * them. Built statically, because guests of tests have no libraries.
 *
 *   sensor_reader wait            until the device is there and a driver could use it
 *   sensor_reader samples COUNT   switches it on and prints so many samples
 *   sensor_reader store           has it store samples in memory and prints their sum
 *   sensor_reader ring COUNT      rings its doorbell and prints how often the program has woken, once it has
 *   sensor_reader name            prints what the second page of the table says
 *   sensor_reader table           adds one to each number of the shared table and prints their sum
 *   sensor_reader latency COUNT   prints how long reads of a register take, in nanoseconds: the middle one, and that at 99 of 100
 *   sensor_reader posted COUNT    the same for one write, of so many in a row, and the read behind them
 *   sensor_reader answer COUNT    the same from the ring of a doorbell to the moment in which its count is in the table
 *   sensor_reader page SECONDS    prints where a page of it lies that is full of `page`, and then its first number, when it changes
 *   sensor_reader id              prints its id register
 *   sensor_reader watch           says `watching`, and then what its id register becomes when it changes, or `gone`
 *   sensor_reader absent          until there is no such device
 *   sensor_reader random SECONDS  writes nonsense everywhere in its registers and its configuration space
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { VENDOR = 0x1234, DEVICE = 0x5E50, PAGE = 4096, TABLE = 2 * PAGE };
/* Another one if the variable SENSOR says so. */
static long device = DEVICE;

static char folder[300];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static long number_in(const char *file) {
    char path[400], text[32] = "";
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0) {
        return -1;
    }
    close(fd);
    return strtol(text, NULL, 0);
}

/* Finds the device; its folder in sysfs. */
static int find(void) {
    DIR *all = opendir("/sys/bus/pci/devices");
    struct dirent *one;
    while (all && (one = readdir(all))) {
        snprintf(folder, sizeof folder, "/sys/bus/pci/devices/%s", one->d_name);
        if (number_in("vendor") == VENDOR && number_in("device") == device) {
            closedir(all);
            return 1;
        }
    }
    if (all) {
        closedir(all);
    }
    return 0;
}

static int has(const char *file) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

static int open_in(const char *file, int flags) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int fd = open(path, flags);
    if (fd < 0) {
        fail(path);
    }
    return fd;
}

/* Lets it answer at its addresses, and access memory itself. */
static void enable(void) {
    int fd = open_in("config", O_RDWR);
    uint16_t command = 0;
    if (pread(fd, &command, 2, 4) != 2) {
        fail("reading its command register");
    }
    command |= 0x2 | 0x4;
    if (pwrite(fd, &command, 2, 4) != 2) {
        fail("writing its command register");
    }
    close(fd);
}

static volatile uint32_t *registers(const char *resource, size_t length) {
    int fd = open_in(resource, O_RDWR | O_SYNC);
    void *mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        fail("mapping its registers");
    }
    close(fd);
    return mapped;
}

/* Where a page of this process lies for a device. */
static uint64_t physical(const void *page) {
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)page / PAGE * 8) != 8 || !(entry >> 63)) {
        fail("finding a page");
    }
    close(fd);
    return (entry & ((1ull << 55) - 1)) * PAGE;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int by_size(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 0;
    if (getenv("SENSOR")) {
        device = strtol(getenv("SENSOR"), NULL, 0);
    }
    if (!strcmp(what, "absent")) {
        for (int tries = 0; tries < 3000; tries++) {
            if (!find()) {
                return 0;
            }
            usleep(10000);
        }
        fprintf(stderr, "the device does not go\n");
        return 1;
    }
    if (!strcmp(what, "wait")) {
        for (int tries = 0; tries < 3000; tries++) {
            /* The kernel makes the files of its addresses behind all others. */
            if (find() && has("resource0") && has("resource1")) {
                return 0;
            }
            usleep(10000);
        }
        fprintf(stderr, "the device does not come\n");
        return 1;
    }
    if (!find()) {
        fprintf(stderr, "there is no such device\n");
        return 1;
    }
    enable();
    volatile uint32_t *r = registers("resource0", PAGE);
    if (!strcmp(what, "id")) {
        printf("%08x\n", r[0]);
    } else if (!strcmp(what, "watch")) {
        uint32_t id = r[0], value;
        printf("watching\n");
        fflush(stdout);
        while ((value = r[0]) == id) {
        }
        /* Where no device is, nothing is read; its folder goes before it does. */
        if (value == 0 && !find()) {
            printf("gone\n");
        } else {
            printf("%08x\n", value);
        }
    } else if (!strcmp(what, "samples")) {
        r[3] = 1;
        for (long i = 0; i < count; i++) {
            printf("%u\n", r[2]);
        }
    } else if (!strcmp(what, "store")) {
        uint32_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
        memset(page, 0xFF, PAGE);
        uint64_t address = physical(page), sum = 0;
        r[6] = 3;
        r[4] = (uint32_t)address;
        r[5] = (uint32_t)(address >> 32);
        r[3] = 3;
        uint32_t status;
        while (!(status = r[6])) {
        }
        for (int i = 0; i < 64; i++) {
            sum += ((volatile uint32_t *)page)[i];
        }
        printf("%u %llu %08x\n", status, (unsigned long long)sum, page[64]);
    } else if (!strcmp(what, "ring")) {
        uint32_t before = r[9];
        for (long i = 0; i < count; i++) {
            r[8] = (uint32_t)i;
        }
        /* Signals of an event may merge. */
        uint32_t woken;
        for (int tries = 0; (woken = r[9] - before) == 0 && tries < 30000; tries++) {
            usleep(1000);
        }
        printf("%u\n", woken);
    } else if (!strcmp(what, "name")) {
        volatile uint32_t *table = registers("resource1", TABLE);
        uint32_t name[2] = {table[PAGE / 4], table[PAGE / 4 + 1]};
        table[PAGE / 4] = 0;
        printf("%.8s %d\n", (const char *)name, table[PAGE / 4] == name[0]);
    } else if (!strcmp(what, "table")) {
        volatile uint32_t *table = registers("resource1", TABLE);
        uint64_t sum = 0;
        for (int i = 0; i < PAGE / 4; i++) {
            table[i] += 1;
            sum += table[i];
        }
        printf("%llu\n", (unsigned long long)sum);
    } else if (!strcmp(what, "latency") && count > 0) {
        uint64_t *times = calloc((size_t)count, sizeof *times);
        for (long i = 0; i < count; i++) {
            uint64_t begin = now();
            (void)r[0];
            times[i] = now() - begin;
        }
        qsort(times, (size_t)count, sizeof *times, by_size);
        printf("%llu %llu\n", (unsigned long long)times[count / 2], (unsigned long long)times[count * 99 / 100]);
    } else if (!strcmp(what, "answer") && count > 0) {
        volatile uint32_t *table = registers("resource1", TABLE);
        uint64_t *times = calloc((size_t)count, sizeof *times);
        for (long i = 0; i < count; i++) {
            uint32_t before = table[0];
            uint64_t begin = now();
            r[8] = (uint32_t)i;
            while (table[0] == before) {
            }
            times[i] = now() - begin;
        }
        qsort(times, (size_t)count, sizeof *times, by_size);
        printf("%llu %llu\n", (unsigned long long)times[count / 2], (unsigned long long)times[count * 99 / 100]);
    } else if (!strcmp(what, "page")) {
        uint32_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
        for (int i = 0; i < PAGE / 4; i++) {
            memcpy(page + i, "page", 4);
        }
        uint32_t before = page[0];
        uint64_t until = now() + (uint64_t)count * 1000000000u;
        printf("%llu\n", (unsigned long long)physical(page));
        fflush(stdout);
        while (((volatile uint32_t *)page)[0] == before && now() < until) {
            usleep(1000);
        }
        printf("%08x\n", page[0]);
    } else if (!strcmp(what, "posted") && count > 0) {
        uint64_t begin = now();
        for (long i = 0; i < count; i++) {
            r[4] = (uint32_t)i;
        }
        uint64_t written = now();
        uint32_t last = r[4];
        printf("%llu %llu %u\n", (unsigned long long)(written - begin) / (uint64_t)count,
               (unsigned long long)(now() - written), last);
    } else if (!strcmp(what, "random")) {
        int config = open_in("config", O_RDWR);
        /* Samples are stored where no memory is: else the guest would end itself, which is its own affair. */
        const uint32_t beyond = 0x10000;
        r[5] = beyond;
        uint64_t state = 88172645463325252u, until = now() + (uint64_t)count * 1000000000u, done = 0;
        while (now() < until) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            uint32_t value = (uint32_t)state;
            uint32_t at = (uint32_t)(state >> 32) % (PAGE / 4);
            switch (value % 8) {
            case 0:
                /* Everything but where its addresses are, which would take the registers away from this program. */
                if (at % 64 < 4 || at % 64 > 9) {
                    (void)!pwrite(config, &value, 1u << (value >> 8) % 3, at % 64 * 4);
                }
                break;
            case 1:
                (void)!pread(config, &value, 4, at * 4);
                break;
            case 2:
                (void)r[at];
                break;
            case 3:
                ((volatile uint8_t *)r)[at] = (uint8_t)value;
                break;
            default:
                r[at] = at == 5 ? value | beyond : value;
            }
            if (done++ % 64 == 0) {
                enable();
            }
        }
        close(config);
        printf("%llu\n", (unsigned long long)done);
    } else {
        fprintf(stderr, "what?\n");
        return 2;
    }
    return 0;
}
