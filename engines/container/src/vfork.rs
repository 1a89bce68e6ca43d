//! A child that borrows the memory of its parent until it execs, while the parent stands still.
//!
//! A fork copies the tables of every page and makes both sides fault on those that either writes; for a process that
//! only enters a container and execs that is a tenth of its whole life. The child runs on a piece of its parent's
//! stack. What it writes to memory, the parent finds; what it does to itself (descriptors, credentials, namespaces,
//! signals) is its own.
//!
//! The worker must not be dumpable: the child is in the container's pid namespace, and who could trace it there
//! could write to the worker.
#![expect(
    unsafe_code,
    reason = "clone3 with a stack must be called in assembly, because the child returns on that stack"
)]

use std::{
    cell::UnsafeCell,
    convert::Infallible,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::Errno;

use crate::sys::CloneArgs;

/// The most that the child may use; unoptimised code needs some of it.
const STACK: usize = 256 << 10;

/// Runs `child` in a new process, born in this cgroup, and returns when it has exec'd or ended. The calling process
/// must have one thread; `child` must end in exec or exit.
pub fn spawn<F: Fn() -> Infallible>(cgroup: Option<BorrowedFd<'_>>, child: &F) -> Result<OwnedFd, Errno> {
    spawn_in(0, cgroup, child)
}

/// The same, with namespaces of its own.
pub fn spawn_in<F: Fn() -> Infallible>(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: &F,
) -> Result<OwnedFd, Errno> {
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs::new((libc::CLONE_VM | libc::CLONE_VFORK) as u64 | namespaces, cgroup);
    arguments.give_pidfd(&raw mut pidfd);
    arguments.run_on(CHILD_STACK.with(|stack| stack.get().cast()), STACK);
    // SAFETY: `arguments` has the kernel's layout and names a stack that nobody else uses: CLONE_VFORK puts the parent
    // off until the child has done with it, and a child has no children before. The caller has one thread, so no lock
    // is held and nobody else changes what the child reads. `run::<F>` never returns and gets the closure it was made for.
    let result = unsafe { clone3(&raw mut arguments, run::<F>, (&raw const *child).cast()) };
    match result {
        // SAFETY: the kernel stored a new descriptor of ours there, because CLONE_PIDFD was set and it succeeded.
        1.. => Ok(unsafe { OwnedFd::from_raw_fd(pidfd) }),
        _ => Err(Errno::from_raw_os_error(-result as i32)),
    }
}

#[repr(C, align(16))]
struct Aligned([u8; STACK]);

thread_local! {
    /// Kept from one child to the next. Only pages that were used are there.
    static CHILD_STACK: Box<UnsafeCell<MaybeUninit<Aligned>>> = new_stack();
}

fn new_stack() -> Box<UnsafeCell<MaybeUninit<Aligned>>> {
    let stack = Box::into_raw(Box::<Aligned>::new_uninit());
    // SAFETY: an UnsafeCell and a MaybeUninit have the layout of what they hold, and the box is given up above.
    unsafe { Box::from_raw(stack.cast()) }
}

/// The first function on the child's stack. A panic ends the child, because it cannot leave an `extern "C"` function.
unsafe extern "C" fn run<F: Fn() -> Infallible>(child: *const ()) -> ! {
    // SAFETY: `spawn` passes a closure of this type, which outlives its own call.
    let child = unsafe { &*child.cast::<F>() };
    match child() {}
}

/// The system call. Returns in the parent only.
///
/// # Safety
///
/// The arguments must ask for CLONE_VM and CLONE_VFORK and name a stack.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    arguments: *mut CloneArgs,
    run: unsafe extern "C" fn(*const ()) -> !,
    child: *const (),
) -> isize {
    let result;
    // SAFETY: the parent comes out behind the jump with all registers but those of the list as they were. The child
    // calls `run` on its own stack, which is aligned as the ABI wants it, and never comes back.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") run,
            in("r13") child,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// The system call. Returns in the parent only.
///
/// # Safety
///
/// The arguments must ask for CLONE_VM and CLONE_VFORK and name a stack.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    arguments: *mut CloneArgs,
    run: unsafe extern "C" fn(*const ()) -> !,
    child: *const (),
) -> isize {
    let result;
    // SAFETY: as on x86_64.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x22",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3 as isize,
            inlateout("x0") arguments => result,
            in("x1") size_of::<CloneArgs>(),
            in("x21") run,
            in("x22") child,
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, os::fd::AsFd};

    use super::*;
    use crate::{process, sys};

    #[test]
    fn a_child_has_a_process_of_its_own_and_writes_to_its_parents_memory() {
        let (own, seen) = (std::process::id(), Cell::new(0));
        let child = || {
            seen.set(rustix::process::getpid().as_raw_nonzero().get() as u32);
            sys::exit(7)
        };
        let pidfd = spawn(None, &child).unwrap();
        assert!(seen.get() != 0 && seen.get() != own);
        assert_eq!(process::wait(pidfd.as_fd()).unwrap(), Some(7));
    }
}
