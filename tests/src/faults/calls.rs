//! The system calls that are watched: those that change something outside of their process, or take something that can
//! run out.

/// What names the thing that a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nothing but the call itself.
    Itself,
    /// The path in this argument, below the working folder.
    Path(usize),
    /// The path in the second of these arguments, below the folder that the first is a descriptor of.
    PathBelow(usize, usize),
    /// The file that this argument is a descriptor of.
    File(usize),
    /// The message in the second argument, for the socket that the first is a descriptor of.
    Message,
}

/// What a call takes that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A descriptor.
    Descriptor,
    /// A descriptor, and space for a file if it makes one.
    DescriptorAndSpace,
    /// Space in a file system, or of what a group of processes may have.
    Space,
    /// Memory of the kernel.
    Memory,
    /// A process, or a thread.
    Process,
    /// A watch on files.
    Watch,
}

/// A watched call.
#[derive(Debug)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: About,
    /// What it takes.
    pub takes: Takes,
}

const fn call(number: i64, name: &'static str, about: About, takes: Takes) -> Call {
    Call { number, name, about, takes }
}

use About::{File, Itself, Message, Path, PathBelow};
use Takes::{Descriptor, DescriptorAndSpace, Memory, Nothing, Process, Space, Watch};

/// All of them.
pub const CALLS: &[Call] = &[
    call(libc::SYS_openat, "openat", PathBelow(0, 1), DescriptorAndSpace),
    call(libc::SYS_openat2, "openat2", PathBelow(0, 1), DescriptorAndSpace),
    call(libc::SYS_mkdir, "mkdir", Path(0), Space),
    call(libc::SYS_mkdirat, "mkdirat", PathBelow(0, 1), Space),
    call(libc::SYS_mknodat, "mknodat", PathBelow(0, 1), Space),
    call(libc::SYS_symlink, "symlink", Path(1), Space),
    call(libc::SYS_symlinkat, "symlinkat", PathBelow(1, 2), Space),
    call(libc::SYS_link, "link", Path(1), Space),
    call(libc::SYS_linkat, "linkat", PathBelow(2, 3), Space),
    call(libc::SYS_rename, "rename", Path(1), Space),
    call(libc::SYS_renameat, "renameat", PathBelow(2, 3), Space),
    call(libc::SYS_renameat2, "renameat2", PathBelow(2, 3), Space),
    call(libc::SYS_unlink, "unlink", Path(0), Nothing),
    call(libc::SYS_unlinkat, "unlinkat", PathBelow(0, 1), Nothing),
    call(libc::SYS_rmdir, "rmdir", Path(0), Nothing),
    call(libc::SYS_write, "write", File(0), Space),
    call(libc::SYS_pwrite64, "pwrite64", File(0), Space),
    call(libc::SYS_ftruncate, "ftruncate", File(0), Space),
    call(libc::SYS_fallocate, "fallocate", File(0), Space),
    call(libc::SYS_copy_file_range, "copy_file_range", File(2), Space),
    call(libc::SYS_sendfile, "sendfile", File(0), Space),
    call(libc::SYS_fsync, "fsync", File(0), Space),
    call(libc::SYS_fdatasync, "fdatasync", File(0), Space),
    call(libc::SYS_syncfs, "syncfs", Itself, Space),
    call(libc::SYS_fsetxattr, "fsetxattr", File(0), Space),
    call(libc::SYS_fchown, "fchown", File(0), Nothing),
    call(libc::SYS_fchmod, "fchmod", File(0), Nothing),
    call(libc::SYS_mount, "mount", Path(1), Memory),
    call(libc::SYS_umount2, "umount2", Path(0), Nothing),
    call(libc::SYS_fsopen, "fsopen", Path(0), Descriptor),
    call(libc::SYS_fsconfig, "fsconfig", Path(2), Memory),
    call(libc::SYS_fsmount, "fsmount", Itself, Descriptor),
    call(libc::SYS_open_tree, "open_tree", PathBelow(0, 1), Descriptor),
    call(libc::SYS_mount_setattr, "mount_setattr", PathBelow(0, 1), Memory),
    call(libc::SYS_move_mount, "move_mount", PathBelow(2, 3), Memory),
    call(libc::SYS_pivot_root, "pivot_root", Path(0), Memory),
    call(libc::SYS_clone, "clone", Itself, Process),
    call(libc::SYS_clone3, "clone3", Itself, Process),
    call(libc::SYS_vfork, "vfork", Itself, Process),
    call(libc::SYS_execve, "execve", Path(0), Memory),
    call(libc::SYS_execveat, "execveat", PathBelow(0, 1), Memory),
    call(libc::SYS_setns, "setns", Itself, Memory),
    call(libc::SYS_unshare, "unshare", Itself, Memory),
    call(libc::SYS_kill, "kill", Itself, Nothing),
    call(libc::SYS_pidfd_send_signal, "pidfd_send_signal", Itself, Nothing),
    call(libc::SYS_pidfd_open, "pidfd_open", Itself, Descriptor),
    call(libc::SYS_memfd_create, "memfd_create", Path(0), Descriptor),
    call(libc::SYS_pipe2, "pipe2", Itself, Descriptor),
    call(libc::SYS_eventfd2, "eventfd2", Itself, Descriptor),
    call(libc::SYS_timerfd_create, "timerfd_create", Itself, Descriptor),
    call(libc::SYS_signalfd4, "signalfd4", Itself, Descriptor),
    call(libc::SYS_epoll_create1, "epoll_create1", Itself, Descriptor),
    call(libc::SYS_fcntl, "duplicate", File(0), Descriptor),
    call(libc::SYS_inotify_init1, "inotify_init1", Itself, Descriptor),
    call(libc::SYS_inotify_add_watch, "inotify_add_watch", Path(1), Watch),
    call(libc::SYS_socket, "socket", Itself, Descriptor),
    call(libc::SYS_socketpair, "socketpair", Itself, Descriptor),
    call(libc::SYS_bind, "bind", File(0), Space),
    call(libc::SYS_listen, "listen", File(0), Nothing),
    call(libc::SYS_accept4, "accept4", File(0), Descriptor),
    call(libc::SYS_connect, "connect", File(0), Memory),
    call(libc::SYS_sendmsg, "sendmsg", Message, Nothing),
    call(libc::SYS_sendto, "sendto", File(0), Nothing),
];

/// The flags of an open are an argument of one call, and the first number of a structure that the other is given.
const FLAGS_OF_OPENAT: usize = 2;
const FLAGS_OF_RENAME: usize = 4;

impl Call {
    /// The watched call of this number.
    pub fn of(number: i64) -> Option<&'static Call> {
        CALLS.iter().find(|call| call.number == number)
    }

    /// Whether a call with these arguments does nothing that is watched.
    pub fn is_idle(&self, arguments: &[u64; 6]) -> bool {
        let duplicates = [libc::F_DUPFD as u64, libc::F_DUPFD_CLOEXEC as u64];
        self.number == libc::SYS_fcntl && !duplicates.contains(&arguments[1])
    }

    /// Whether a call with these arguments changes something that others can see, so that it matters whether it has
    /// happened when somebody dies.
    pub fn has_effect(&self, arguments: &[u64; 6]) -> bool {
        match self.takes {
            DescriptorAndSpace => self.makes_file(arguments),
            Descriptor => matches!(self.name, "accept4" | "fsmount" | "open_tree"),
            _ => true,
        }
    }

    fn makes_file(&self, arguments: &[u64; 6]) -> bool {
        let making = (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
        self.number == libc::SYS_openat && arguments[FLAGS_OF_OPENAT] & making != 0
    }

    /// Whether it has two names change places, which takes no space.
    fn exchanges(&self, arguments: &[u64; 6]) -> bool {
        self.number == libc::SYS_renameat2
            && arguments[FLAGS_OF_RENAME] & u64::from(libc::RENAME_EXCHANGE) != 0
    }

    /// The errors that a call with these arguments gives when what it takes has run out. `is_control` when it writes to a
    /// control file of a group of processes.
    pub fn errors(&self, arguments: &[u64; 6], is_control: bool) -> &'static [i32] {
        match self.takes {
            Nothing => &[],
            Space if self.exchanges(arguments) => &[],
            DescriptorAndSpace if self.makes_file(arguments) => &[libc::EMFILE, libc::ENOSPC],
            Descriptor | DescriptorAndSpace => &[libc::EMFILE],
            Space if is_control => &[libc::ENOSPC, libc::EBUSY, libc::EAGAIN],
            Space | Watch => &[libc::ENOSPC],
            Memory => &[libc::ENOMEM],
            Process => &[libc::EAGAIN, libc::ENOMEM],
        }
    }
}
