/* The floor: the system calls of a container's life, and of a process in one, with nothing around them. No service, no
 * documents, no records, no error texts; a failed step ends the program. What a runtime takes beyond this is its own.
 *
 *     floor cycle|exec ROOT GROUP FILTER HIERARCHY...
 *
 * ROOT is the root file system, GROUP the name of the container's cgroup below each of the HIERARCHY folders (cgroup
 * v1), FILTER a file with the instructions of the system call filter. Each line on the standard input is answered by
 * one with the nanoseconds that the action took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(step) do { if ((step) < 0) { fprintf(stderr, "floor: %s: %s\n", #step, strerror(errno)); _exit(1); } } while (0)
#define MOST 16
#define INSIDE "/bin/nothing"

static const char *root_fs;
static char groups[MOST][512];
static int count, tasks[MOST];
static struct sock_fprog filter;

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd);
    CHECK(write(fd, text, strlen(text)));
    close(fd);
}

static int has(const char *folder, const char *part)
{
    return strstr(folder, part) != NULL;
}

static void make_group(void)
{
    static const char *const devices[] = {
        "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm",
    };
    for (int i = 0; i < count; i++) {
        CHECK(mkdir(groups[i], 0755));
        if (has(groups[i], "/pids/"))
            write_file(groups[i], "pids.max", "32768");
        if (has(groups[i], "/devices/")) {
            write_file(groups[i], "devices.deny", "a");
            for (size_t d = 0; d < sizeof devices / sizeof *devices; d++)
                write_file(groups[i], "devices.allow", devices[d]);
        }
    }
}

static void open_group(void)
{
    char path[600];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/tasks", groups[i]);
        CHECK(tasks[i] = open(path, O_WRONLY | O_CLOEXEC));
    }
}

static void close_group(void)
{
    for (int i = 0; i < count; i++)
        close(tasks[i]);
}

static void remove_group(void)
{
    for (int i = 0; i < count; i++)
        while (rmdir(groups[i]) < 0)
            if (errno != EBUSY)
                CHECK(-1);
}

static pid_t new_process(uint64_t namespaces, int *pidfd)
{
    struct clone_args args = {
        .flags = namespaces | CLONE_PIDFD | CLONE_CLEAR_SIGHAND, .pidfd = (uint64_t)pidfd, .exit_signal = SIGCHLD,
    };
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    CHECK(pid);
    return pid;
}

static void reap(int pidfd)
{
    siginfo_t info;
    CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED));
    if (info.si_code != CLD_EXITED || info.si_status != 0) {
        fprintf(stderr, "floor: the process ended with %d\n", info.si_status);
        _exit(1);
    }
}

/* A new file system at a folder. */
static int attach(const char *kind, const char *const *options, unsigned attributes, const char *folder)
{
    int context = syscall(SYS_fsopen, kind, FSOPEN_CLOEXEC);
    CHECK(context);
    for (; options && *options; options += 2)
        CHECK(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[0], options[1], 0));
    CHECK(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int made = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
    CHECK(made);
    close(context);
    CHECK(syscall(SYS_move_mount, made, "", AT_FDCWD, folder, MOVE_MOUNT_F_EMPTY_PATH));
    return made;
}

static void mask(const char *path)
{
    static const char *const empty[] = { "size", "0", "nr_inodes", "2", NULL };
    struct stat is;
    if (stat(path, &is) < 0)
        return;
    if (S_ISDIR(is.st_mode))
        close(attach("tmpfs", empty, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, path));
    else
        CHECK(mount("/dev/null", path, NULL, MS_BIND, NULL));
}

static void make_read_only(const char *path)
{
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
    if (access(path, F_OK) < 0)
        return;
    int copy = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    CHECK(copy);
    CHECK(syscall(SYS_mount_setattr, copy, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes));
    CHECK(syscall(SYS_move_mount, copy, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    close(copy);
}

static void make_mounts(int root)
{
    static const char *const dev[] = { "mode", "755", "size", "65536k", NULL };
    static const char *const pts[] = { "ptmxmode", "0666", "mode", "0620", "gid", "5", NULL };
    static const char *const shm[] = { "mode", "1777", "size", "65536k", NULL };
    static const struct { const char *name; int major, minor; } nodes[] = {
        { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
    };
    static const char *const links[][2] = {
        { "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
        { "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },
    };
    static const char *const masked[] = {
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
        "/sys/firmware",
    };
    static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
    const unsigned harmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

    CHECK(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    CHECK(syscall(SYS_move_mount, root, "", AT_FDCWD, root_fs, MOVE_MOUNT_F_EMPTY_PATH));
    CHECK(fchdir(root));
    CHECK(syscall(SYS_pivot_root, ".", "."));
    CHECK(umount2(".", MNT_DETACH));
    CHECK(chdir("/"));
    close(attach("proc", NULL, harmless, "/proc"));
    close(attach("sysfs", NULL, harmless | MOUNT_ATTR_RDONLY, "/sys"));
    int folder = attach("tmpfs", dev, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "/dev");
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        CHECK(mknodat(folder, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        CHECK(symlinkat(links[i][1], folder, links[i][0]));
    CHECK(mkdirat(folder, "pts", 0755));
    CHECK(mkdirat(folder, "shm", 0755));
    CHECK(mkdirat(folder, "mqueue", 0755));
    close(folder);
    close(attach("devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "/dev/pts"));
    close(attach("tmpfs", shm, harmless, "/dev/shm"));
    close(attach("mqueue", NULL, harmless, "/dev/mqueue"));
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
        mask(masked[i]);
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++)
        make_read_only(read_only[i]);
}

static void loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd);
    CHECK(ioctl(fd, SIOCGIFFLAGS, &request));
    request.ifr_flags |= IFF_UP;
    CHECK(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
}

static void join_group(void)
{
    for (int i = 0; i < count; i++)
        CHECK(write(tasks[i], "0", 1));
}

static void give_up_rights(void)
{
    struct { uint32_t version; int pid; } header = { 0x20080522, 0 };
    const uint64_t keep = 0xa80425fb & ~(1u << 27); /* Docker's without MKNOD */
    struct { uint32_t effective, permitted, inheritable; } sets[2] = { { keep, keep, 0 }, { 0, 0, 0 } };
    for (int capability = 0; capability <= 40; capability++)
        if (!(keep >> capability & 1))
            CHECK(prctl(PR_CAPBSET_DROP, capability));
    CHECK(setgroups(0, NULL));
    CHECK(syscall(SYS_capset, &header, sets));
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

static void become(char *argument)
{
    char *const arguments[] = { INSIDE, argument, NULL }, *const environment[] = { "PATH=/bin", NULL };
    execve(INSIDE, arguments, environment);
    CHECK(-1);
}

#define CONTAINER (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)

/* A container whose first process is the program. */
static pid_t start(int *pidfd, char *argument)
{
    make_group();
    int root = syscall(SYS_open_tree, AT_FDCWD, root_fs, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    CHECK(root);
    open_group();
    pid_t pid = new_process(CONTAINER, pidfd);
    if (pid == 0) {
        join_group();
        CHECK(unshare(CLONE_NEWCGROUP));
        CHECK(setsid());
        make_mounts(root);
        CHECK(sethostname("bench", 5));
        loopback_up();
        give_up_rights();
        become(argument);
    }
    close(root);
    close_group();
    return pid;
}

static void cycle(void)
{
    int pidfd;
    start(&pidfd, NULL);
    reap(pidfd);
    close(pidfd);
    remove_group();
}

static int container;

static void process(void)
{
    int pidfd;
    open_group();
    if (new_process(0, &pidfd) == 0) {
        join_group();
        CHECK(setns(container, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP));
        CHECK(setsid());
        umask(022);
        CHECK(chdir("/"));
        give_up_rights();
        become(NULL);
    }
    close_group();
    reap(pidfd);
    close(pidfd);
}

int main(int argc, char **argv)
{
    static struct sock_filter instructions[4096];
    char line[16];
    if (argc < 6 || argc - 5 > MOST)
        return 2;
    root_fs = argv[2];
    for (count = 0; count < argc - 5; count++)
        snprintf(groups[count], sizeof *groups, "%s/%s", argv[5 + count], argv[3]);
    int file = open(argv[4], O_RDONLY | O_CLOEXEC);
    CHECK(file);
    ssize_t size = read(file, instructions, sizeof instructions);
    CHECK(size);
    filter = (struct sock_fprog){ .len = size / sizeof *instructions, .filter = instructions };
    umask(0);
    int within = strcmp(argv[1], "exec") == 0;
    pid_t first = 0;
    if (within) {
        first = start(&container, "wait");
        /* Processes are born in its pid namespace from here on. */
        CHECK(setns(container, CLONE_NEWPID));
    }
    while (fgets(line, sizeof line, stdin)) {
        struct timespec began, ended;
        clock_gettime(CLOCK_MONOTONIC, &began);
        within ? process() : cycle();
        clock_gettime(CLOCK_MONOTONIC, &ended);
        printf("%lld\n", (ended.tv_sec - began.tv_sec) * 1000000000LL + (ended.tv_nsec - began.tv_nsec));
        fflush(stdout);
    }
    if (first) {
        CHECK(kill(first, SIGKILL));
        waitpid(first, NULL, 0);
        remove_group();
    }
    return 0;
}
