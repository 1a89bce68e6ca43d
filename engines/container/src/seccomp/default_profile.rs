//! The filter of every container, equal in effect to the default profile of Docker (moby/profiles, 2026).
//!
//! Everything that is not listed fails with EPERM, what is newer than the list with ENOSYS. Some calls come with
//! the capability without which the kernel refuses them anyway; the set that counts is that of the container, so
//! all its processes have the same filter.

use rustix::thread::CapabilitySet;

use super::{
    Architecture,
    profile::{Action, Comparison, Condition, Profile, Rule},
};

/// Allowed to everybody. Names that only one architecture has are among them.
const ALLOWED: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
    fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list
    getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr
    getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
    linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
    lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod
    mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv
    msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat
    openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
    ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity
    sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send
    sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32
    setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt
    set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget
    shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat
    stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee
    tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
    times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
    process_vm_readv process_vm_writev ptrace";

/// Allowed to everybody on x86.
const ALLOWED_ON_X86: &str = "arch_prctl modify_ldt";

/// Allowed to everybody on ARM.
const ALLOWED_ON_ARM: &str =
    "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

/// Allowed to whoever has the capability.
const BY_CAPABILITY: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::DAC_READ_SEARCH, "open_by_handle_at"),
    (
        CapabilitySet::SYS_ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (CapabilitySet::SYS_BOOT, "reboot"),
    (CapabilitySet::SYS_CHROOT, "chroot"),
    (CapabilitySet::SYS_MODULE, "delete_module init_module finit_module"),
    (CapabilitySet::SYS_PACCT, "acct"),
    (CapabilitySet::SYS_PTRACE, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (CapabilitySet::SYS_RAWIO, "iopl ioperm"),
    (CapabilitySet::SYS_TIME, "settimeofday stime clock_settime clock_settime64"),
    (CapabilitySet::SYS_TTY_CONFIG, "vhangup"),
    (CapabilitySet::SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (CapabilitySet::SYSLOG, "syslog"),
    (CapabilitySet::BPF, "bpf"),
    (CapabilitySet::PERFMON, "perf_event_open"),
];

/// New namespaces, which `clone` makes for whoever has SYS_ADMIN, or a user namespace. CLONE_NEWTIME is not
/// among them: `clone` has no such flag, its bit belongs to the exit signal.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;

/// Linux, 32-bit Linux, both with the layout of old programs, and asking which it is.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// Families of sockets. Not among them: those that kernels no longer have, AF_ALG (the kernel's cryptography,
/// which no ordinary program needs) and AF_VSOCK (it reaches past the network namespace).
const SOCKET_FAMILIES: &[u64] = &[
    1,  // AF_UNIX
    2,  // AF_INET
    3,  // AF_AX25
    4,  // AF_IPX
    5,  // AF_APPLETALK
    6,  // AF_NETROM
    7,  // AF_BRIDGE
    8,  // AF_ATMPVC
    9,  // AF_X25
    10, // AF_INET6
    11, // AF_ROSE
    13, // AF_NETBEUI
    14, // AF_SECURITY
    15, // AF_KEY
    16, // AF_NETLINK
    17, // AF_PACKET
    18, // AF_ASH
    21, // AF_RDS
    22, // AF_SNA
    24, // AF_PPPOX
    26, // AF_LLC
    27, // AF_IB
    28, // AF_MPLS
    29, // AF_CAN
    30, // AF_TIPC
    31, // AF_BLUETOOTH
    32, // AF_IUCV
    33, // AF_RXRPC
    35, // AF_PHONET
    36, // AF_IEEE802154
    39, // AF_NFC
    41, // AF_KCM
    42, // AF_QIPCRTR
    43, // AF_SMC
    44, // AF_XDP
    45, // AF_MCTP
];

/// The filter of a container whose processes can have these capabilities.
pub fn default_profile(capabilities: CapabilitySet) -> Profile<'static> {
    let allow = |names: &'static str, conditions: Vec<Condition>| Rule {
        calls: names.split_whitespace().collect(),
        action: Action::Allow,
        conditions,
    };
    let first = |comparison| vec![Condition { argument: 0, comparison }];
    let of_processor =
        if Architecture::NATIVE == Architecture::Aarch64 { ALLOWED_ON_ARM } else { ALLOWED_ON_X86 };
    let mut rules = vec![allow(ALLOWED, Vec::new()), allow(of_processor, Vec::new())];
    rules.extend(SOCKET_FAMILIES.iter().map(|family| allow("socket", first(Comparison::Equal(*family)))));
    rules.extend(PERSONALITIES.iter().map(|one| allow("personality", first(Comparison::Equal(*one)))));
    for (capability, names) in BY_CAPABILITY {
        if capabilities.contains(*capability) {
            rules.push(allow(names, Vec::new()));
        }
    }
    if !capabilities.contains(CapabilitySet::SYS_ADMIN) {
        rules.push(allow("clone", first(Comparison::MaskedEqual { mask: NAMESPACES, value: 0 })));
        // Its flags are in memory, where a filter cannot look. ENOSYS makes C libraries use `clone`.
        rules.push(Rule {
            calls: vec!["clone3"],
            action: Action::Errno(libc::ENOSYS as u16),
            conditions: Vec::new(),
        });
    }
    Profile {
        default: Action::Errno(libc::EPERM as u16),
        architectures: Architecture::NATIVE.family().to_vec(),
        rules,
        // Speculation is not held back on behalf of the filter, as in other engines.
        flags: libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
    }
}
