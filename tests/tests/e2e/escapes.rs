//! What hostile processes in a container try, and what a hostile image does to the service.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use hcs::schema::{MappedDirectory, OciProcess, OciSpecification, ProcessParameters};
use hcs_tests::{Service, host, leftovers::Leftovers, processes};
use rustix::fs::{CWD, RenameFlags};
use serde_json::json;

use crate::{command, output, read_all, run, script};

/// The worker's program, as it is on the disk.
fn program() -> Vec<u8> {
    fs::read(hcs_tests::binaries::find("hcs-worker")).expect("the worker's program")
}

/// The flaw of many a runtime: a process that is told to run /proc/self/exe runs the runtime itself, and another
/// process in the container writes to that through /proc.
#[test]
fn the_workers_program_cannot_be_written_by_who_runs_it() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    let before = program();
    // Its standard input is open and silent, so it waits as a worker does.
    let waits = command(&["/proc/self/exe"]).create_std_in_pipe(true);
    let itself = run(&system, &waits);
    let attack = format!(
        "id={id}; exec 7</proc/$id/exe || exit 7
         (echo x >/proc/$id/exe) 2>/dev/null && echo written
         (echo x >>/proc/self/fd/7) 2>/dev/null && echo written
         kill -9 $id
         for i in 1 2 3 4 5 6 7 8 9; do (echo x >>/proc/self/fd/7) 2>/dev/null && echo written; done
         echo tried",
        id = itself.id()
    );
    let said = read_all(run(&system, &script(&attack)).pipes.stdout.take());
    assert!(["", "tried\n"].contains(&said.as_str()), "{said}");
    assert!(before == program(), "the worker's program has changed");
}

/// Between its entry and its exec a new process has the worker's memory and its descriptors.
#[test]
fn a_process_that_is_entering_cannot_be_looked_into() {
    enter_under_a_spys_eyes(0);
}

/// The host's setting for debugging: who changes its user can be traced by it again.
#[test]
fn a_process_that_becomes_another_user_cannot_be_looked_into_on_a_host_that_allows_it() {
    const SETTING: &str = "/proc/sys/fs/suid_dumpable";
    let before = fs::read(SETTING).unwrap();
    fs::write(SETTING, "1").unwrap();
    let outcome = std::panic::catch_unwind(|| enter_under_a_spys_eyes(1000));
    fs::write(SETTING, before).unwrap();
    outcome.unwrap();
}

fn enter_under_a_spys_eyes(user: u32) {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    let who = user.to_string();
    let spy = run(
        &system,
        &script(
            "until test -e /tmp/stop; do
                 for of in /proc/[0-9]*; do
                     read name <$of/comm && [ \"$name\" = hcs-worker ] || continue
                     echo seen
                     true 8<>$of/mem && read name <$of/comm && [ \"$name\" = hcs-worker ] && echo written to
                     readlink $of/fd/3 $of/exe $of/root $of/cwd && [ \"$(cat $of/comm)\" = hcs-worker ] && echo looked into
                 done
             done 2>/dev/null",
        )
        .user(who.clone()),
    );
    for _ in 0..300 {
        run(&system, &command(&["true"]).user(who.clone())).wait_blocking().unwrap();
    }
    output(&system, "touch /tmp/stop");
    let mut spy = spy;
    let said = read_all(spy.pipes.stdout.take());
    println!("seen {} times while entering", said.matches("seen").count());
    assert!(!said.contains("into") && !said.contains("to"), "{said}");
}

/// An image whose folders change into links while the service makes mounts in them.
#[test]
fn a_race_with_links_never_leads_a_mapping_out_of_the_image() {
    let service = Service::start();
    let (data, outside) = (service.root().join("data"), service.root().join("outside"));
    for folder in [&data, &outside] {
        fs::create_dir(folder).unwrap();
    }
    let before = fs::metadata(&outside).unwrap();
    let (place, link) = (service.rootfs().join("place"), service.rootfs().join("link"));
    fs::create_dir(&place).unwrap();
    let up = "../".repeat(service.rootfs().components().count());
    symlink(format!("{up}{}", outside.display()), &link).unwrap();
    let directory = MappedDirectory::default()
        .host_path(data.display().to_string())
        .container_path("/place/deep/er".to_owned());
    let document = service.document_with(|container| container.mapped_directories(vec![directory]));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &place, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let client = service.client();
        let (mut started, mut refused) = (0, 0);
        for number in 0..60 {
            let system = client.create(&format!("race-{number}"), &document).wait().unwrap();
            // Either outcome is right, as long as it is inside.
            match system.start().wait() {
                Ok(()) => started += 1,
                Err(_) => refused += 1,
            }
            system.terminate().wait().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        println!("{started} started, {refused} did not");
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was made outside");
    assert_eq!(fs::metadata(&outside).unwrap().mtime_nsec(), before.mtime_nsec());
}

/// The flaw of many another runtime: a process whose working directory, or whose program, is a descriptor of the runtime
/// begins where the runtime is.
#[test]
fn a_descriptor_of_the_worker_leads_no_process_out_of_the_container() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    let marker = format!("..{}", "/..".repeat(12)) + service.root().to_str().unwrap();
    let mut began = 0;
    for number in 3..64 {
        let place = format!("/proc/self/fd/{number}");
        let looks =
            script(&format!("test -e {marker} && echo the host; test -e ./bin/busybox && echo inside"));
        if let Ok(mut process) = system.run(&looks.working_directory(place.clone())).wait() {
            began += 1;
            // That of the container's own root is one.
            assert_eq!(read_all(process.pipes.stdout.take()), "inside\n", "{place}");
        }
        for program in [place.clone(), format!("{place}{marker}/rootfs/bin/busybox")] {
            assert!(system.run(&command(&[&program])).wait().is_err(), "{program} was run");
        }
    }
    println!("{began} began in a folder that the worker has open");
}

/// Files of the kernel by which it runs programs of the host, or does what is asked for, on behalf of whoever writes there.
#[test]
fn what_the_kernel_runs_or_does_for_the_host_cannot_be_set() {
    const FILES: &[&str] = &[
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/power/state",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/rdma/release_agent",
    ];
    let pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = pattern();
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    let tries = format!(
        "for file in {}; do (printf '|/bin/false' >$file) 2>/dev/null && echo written: $file; done; echo tried",
        FILES.join(" ")
    );
    assert_eq!(output(&system, &tries), "tried\n");
    assert_eq!(pattern(), before);
    // Nor is there a way to mount what has them.
    output(
        &system,
        "mkdir /tmp/c; ! mount -t cgroup -o memory c /tmp/c 2>/dev/null && ! mount -t proc p /tmp/c 2>/dev/null",
    );
}

#[test]
fn a_container_sees_no_process_no_cgroup_and_no_terminal_but_its_own() {
    let service = Service::start();
    let client = service.client();
    let (one, other) = (service.running(&client, "one"), service.running(&client, "other"));
    let secret = run(&other, &command(&["sleep", "1000"]));
    // Neither by the number that it has there nor by that of the host.
    let on_host = Leftovers::of(service.root())
        .processes
        .into_iter()
        .find(|pid| processes::read(*pid, "comm").trim() == "sleep")
        .expect("the process");
    let looks = format!(
        "for id in {on_host} $(seq 2 300); do
             [ -e /proc/$id ] && [ \"$(cat /proc/$id/comm 2>/dev/null)\" = sleep ] && echo seen
         done
         kill -9 {on_host} 2>/dev/null && echo killed
         echo looked"
    );
    assert_eq!(output(&one, &looks), "looked\n");
    assert!(processes::is_alive(on_host));
    // A cgroup begins with its own, and says nothing of those above.
    let cgroups = output(&one, "cat /proc/self/cgroup /proc/1/cgroup");
    assert!(cgroups.lines().all(|line| line.ends_with(":/")), "{cgroups}");
    // What is typed into a console is typed into one of the container's own (TIOCSTI), which the host's terminals are not.
    let looks = ["sh", "-c", "(tty; stat -c %d /dev/pts/0) >/tmp/console"].map(str::to_owned);
    let console = ProcessParameters::default().command_args(looks.to_vec()).emulate_console(true);
    assert_eq!(crate::exit_code(&run(&one, &console.create_std_in_pipe(true).create_std_out_pipe(true))), 0);
    let said = output(&one, "cat /tmp/console");
    let (tty, device) = said.trim().split_once('\n').expect("two lines");
    assert_eq!(tty, "/dev/pts/0");
    assert_ne!(device, fs::metadata("/dev/pts").unwrap().dev().to_string());
    drop(secret);
}

/// A container that was given the right to mount, as far as an OCI specification can ask for it.
#[test]
fn what_a_container_mounts_is_never_mounted_on_the_host() {
    let service = Service::start();
    let shared = service.root().join("shared");
    fs::create_dir(&shared).unwrap();
    let specification = json!({
        "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}, "capabilities": {
            "bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"]}},
        "root": {"path": service.rootfs()},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/shared", "type": "bind", "source": shared, "options": ["rbind"]}
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}
    });
    let specification: OciSpecification = serde_json::from_value(specification).unwrap();
    let document = service.document_with(|container| container.oci_specification(specification));
    let system = service.running_from("web", &document);
    let mut mounter = run(
        &system,
        &ProcessParameters::default()
            .create_std_out_pipe(true)
            .oci_process(serde_json::from_value::<OciProcess>(json!({
                "cwd": "/", "user": {"uid": 0, "gid": 0},
                "args": ["sh", "-c", "mount -t tmpfs t /shared && echo inside >/shared/file && cat /shared/file && mount --bind /tmp /shared && grep -c ' /shared ' /proc/mounts"],
                "env": ["PATH=/bin"],
                "capabilities": {"bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"]}
            })).unwrap()),
    );
    assert_eq!(read_all(mounter.pipes.stdout.take()), "inside\n3\n");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0, "what was mounted inside is seen outside");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(shared.to_str().unwrap()), "{mounts}");
}

/// Keys are handed on from process to process. The usual filter allows no use of them; that of a specification may.
#[test]
fn a_container_that_may_use_keys_has_keys_of_its_own() {
    let service = Service::start();
    crate::confinement::build(&service, "session_keys");
    let specification = json!({
        "process": {"cwd": "/", "args": ["session_keys"], "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]},
        "root": {"path": service.rootfs()},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}
    });
    let specification: OciSpecification = serde_json::from_value(specification).unwrap();
    let document = service.document_with(|container| container.oci_specification(specification));
    let keys = |id: &str| -> u64 {
        let system = service.running_from(id, &document);
        let said = [(); 2].map(|()| {
            let mut process = run(&system, &ProcessParameters::default().create_std_out_pipe(true));
            read_all(process.pipes.stdout.take())
        });
        assert_eq!(said[0], said[1], "one container has two sessions");
        said[0].trim().parse().expect("the number of a keyring")
    };
    let of_host = host(service.rootfs().join("bin/session_keys").to_str().unwrap(), &[]);
    let all = [keys("one"), keys("other"), of_host.trim().parse().unwrap()];
    assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2], "{all:?}");
}

/// A folder that a container shares with the host is written by both, so what one puts there the other may meet.
#[test]
fn a_device_or_a_program_with_privileges_in_a_shared_folder_is_of_no_use() {
    let service = Service::start();
    let shared = service.root().join("shared");
    fs::create_dir(&shared).unwrap();
    let at = |name: &str| shared.join(name).display().to_string();
    host("mknod", &["-m", "666", &at("memory"), "c", "1", "1"]);
    host("mknod", &["-m", "666", &at("nothing"), "c", "1", "3"]);
    host("cp", &["/bin/busybox", &at("busybox")]);
    host("chmod", &["4755", &at("busybox")]);
    let directory =
        MappedDirectory::default().host_path(shared.display().to_string()).container_path("/shared");
    let document = service.document_with(|container| container.mapped_directories(vec![directory]));
    let system = service.running_from("web", &document);
    output(&system, "! cat /shared/nothing 2>/dev/null && ! head -c 1 /shared/memory 2>/dev/null");
    let mut raised = run(&system, &command(&["/shared/busybox", "id", "-u"]).user("web"));
    assert_eq!(read_all(raised.pipes.stdout.take()), "1000\n");
}
