//! Who may do what with everything that a running service has: its files and sockets, its processes, their descriptors.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use hcs::{
    System,
    schema::{
        ComputeSystem, HvSocketSystemConfig, Layer, NetworkAdapter, Plan9, Plan9Share, RdpConnectionOptions,
        SecuritySettings, Storage, VideoMonitor, VirtualMachineHvSocket,
    },
};
use hcs_tests::{Service, binaries, machine::Guest, processes, rootfs};

use crate::{command, run};

const NOBODY: u32 = 65_534;

/// A machine that has everything that is served by a program of its own: folders, sockets, a TPM, a screen, a port.
fn machine(service: &Service) -> ComputeSystem {
    let root = service.root();
    let shared = root.join("shared");
    fs::create_dir(&shared).unwrap();
    let share = Plan9Share::default().access_name("one").path(shared.display().to_string());
    // One who speaks by sockets, and knows 9P, finds this one at a port.
    let by_port = share.clone().access_name("two").port(564u32);
    let options = RdpConnectionOptions::default().named_pipe(root.join("screen").display().to_string());
    let sockets = VirtualMachineHvSocket::default().hv_socket_config(HvSocketSystemConfig::default());
    let guest = Guest::make(root, "read line");
    guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        machine.security_settings(SecuritySettings::default().enable_tpm(true)).devices(
            devices
                .plan9(Plan9::default().shares(vec![share, by_port]))
                .hv_socket(sockets)
                .network_adapters([("none".to_owned(), NetworkAdapter::default())])
                .video_monitor(VideoMonitor::default().connection_options(options)),
        )
    })
}

/// The mode of a file as `ls` writes it.
fn mode(path: &Path) -> String {
    let about = fs::symlink_metadata(path).unwrap();
    let kind = about.file_type();
    let letter = match () {
        () if kind.is_dir() => 'd',
        () if kind.is_socket() => 's',
        () if kind.is_symlink() => 'l',
        () => '-',
    };
    format!("{letter}{:04o}", about.permissions().mode() & 0o7777)
}

/// Everything below a folder: its mode, its owner and its group, and its path, in which what differs from run to run is a star.
fn listed(folder: &Path, ids: &[&str], into: &mut BTreeSet<String>) {
    let about = fs::symlink_metadata(folder).unwrap();
    let mut path = folder.display().to_string();
    for id in ids {
        path = path.replace(id, "*");
    }
    into.insert(format!("{} {}:{} {path}", mode(folder), about.uid(), about.gid()));
    if about.is_dir() {
        for entry in fs::read_dir(folder).unwrap() {
            listed(&entry.unwrap().path(), ids, into);
        }
    }
}

/// What a user with these groups can do: the script's exit code.
fn can(uid: u32, gid: u32, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script]).uid(uid).gid(gid);
    command.output().unwrap().status.success()
}

/// Connects to a socket.
fn connect(path: &Path) -> String {
    format!("python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{}\")'", path.display())
}

/// The processes of a machine, by name.
fn of(service: &Service, name: &str) -> u32 {
    let all = service.leftovers().processes;
    let found =
        all.iter().find(|pid| processes::read(**pid, "cmdline").split('\0').next().unwrap().ends_with(name));
    *found.unwrap_or_else(|| panic!("there is no {name}"))
}

/// A service with a container of a folder, one of layers, and a machine.
struct Everything {
    service: Service,
    container: System,
    _layered: System,
    machine: System,
}

impl Everything {
    fn start() -> Everything {
        let service = Service::start_carelessly();
        let container = service.running(&service.client(), "web");
        let scratch = service.root().join("scratch");
        fs::create_dir(&scratch).unwrap();
        let layer = Layer::default().path(service.rootfs().display().to_string());
        let storage = Storage::default().path(scratch.display().to_string()).layers(vec![layer]);
        let layered = service.document_with(|container| container.storage(storage));
        let layered = service.running_from("layered", &layered);
        let machine = service.running_from("vm", &machine(&service));
        Everything { service, container, _layered: layered, machine }
    }
}

#[test]
fn every_file_and_socket_is_for_whom_it_is_meant() {
    let Everything { service, container, _layered, machine } = Everything::start();
    let root = service.root();
    let ids = [container.runtime_id(), _layered.runtime_id(), machine.runtime_id(), root.to_str().unwrap()];
    let mut found = BTreeSet::new();
    for folder in ["run", "lib", "screen", "guest/com1", "scratch/work", "scratch/upper"] {
        listed(&root.join(folder), &ids, &mut found);
    }
    let expected = [
        // Passed through by everybody, so that the rights of what is below decide.
        "d0711 0:0 */run",
        "s0660 0:60 */run/hcs.sock",
        // Figures, and no names, for everybody.
        "s0666 0:0 */run/metrics.sock",
        "d0711 0:0 */run/systems",
        "d0711 0:0 */run/systems/*",
        // Says what the document named, and how to end it.
        "-0600 0:0 */run/systems/*/record.json",
        // Who speaks there is obeyed.
        "s0600 0:0 */run/systems/*/worker.sock",
        "d0770 0:60 */run/systems/*/hvsocket",
        "s0777 0:0 */run/systems/*/hvsocket/connect",
        // Where folders are served; the guest comes there by who carries its sockets.
        "s0600 0:0 */run/systems/*/hvsocket/connect_564",
        "d0711 0:0 */lib",
        "d0700 0:0 */lib/cpu-groups",
        "d0700 0:0 */lib/crashes",
        "d0700 0:0 */lib/machines",
        "-0600 0:0 */lib/machines/*",
        "s0600 0:0 */screen",
        "s0600 0:0 */guest/com1",
        "d0755 0:0 */scratch/upper",
    ];
    let found: BTreeSet<String> = found
        .into_iter()
        .map(|line| match line.split_once("*/lib/machines/") {
            Some((before, _)) => format!("{before}*/lib/machines/*"),
            None => line,
        })
        // What overlayfs makes for itself, and what is in the container.
        .filter(|line| !line.contains("/scratch/work") && !line.contains("/scratch/upper/"))
        .collect();
    let expected: BTreeSet<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    let strange: Vec<_> = found.symmetric_difference(&expected).collect();
    assert!(strange.is_empty(), "found or missing: {strange:#?}");
    for cgroup in service.leftovers().cgroups {
        assert_eq!(mode(&cgroup), "d0755", "{}", cgroup.display());
    }

    // A machine's user is what breaks out of its QEMU; that of another machine has no more rights than anybody.
    let qemu = of(&service, "qemu");
    let own: u32 = processes::status(qemu, "Uid").split_whitespace().next().unwrap().parse().unwrap();
    let folder = root.join("run/systems").join(machine.runtime_id());
    for user in [own, own + 1, NOBODY] {
        let tries = [
            connect(&root.join("run/hcs.sock")),
            connect(&folder.join("worker.sock")),
            connect(&folder.join("hvsocket/connect")),
            connect(&folder.join("hvsocket/connect_564")),
            connect(&root.join("guest/com1")),
            connect(&root.join("screen")),
            format!("cat {}", folder.join("record.json").display()),
            format!("ls {}", folder.display()),
            format!("ls {}", root.join("run/systems").display()),
            format!("ls {}", folder.join("hvsocket").display()),
            format!("ls {}", root.join("lib/machines").display()),
        ];
        for one in tries {
            assert!(!can(user, user, &one), "user {user}: {one}");
        }
        assert!(can(user, user, &connect(&root.join("run/metrics.sock"))));
        if user != own {
            for one in
                [format!("ls /proc/{qemu}/fd/"), format!("cat /proc/{qemu}/maps"), format!("kill -0 {qemu}")]
            {
                assert!(!can(user, user, &one), "user {user}: {one}");
            }
        }
    }
    // A member of the group has what the group is for.
    for socket in [root.join("run/hcs.sock"), folder.join("hvsocket/connect")] {
        assert!(can(NOBODY, 60, &connect(&socket)), "{}", socket.display());
    }
    let program = root.join("hcs");
    rootfs::copy_program(&binaries::find("hcs"), &program);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let list = format!("{} --socket {} list", program.display(), service.socket().display());
    assert!(can(NOBODY, 60, &list) && !can(NOBODY, NOBODY, &list));
    end(service, [container, _layered, machine]);
}

fn end(service: Service, systems: [System; 3]) {
    for system in systems {
        system.terminate().wait().unwrap();
    }
    service.await_nothing_left();
}

/// What a process holds: capabilities that it has and may ever have, and whether its programs may gain others, and its filter.
fn privileges(pid: u32) -> [String; 4] {
    ["CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"].map(|name| {
        let value = processes::status(pid, name);
        value.trim_start_matches('0').to_owned()
    })
}

/// The bits of capabilities by their numbers, without what this host gives to nobody.
fn set(numbers: &[u32]) -> String {
    let all = u64::from_str_radix(&processes::status(std::process::id(), "CapBnd"), 16).unwrap();
    let bits = numbers.iter().fold(0u64, |bits, number| bits | 1 << number) & all;
    format!("{bits:x}").trim_start_matches('0').to_owned()
}

#[test]
fn every_process_has_the_privileges_and_the_descriptors_that_it_needs_and_no_others() {
    let Everything { service, container, _layered, machine } = Everything::start();
    let process = run(&container, &command(&["sleep", "1000"]));
    let worker_of_container = service.worker(&container);
    let worker_of_machine = service.worker(&machine);
    let init = processes::children(worker_of_container)
        .into_iter()
        .find(|pid| processes::read(*pid, "comm").trim() == "hcs-init")
        .expect("an init");
    let sleeper = processes::children(worker_of_container)
        .into_iter()
        .find(|pid| processes::read(*pid, "comm").trim() == "sleep")
        .expect("the process");
    let all = processes::status(std::process::id(), "CapBnd").trim_start_matches('0').to_owned();
    let none = String::new;
    let of_files = [0, 1, 3, 4, 6, 7, 27, 31];
    let of_folders = set(&[0, 1, 3, 4, 6, 7]);
    let of_machine = set(&[&of_files[..], &[5, 8, 12, 18, 19, 21, 23, 24]].concat());
    let usual = set(&[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31]);
    let (yes, filtered) = ("1".to_owned(), "2".to_owned());
    // As docs/src/explanation/security-model.md has it.
    let expected = [
        ("hcsd", service.pid(), [set(&[0, 1, 3, 5, 12, 21, 24]), all.clone(), none(), none()]),
        ("the worker of a container", worker_of_container, [all.clone(), all.clone(), none(), none()]),
        ("the worker of a machine", worker_of_machine, [of_machine.clone(), of_machine, yes.clone(), none()]),
        ("init", init, [set(&[5]), all, yes.clone(), none()]),
        ("a process in a container", sleeper, [usual.clone(), usual, yes.clone(), filtered.clone()]),
        ("QEMU", of(&service, "qemu"), [none(), none(), yes.clone(), filtered.clone()]),
        ("swtpm", of(&service, "swtpm"), [none(), none(), yes.clone(), filtered.clone()]),
        ("virtiofsd", of(&service, "virtiofsd"), [set(&of_files), none(), yes.clone(), filtered.clone()]),
        (
            "hcs-folders",
            of(&service, "hcs-folders"),
            [of_folders.clone(), of_folders, yes.clone(), filtered.clone()],
        ),
        ("hcs-sockets", of(&service, "hcs-sockets"), [set(&[1]), set(&[1]), yes, filtered]),
    ];
    for (name, pid, wanted) in expected {
        assert_eq!(privileges(pid), wanted, "{name}: permitted, bounding, no new privileges, filter");
        assert_eq!(processes::status(pid, "CapAmb").trim_matches('0'), "", "{name}");
        // The service and its workers are killed last, as far as this host lets them, and no others.
        let score = |pid: u32| processes::read(pid, "oom_score_adj").trim().to_owned();
        let lasts = name == "hcsd" || name.contains("worker") || name == "init";
        assert_eq!(score(pid), if lasts { score(service.pid()) } else { "0".to_owned() }, "{name}");
    }

    // What a process holds open is its own: no socket of it is held by anybody else, and no pipe but by its worker.
    let held = |pid: u32, kinds: &[&str]| -> BTreeSet<String> {
        let own = processes::descriptors(pid).into_iter().map(|(_, link)| link);
        own.filter(|link| kinds.iter().any(|kind| link.starts_with(kind))).collect()
    };
    let common = |one: u32, other: u32, kinds: &[&str]| -> Vec<String> {
        held(one, kinds).intersection(&held(other, kinds)).cloned().collect()
    };
    let machines = ["qemu", "swtpm", "virtiofsd", "hcs-folders", "hcs-sockets"];
    for name in machines {
        let pid = of(&service, name);
        for other in [service.pid(), worker_of_container, init] {
            assert_eq!(common(pid, other, &["socket:", "pipe:"]), [""; 0], "{name} and {other}");
        }
        assert_eq!(common(pid, worker_of_machine, &["socket:"]), [""; 0], "{name} and its worker");
        for (number, link) in processes::descriptors(pid) {
            let known =
                ["socket:", "pipe:", "anon_inode:", "/memfd:", "/dev/null", "/dev/urandom", "/dev/kvm"];
            let is_known = known.iter().any(|kind| link.starts_with(kind))
                // Its complaints go where those of its worker go.
                || (number == 2 && link.ends_with("/log"))
                || (name == "qemu" && link.contains("/guest/"))
                || (name == "hcs-folders" && link == "/shares")
                || (name == "virtiofsd" && ["/shared", "/", "/proc"].contains(&link.as_str()))
                || link.starts_with("/proc/");
            assert!(is_known, "{name} holds {number}: {link}");
        }
    }
    // None of them sees a folder of the service, or what lies beside it.
    for name in machines {
        let seen = Path::new("/proc").join(of(&service, name).to_string()).join("root");
        assert!(
            !seen.join(service.root().strip_prefix("/").unwrap()).exists(),
            "{name} sees the service's folder"
        );
        assert!(!seen.join("etc/passwd").exists() && !seen.join("root").exists(), "{name} sees the host");
    }
    let shown = |pid: u32| -> Vec<String> {
        let plain = |link: String| link.split(':').next().unwrap().to_owned();
        processes::descriptors(pid).into_iter().map(|(_, link)| plain(link)).collect()
    };
    assert_eq!(shown(init), ["pipe", "anon_inode"]);
    assert_eq!(shown(sleeper), ["/dev/null", "pipe", "pipe"]);

    // A name without a file can be spoken to by everybody in the network of the host.
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let nameless: BTreeSet<String> = table
        .lines()
        .filter(|line| line.split_whitespace().nth(7).is_some_and(|name| name.starts_with('@')))
        .filter_map(|line| Some(format!("socket:[{}]", line.split_whitespace().nth(6)?)))
        .collect();
    for pid in machines.map(|name| of(&service, name)).into_iter().chain([service.pid(), worker_of_machine]) {
        let common: Vec<_> = held(pid, &["socket:"]).intersection(&nameless).cloned().collect();
        assert!(common.is_empty(), "{pid} holds {common:?}");
    }
    drop(process);
    end(service, [container, _layered, machine]);
}

/// The memory of a guest is mapped by QEMU and by programs that are devices: who makes it shorter ends the others.
#[test]
fn the_memory_of_a_guest_cannot_be_made_shorter_under_others() {
    let service = Service::start();
    let guest = Guest::make(service.root(), "read line");
    let system = service.running_from("vm", &guest.document());
    let qemu = of(&service, "qemu");
    let all = processes::descriptors(qemu);
    let (number, _) = all.iter().find(|(_, link)| link.starts_with("/memfd:hcs-memory")).expect("the memory");
    let memory =
        fs::File::options().write(true).read(true).open(format!("/proc/{qemu}/fd/{number}")).unwrap();
    let length = memory.metadata().unwrap().len();
    for other in [0, length - 4096, length + 4096] {
        let error = memory.set_len(other).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::PERM.raw_os_error()), "{other}");
    }
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}
