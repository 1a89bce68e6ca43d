//! The system calls that rustix does not have, each wrapped so that the rest of the crate stays safe.
#![expect(unsafe_code, reason = "raw system calls; each block says which preconditions it meets")]

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::Errno;

/// Which side of a clone this is.
pub enum Clone {
    /// This is the child.
    Child,
    /// This is the parent.
    Parent {
        /// A descriptor for the child that no stranger can take over.
        pidfd: OwnedFd,
    },
}

/// What clone3 takes, as the kernel lays it out.
#[repr(C, align(8))]
#[derive(Default)]
pub struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl CloneArgs {
    /// For a child whose end is told by SIGCHLD, born in this cgroup.
    pub fn new(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> CloneArgs {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        let (into, folder) = cgroup.map_or((0, 0), |folder| (CLONE_INTO_CGROUP, folder.as_raw_fd() as u64));
        CloneArgs {
            flags: flags | into,
            exit_signal: libc::SIGCHLD as u64,
            cgroup: folder,
            ..CloneArgs::default()
        }
    }

    /// Has the kernel store a descriptor for the child.
    pub fn give_pidfd(&mut self, place: *mut RawFd) {
        self.flags |= libc::CLONE_PIDFD as u64;
        self.pidfd = place as u64;
    }

    /// Has the child run on this stack.
    pub fn run_on(&mut self, stack: *mut u8, size: usize) {
        self.stack = stack as u64;
        self.stack_size = size as u64;
    }
}

/// Namespaces that every container has for itself, as flags of clone3.
pub const CONTAINER_NAMESPACES: u64 =
    (libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC) as u64;

/// Forks, with namespaces, a pidfd, and birth in a cgroup.
///
/// The calling process must have one thread: the child is a copy of the caller alone, so a lock that another
/// thread holds would never be released. The worker guarantees it (it never starts a thread).
pub fn clone_process(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Clone, Errno> {
    clone3(CloneArgs::new(namespaces, cgroup))
}

/// As [`clone_process`], but the new process is a child of this one's parent.
pub fn clone_sibling() -> Result<Clone, Errno> {
    // The signal at its end is that of the caller.
    clone3(CloneArgs { flags: libc::CLONE_PARENT as u64, ..CloneArgs::default() })
}

fn clone3(mut arguments: CloneArgs) -> Result<Clone, Errno> {
    let mut pidfd: RawFd = -1;
    arguments.give_pidfd(&raw mut pidfd);
    // SAFETY: `arguments` has the kernel's layout and its true size is passed. No stack is given and CLONE_VM
    // is not among the flags, so the child runs on a copy of this stack, as after fork. `pidfd` outlives the
    // call. The caller has one thread (see [`clone_process`]).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArgs>()) };
    match pid {
        0 => Ok(Clone::Child),
        // SAFETY: the kernel stored a new descriptor of ours into `pidfd` because CLONE_PIDFD was set and the
        // call succeeded; nobody else knows its number.
        1.. => Ok(Clone::Parent { pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(last_error()),
    }
}

/// Enters namespaces of the process behind a pidfd.
pub fn enter_namespaces(pidfd: BorrowedFd<'_>, namespaces: i32) -> Result<(), Errno> {
    // SAFETY: setns takes two integers and touches no memory of ours; the descriptor is borrowed, so open.
    check(unsafe { libc::setns(pidfd.as_raw_fd(), namespaces) })
}

/// The number of the process behind a pidfd; `None` when it is gone. That it cannot be looked at is an error, and no death.
pub fn process_behind(pidfd: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let number = about.lines().find_map(|line| line.strip_prefix("Pid:"));
    Ok(number.and_then(|number| number.trim().parse().ok()))
}

/// What kind of namespace a file stands for, as a flag of clone.
pub fn namespace_kind(file: BorrowedFd<'_>) -> Result<i32, Errno> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: this request takes no argument, and the kernel refuses it for a file of another kind.
    match unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) } {
        -1 => Err(last_error()),
        kind => Ok(kind),
    }
}

/// Makes what was opened at /dev/net/tun the tap device of this name; the name that it has then.
pub fn become_tap(file: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    const IFF_TAP: i16 = 2;
    const IFF_NO_PI: i16 = 0x1000;
    const IFF_VNET_HDR: i16 = 0x4000;
    // SAFETY: an ifreq is integers and unions of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::NAMETOOLONG);
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    // SAFETY: this request reads and writes an ifreq, which `request` is; the descriptor is borrowed, so open.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let name = request.ifr_name.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8);
    Ok(String::from_utf8_lossy(&name.collect::<Vec<_>>()).into_owned())
}

/// Leaves a namespace of the caller for a new one.
pub fn unshare(namespaces: i32) -> Result<(), Errno> {
    // SAFETY: unshare takes an integer; the callers pass namespace flags only, which share no memory.
    check(unsafe { libc::unshare(namespaces) })
}

/// Sets and clears attributes of a mount, and of those below it.
pub fn change_mount_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    set_mount_attributes(mount, flags, &MountAttr { set, clear, propagation: 0, userns_fd: 0 })
}

/// Has a detached mount show its files as belonging to who they are in a user namespace.
pub fn shift_mount(mount: BorrowedFd<'_>, users: BorrowedFd<'_>) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let userns_fd = users.as_raw_fd() as u64;
    set_mount_attributes(mount, 0, &MountAttr { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd })
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn set_mount_attributes(mount: BorrowedFd<'_>, flags: i32, attributes: &MountAttr) -> Result<(), Errno> {
    // SAFETY: the path is an empty C string and `attributes` has the kernel's layout, with its true size; both
    // outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags | libc::AT_EMPTY_PATH,
            attributes,
            size_of::<MountAttr>(),
        )
    };
    check(result as i32)
}

/// Replaces the program of this process. Returns only on failure.
///
/// Both lists must end with a null pointer; [`CStringList`] makes such lists.
pub fn execute(program: &CStr, arguments: &CStringList, environment: &CStringList) -> Errno {
    // SAFETY: the lists end with null pointers and their strings live as long as the lists, which are borrowed
    // over the call.
    unsafe { libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    last_error()
}

/// A list of C strings with the null pointer at its end that execve wants.
pub struct CStringList {
    // Kept for what the pointers point to; a CString's bytes do not move when it moves.
    _strings: Vec<std::ffi::CString>,
    pointers: Vec<*const libc::c_char>,
}

impl CStringList {
    /// Makes the list; must happen before clone, because it allocates.
    pub fn new(strings: Vec<std::ffi::CString>) -> CStringList {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        CStringList { _strings: strings, pointers }
    }
}

/// Ends this process at once, without running anything of the parent's that it is a copy of.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit ends the process and touches nothing.
    unsafe { libc::_exit(code) }
}

/// Gives signals their default effect; errors (SIGKILL, SIGSTOP cannot be changed) mean nothing has to be done.
pub fn reset_signals(signals: impl IntoIterator<Item = i32>) {
    // SAFETY: SIG_DFL installs no code.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in signals {
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
    }
}

/// All of them.
pub fn every_signal() -> impl IntoIterator<Item = i32> {
    1..=libc::SIGRTMAX()
}

/// Has writes to a pipe that nobody reads fail instead of ending this process.
pub fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN installs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Blocks no signal.
pub fn unblock_signals() {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Blocks all signals and makes those that init looks at readable from a descriptor.
pub fn signals_by_descriptor(signals: &[i32]) -> Result<OwnedFd, Errno> {
    // SAFETY: both sets are initialised before use. signalfd returns a new descriptor or -1; a new one is
    // owned by nobody else.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        let mut wanted = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(wanted.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(wanted.as_mut_ptr(), *signal);
        }
        match libc::signalfd(-1, wanted.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(last_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Sends a signal to every process of this pid namespace but the caller.
pub fn signal_all(signal: i32) -> Result<(), Errno> {
    // SAFETY: kill takes two integers. -1 reaches only this pid namespace because the caller is its init.
    check(unsafe { libc::kill(-1, signal) })
}

/// Sends a signal by number, real-time ones too, to the process behind a pidfd.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: the descriptor is borrowed, so open; a null siginfo is allowed and means a plain signal.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result as i32)
}

/// Marks every descriptor from this number on as closed on exec.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: close_range takes three integers; marking is not closing, so no owner is surprised.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } as i32)
}

/// Begins a session of keys in which there are none.
pub fn forget_keys() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_ulong = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: this takes a number and the absence of a name.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
    match check(joined as i32) {
        // A kernel without keys, or a filter that keeps them from us and so from our children.
        Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        joined => joined,
    }
}

/// Closes every descriptor but these. For the child of a clone that goes on without exec.
pub fn close_all_but(keep: &mut [RawFd]) {
    keep.sort_unstable();
    let close = |first: RawFd, last: u32| {
        // SAFETY: this runs in a child that never returns to code which owns the closed descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, first as u32, last, 0) };
    };
    let mut from = 0;
    for fd in keep.iter() {
        if *fd > from {
            close(from, (*fd - 1) as u32);
        }
        from = fd + 1;
    }
    close(from, u32::MAX);
}

/// Asks the kernel to kill this process when its parent dies.
pub fn die_with_parent() -> Result<(), Errno> {
    // SAFETY: this prctl takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) })
}

/// Makes this user and group those with whose rights this thread opens files, and to whom belong those that it makes.
pub fn set_file_user(user: u32, group: u32) -> Result<(), Errno> {
    // SAFETY: both take integers only.
    unsafe {
        libc::setfsgid(group);
        libc::setfsuid(user);
    }
    // They tell no failure; asked for what cannot be, they tell what is.
    // SAFETY: as above.
    let (is_user, is_group) = unsafe { (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX)) };
    // The last number asks and sets nothing, so nobody is called so.
    let is_it = [is_user, is_group] == [user as i32, group as i32] && ![user, group].contains(&u32::MAX);
    if is_it { Ok(()) } else { Err(Errno::PERM) }
}

/// Hides this process's memory and descriptors from others of its user.
pub fn forbid_tracing() -> Result<(), Errno> {
    // SAFETY: this prctl takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

/// Puts this thread under a filter of system calls.
pub fn load_filter(program: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `length` instructions from the slice and writes nothing.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    check(result as i32)
}

/// How a process is scheduled, in the kernel's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scheduling {
    /// The policy.
    pub policy: u32,
    /// Flags.
    pub flags: u64,
    /// Niceness.
    pub nice: i32,
    /// Static priority.
    pub priority: u32,
    /// Nanoseconds of running in a period.
    pub runtime: u64,
    /// Nanoseconds to the deadline.
    pub deadline: u64,
    /// Nanoseconds of a period.
    pub period: u64,
}

/// Changes how this thread is scheduled.
pub fn set_scheduling(wanted: &Scheduling) -> Result<(), Errno> {
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        times: [u64; 3],
    }
    let attributes = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        times: [wanted.runtime, wanted.deadline, wanted.period],
    };
    // SAFETY: `attributes` has the layout of the kernel's sched_attr in its first version, and says its size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } as i32)
}

/// Changes the priority of this thread's input and output; class and level as the kernel packs them.
pub fn set_io_priority(priority: u16) -> Result<(), Errno> {
    const THREAD: i32 = 1;
    // SAFETY: ioprio_set takes three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, THREAD, 0, i32::from(priority)) } as i32)
}

/// Limits a resource of this process.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let nothing = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: the kernel reads `limit`, which has its layout, and writes nothing because of the null pointer.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, nothing) } as i32)
}

/// Sets the name that `ps` shows.
pub fn set_name(name: &CStr) {
    // SAFETY: the kernel reads at most 16 bytes up to the NUL, and `name` is a C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Brings the loopback interface of this network namespace up.
pub fn loopback_up() -> Result<(), Errno> {
    // SAFETY: the request is zeroed and holds the interface's name with its NUL, so both ioctls read and write
    // only this structure, which is of the kernel's layout. The socket is closed by its owner.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(last_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, byte) in request.ifr_name.iter_mut().zip(b"lo\0") {
            *place = *byte as libc::c_char;
        }
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request))?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request))
    }
}

fn check(result: i32) -> Result<(), Errno> {
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
