/* Makes system calls that a container may not make, and some of each kind that it may, and says how each ended. Runs inside
   a container. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void report(const char *name, long result)
{
    int number = errno;
    printf("%s %s\n", name, result >= 0 ? "done" : strerrorname_np(number));
}

/* What no container can do without a capability that it does not have, and what no program there needs. The filter answers
   before the kernel looks at the arguments. */
static void refused(void)
{
    static const struct {
        const char *name;
        long number;
    } calls[] = {
        {"add_key", SYS_add_key}, {"request_key", SYS_request_key}, {"init_module", SYS_init_module},
        {"finit_module", SYS_finit_module}, {"delete_module", SYS_delete_module}, {"kexec_load", SYS_kexec_load},
        {"reboot", SYS_reboot}, {"swapon", SYS_swapon}, {"swapoff", SYS_swapoff}, {"acct", SYS_acct},
        {"syslog", SYS_syslog}, {"pivot_root", SYS_pivot_root}, {"setns", SYS_setns}, {"open_tree", SYS_open_tree},
        {"move_mount", SYS_move_mount}, {"mount_setattr", SYS_mount_setattr}, {"fsopen", SYS_fsopen},
        {"fsconfig", SYS_fsconfig}, {"fsmount", SYS_fsmount}, {"fspick", SYS_fspick}, {"quotactl", SYS_quotactl},
        {"settimeofday", SYS_settimeofday}, {"clock_settime", SYS_clock_settime}, {"setdomainname", SYS_setdomainname},
        {"vhangup", SYS_vhangup}, {"userfaultfd", SYS_userfaultfd}, {"perf_event_open", SYS_perf_event_open},
        {"io_uring_setup", SYS_io_uring_setup}, {"fanotify_init", SYS_fanotify_init}, {"kcmp", SYS_kcmp},
        {"pidfd_getfd", SYS_pidfd_getfd}, {"process_madvise", SYS_process_madvise},
        {"move_pages", SYS_move_pages}, {"migrate_pages", SYS_migrate_pages}, {"mbind", SYS_mbind},
#ifdef __x86_64__
        {"iopl", SYS_iopl}, {"ioperm", SYS_ioperm},
#endif
    };
    for (size_t at = 0; at < sizeof calls / sizeof *calls; at++) {
        report(calls[at].name, syscall(calls[at].number, 0, 0, 0, 0, 0, 0));
    }
    report("alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
    report("personality", personality(ADDR_NO_RANDOMIZE));
}

/* One or two of each kind that ordinary programs live by. */
static void allowed(void)
{
    int word = 0, status;
    char byte;
    sigset_t none;
    struct iovec own = {&byte, 1}, others = {&word, 1};
    report("inet", socket(AF_INET, SOCK_STREAM, 0));
    report("inet6", socket(AF_INET6, SOCK_DGRAM, 0));
    report("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    report("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    report("getpid", getpid());
    report("fork", fork() == 0 ? (_exit(0), 0) : wait(&status));
    report("futex", syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0));
    report("epoll", epoll_create1(0));
    report("eventfd", eventfd(0, 0));
    report("timerfd", timerfd_create(CLOCK_MONOTONIC, 0));
    report("signalfd", sigemptyset(&none) == 0 ? signalfd(-1, &none, 0) : -1);
    report("inotify", inotify_init1(0));
    report("memfd", memfd_create("memory", 0));
    report("random", getrandom(&byte, 1, 0));
    report("mmap", mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    report("own memory", process_vm_readv(getpid(), &own, 1, &others, 1, 0));
    report("which personality", personality(0xffffffff));
}

int main(int count, char **arguments)
{
    (void)arguments;
    if (count > 1) {
        refused();
        allowed();
        return 0;
    }
    char file[] = "/proc/1/mem";
    report("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    report("unshare", unshare(CLONE_NEWUSER));
    report("clone3", syscall(SYS_clone3, NULL, 0));
    report("clone", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
    report("mount", mount("none", "/mnt", "tmpfs", 0, NULL));
    report("umount", umount2("/proc", MNT_DETACH));
    report("bpf", syscall(SYS_bpf, 0, NULL, 0));
    report("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    report("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
    report("sethostname", sethostname("x", 1));
    report("mknod", mknod("/tmp/disk", S_IFBLK | 0600, makedev(8, 0)));
    report("trace init", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    report("memory of init", open(file, O_RDWR));
    return 0;
}
