//! The default profile: what Docker's allows, for the capabilities that our containers have.
//!
//! The calls that only more capabilities would allow are left out, because no process here gets them: those for
//! SYS_ADMIN (mount, unshare, bpf, …), SYS_MODULE, SYS_PTRACE (kcmp, …), SYS_TIME, SYS_NICE, SYSLOG and others.
//! `chroot` is in, because SYS_CHROOT is. Other number spaces (32-bit programs, x32) are refused as if the kernel did
//! not have them; Docker allows them. What is refused fails with EPERM, and `clone3` with ENOSYS, so that libraries
//! fall back to `clone`, whose flags a filter can see.

use super::{
    numbers,
    rules::{Action, Condition, Rule, Rules, Test},
};

const REFUSED: Action = Action::Errno(libc::EPERM as u16);
const UNKNOWN: Action = Action::Errno(libc::ENOSYS as u16);

/// Flags of `clone` that make namespaces: mount, cgroup, UTS, IPC, user, pid, network.
const NEW_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32 as u64;

/// libc's list for x86-64 lacks it.
#[cfg(target_arch = "x86_64")]
const IO_PGETEVENTS: libc::c_long = 333;

/// Execution domains that change nothing that matters: Linux, BSD, and both with UNAME26; and the question alone.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x20000, 0x20008, 0xFFFF_FFFF];

/// The rules.
pub fn default() -> Rules {
    let mut by_number = std::collections::BTreeMap::new();
    for (_, number) in numbers::COMMON.iter().chain(numbers::OWN).chain(numbers::NEWEST) {
        by_number.insert(*number, Rule::always(Action::Allow));
    }
    let mut add = |number: libc::c_long, rule: Rule| by_number.insert(number as u32, rule);
    let when = |test: Test| vec![(vec![Condition { argument: 0, test }], Action::Allow)];
    let allow_if = |test: Test| Rule { alternatives: when(test), otherwise: REFUSED };
    add(libc::SYS_clone, allow_if(Test::NoneOf(NEW_NAMESPACES)));
    add(libc::SYS_clone3, Rule::always(UNKNOWN));
    #[cfg(target_arch = "x86_64")]
    add(IO_PGETEVENTS, Rule::always(Action::Allow));
    // Sockets of the hypervisor reach beyond the network namespace.
    add(libc::SYS_socket, allow_if(Test::NotEqual(libc::AF_VSOCK as u64)));
    let alternatives = PERSONALITIES.iter().flat_map(|personality| when(Test::Equal(*personality))).collect();
    add(libc::SYS_personality, Rule { alternatives, otherwise: REFUSED });
    Rules { by_number, otherwise: REFUSED, foreign: UNKNOWN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(number: libc::c_long, first: u64) -> Action {
        default().action(number as u32, &[first, 0, 0, 0, 0, 0])
    }

    #[test]
    fn ordinary_calls_are_allowed() {
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat, libc::SYS_chroot, libc::SYS_ptrace]
        {
            assert_eq!(action(number, 0), Action::Allow, "{number}");
        }
    }

    #[test]
    fn calls_that_reach_the_host_are_refused() {
        for number in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_settimeofday,
            libc::SYS_swapon,
            libc::SYS_pivot_root,
            libc::SYS_open_by_handle_at,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
        ] {
            assert_eq!(action(number, 0), REFUSED, "{number}");
        }
    }

    #[test]
    fn arguments_decide_where_they_matter() {
        assert_eq!(action(libc::SYS_clone, libc::SIGCHLD as u64), Action::Allow);
        assert_eq!(action(libc::SYS_clone, (libc::CLONE_NEWUSER | libc::SIGCHLD) as u64), REFUSED);
        assert_eq!(action(libc::SYS_clone3, 0), UNKNOWN);
        assert_eq!(action(libc::SYS_socket, libc::AF_INET as u64), Action::Allow);
        assert_eq!(action(libc::SYS_socket, libc::AF_VSOCK as u64), REFUSED);
        assert_eq!(action(libc::SYS_personality, 0xFFFF_FFFF), Action::Allow);
        assert_eq!(action(libc::SYS_personality, 0x0040_0000), REFUSED);
    }
}
