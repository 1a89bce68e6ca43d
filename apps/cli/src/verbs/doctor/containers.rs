//! What the kernel has for containers.

use std::path::Path;

use super::{check::Check, host::Host};

/// The oldest kernel that containers run on.
const OLDEST: (u32, u32) = (5, 12);

/// The namespaces that every container has.
const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "uts"];

/// Looks at it all.
pub fn checks(host: &Host) -> Vec<Check> {
    vec![
        kernel(&host.read("proc/sys/kernel/osrelease")).vital(),
        cgroups(&host.read("proc/self/mountinfo"), &|mount| {
            let file = mount.join("cgroup.controllers");
            host.read(&file.to_string_lossy()[1..])
        })
        .vital(),
        namespaces(host).vital(),
        user_namespaces(host),
        pidfd().vital(),
        seccomp(&host.read("proc/sys/kernel/seccomp/actions_avail")).vital(),
        overlay(host),
        device(host, "loop devices", "dev/loop-control", "modprobe loop; disks are mounted over them."),
        device(host, "fuse", "dev/fuse", "modprobe fuse; disks in dynamic VHD and VHDX are served by it."),
    ]
}

fn kernel(release: &str) -> Check {
    let release = release.trim();
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST {
        return Check::ok("kernel", release);
    }
    let (major, minor) = OLDEST;
    Check::missing("kernel", release, format!("Containers need Linux {major}.{minor} or newer."))
}

/// From the text of mountinfo; `controllers_of` tells what a hierarchy of version 2 offers.
fn cgroups(mountinfo: &str, controllers_of: &dyn Fn(&Path) -> String) -> Check {
    const NAME: &str = "cgroups";
    const NEEDED: &[&str] = &["cpu", "memory", "pids"];
    const NEEDED_OF_V1: &[&str] = &["freezer", "memory", "pids"];
    let (mut v1, mut v2) = (Vec::new(), None);
    for found in hcs_core::mountinfo::cgroups(mountinfo.as_bytes()) {
        if found.is_unified {
            v2 = Some(controllers_of(&found.point));
        }
        v1.extend(found.controllers);
    }
    let lacks = |offered: &dyn Fn(&str) -> bool, needed: &[&'static str]| -> Vec<&'static str> {
        needed.iter().copied().filter(|name| !offered(name)).collect()
    };
    let offers_v2 = |name: &str| v2.as_ref().is_some_and(|all| all.split_whitespace().any(|one| one == name));
    let offers_v1 = |name: &str| v1.iter().any(|one| one == name);
    let kind = match (&v2, v1.is_empty()) {
        (Some(_), true) => "version 2",
        (Some(_), false) => "both versions",
        (None, false) => "version 1",
        (None, true) => {
            return Check::missing(NAME, "none are mounted", "mount -t cgroup2 none /sys/fs/cgroup");
        }
    };
    let without = lacks(&offers_v2, NEEDED);
    if v2.is_some() && without.is_empty() {
        return Check::ok(NAME, format!("{kind}; limits by version 2"));
    }
    if lacks(&offers_v1, NEEDED_OF_V1).is_empty() {
        return Check::ok(NAME, format!("{kind}; limits by version 1"));
    }
    let found = format!("{kind}, without {}", without.join(", "));
    if v2.is_none() {
        return Check::missing(NAME, found, "Boot with these controllers, or mount version 2.");
    }
    let advice = "Containers run, but documents with limits of these are refused. Take the controllers from version 1, or \
                  boot with cgroup_enable=memory.";
    Check::warning(NAME, found, advice)
}

fn namespaces(host: &Host) -> Check {
    let missing: Vec<&str> =
        NAMESPACES.iter().copied().filter(|name| !host.has(&format!("proc/self/ns/{name}"))).collect();
    if missing.is_empty() {
        return Check::ok("namespaces", NAMESPACES.join(", "));
    }
    let found = format!("the kernel has none of {}", missing.join(", "));
    Check::missing("namespaces", found, "Use a kernel with CONFIG_NAMESPACES and what is below it.")
}

fn user_namespaces(host: &Host) -> Check {
    const NAME: &str = "user namespaces";
    match host.number("proc/sys/user/max_user_namespaces") {
        Some(most) if most > 0 => Check::ok(NAME, format!("up to {most}")),
        Some(_) => Check::warning(NAME, "switched off", "sysctl user.max_user_namespaces=10000"),
        None => Check::warning(
            NAME,
            "none",
            "Use a kernel with CONFIG_USER_NS for OCI documents that ask for one.",
        ),
    }
}

/// Processes are waited for, and entered, by descriptors.
fn pidfd() -> Check {
    let own = rustix::process::getpid();
    match rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()) {
        Ok(_) => Check::ok("pidfd", "works"),
        Err(error) => Check::missing(
            "pidfd",
            error.to_string(),
            "A filter of system calls, or an old kernel, forbids pidfd_open.",
        ),
    }
}

fn seccomp(actions: &str) -> Check {
    if actions.split_whitespace().any(|action| action == "errno") {
        return Check::ok("seccomp", "filters system calls");
    }
    Check::missing("seccomp", "no filters", "Use a kernel with CONFIG_SECCOMP_FILTER.")
}

/// It may be a module that is loaded when it is first used.
fn overlay(host: &Host) -> Check {
    let loaded = host.read("proc/filesystems").lines().any(|line| line.ends_with("\toverlay"));
    if loaded {
        return Check::ok("overlayfs", "there");
    }
    let release = host.read("proc/sys/kernel/osrelease");
    if host.read(&format!("lib/modules/{}/modules.dep", release.trim())).contains("/overlay.ko") {
        return Check::ok("overlayfs", "a module, loaded when it is needed");
    }
    Check::warning("overlayfs", "none", "modprobe overlay; without it layers and images cannot be united.")
}

fn device(host: &Host, name: &'static str, path: &str, advice: &str) -> Check {
    if host.has(path) {
        Check::ok(name, format!("/{path}"))
    } else {
        Check::warning(name, format!("no /{path}"), advice)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::State, *};

    const V2: &str = "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 30 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      33 30 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
                      34 30 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";

    fn of(mountinfo: &str, controllers: &str) -> Check {
        cgroups(mountinfo, &|_| controllers.to_owned())
    }

    #[test]
    fn the_version_of_cgroups_that_limits_is_told() {
        let v2 = of(V2, "cpuset cpu io memory hugetlb pids rdma\n");
        assert_eq!((v2.state, v2.found.as_str()), (State::Ok, "version 2; limits by version 2"));
        let v1 = of(V1, "");
        assert_eq!((v1.state, v1.found.as_str()), (State::Ok, "version 1; limits by version 1"));
        let hybrid = of(&format!("{V1}{V2}"), "hugetlb\n");
        assert_eq!((hybrid.state, hybrid.found.as_str()), (State::Ok, "both versions; limits by version 1"));
        let weak = of(V2, "cpu pids\n");
        assert_eq!((weak.state, weak.found.as_str()), (State::Warning, "version 2, without memory"));
        assert_eq!(of("", "").state, State::Missing);
        assert_eq!(
            of("36 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "").state,
            State::Missing
        );
    }

    #[test]
    fn a_kernel_is_old_or_not() {
        for (release, state) in [
            ("6.1.0-18-amd64\n", State::Ok),
            ("5.12.0", State::Ok),
            ("5.10.0-28-amd64\n", State::Missing),
            ("4.19", State::Missing),
            ("", State::Missing),
        ] {
            assert_eq!(kernel(release).state, state, "{release:?}");
        }
    }

    #[test]
    fn a_recorded_host_is_looked_at() {
        let root = std::env::temp_dir().join(format!("hcs-doctor-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let host = Host::recorded(&root);
        assert_eq!(overlay(&host).state, State::Warning);
        assert_eq!(namespaces(&host).state, State::Missing);
        put("proc/sys/kernel/osrelease", "6.1.0\n");
        put("lib/modules/6.1.0/modules.dep", "kernel/fs/overlayfs/overlay.ko.xz:\n");
        assert_eq!(overlay(&host).state, State::Ok);
        put("proc/filesystems", "nodev\tproc\nnodev\toverlay\n");
        assert_eq!(overlay(&host).found, "there");
        put("proc/sys/user/max_user_namespaces", "0\n");
        assert_eq!(user_namespaces(&host).found, "switched off");
        for name in NAMESPACES {
            put(&format!("proc/self/ns/{name}"), "");
        }
        assert_eq!(namespaces(&host).state, State::Ok);
        put("proc/sys/kernel/seccomp/actions_avail", "kill_process errno allow\n");
        assert_eq!(seccomp(&host.read("proc/sys/kernel/seccomp/actions_avail")).state, State::Ok);
        assert_eq!(seccomp("").state, State::Missing);
        std::fs::remove_dir_all(root).unwrap();
    }
}
