//! Containers whose root is nobody on the host.

use std::{fs, os::unix::fs::MetadataExt};

use hcs::{
    Cause, System,
    schema::{
        ComputeSystem, Layer, ModifyRequestType, NetworkLinux, NetworkMode, Networking, OciSpecification,
        ProcessParameters, Storage,
    },
};
use hcs_tests::{Service, processes};

use crate::{command, output, read_all, refused, run, script};

/// Where the container's users begin on the host.
const FIRST: u32 = 700_000;

fn document(service: &Service) -> ComputeSystem {
    let text = format!(
        r#"{{"linux":{{"namespaces":[{{"type":"pid"}},{{"type":"network"}},{{"type":"mount"}},{{"type":"ipc"}},
            {{"type":"uts"}},{{"type":"user"}}],
            "uidMappings":[{{"containerID":0,"hostID":{FIRST},"size":65536}}],
            "gidMappings":[{{"containerID":0,"hostID":{FIRST},"size":65536}}]}}}}"#
    );
    let oci = serde_json::from_str::<OciSpecification>(&text).unwrap();
    service.document_with(|container| container.oci_specification(oci))
}

fn shifted(service: &Service) -> System {
    service.running_from("web", &document(service))
}

#[test]
fn root_is_root_inside_and_nobody_outside() {
    let service = Service::start();
    let system = shifted(&service);
    assert_eq!(output(&system, "id -u; id -g"), "0\n0\n");
    // The image belongs to whom it says.
    assert_eq!(output(&system, "stat -c %u:%g /bin /etc/passwd"), "0:0\n0:0\n");
    output(&system, "echo mine > /tmp/file; chown 1000:1001 /tmp/file");
    let made = fs::metadata(service.rootfs().join("tmp/file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 1001));
    let worker = service.worker(&system);
    let sleeper = run(&system, &command(&["sleep", "1000"]));
    for pid in processes::children(worker) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains(&format!("Uid:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}")), "{status}");
    }
    drop(sleeper);
    // What belongs to the host's root is out of reach, also where its namespace would let one in.
    output(
        &system,
        "! echo x > /proc/sys/vm/overcommit_memory 2>/dev/null && ! chroot /proc/1/root 2>/dev/null",
    );
    assert_eq!(output(&system, "cat /proc/self/uid_map | tr -s ' '").trim(), format!("0 {FIRST} 65536"));
}

#[test]
fn devices_terminals_users_and_streams_are_as_everywhere() {
    let service = Service::start();
    let system = shifted(&service);
    output(
        &system,
        "echo x > /dev/null; head -c 4 /dev/urandom | wc -c | grep -q 4; : > /dev/shm/x; ls /dev/pts/ptmx",
    );
    output(&system, "! mknod /tmp/mem c 1 1 2>/dev/null");
    let on_terminal = command(&["sh", "-c", "tty; stat -c %u /dev/pts/0"]).emulate_console(true);
    let mut process = run(&system, &ProcessParameters { create_std_err_pipe: None, ..on_terminal });
    crate::process::await_line(&process.pipes.stdout.take().unwrap(), "/dev/pts/0");
    assert_eq!(process.wait_blocking().unwrap().exit_code, Some(0));
    let as_web = script("id -u; id -g; echo again > /dev/stdout").user("web".to_owned());
    let mut process = run(&system, &as_web);
    assert_eq!(
        process.wait_blocking().unwrap().exit_code,
        Some(0),
        "{}",
        read_all(process.pipes.stderr.take())
    );
    assert_eq!(read_all(process.pipes.stdout.take()), "1000\n1001\nagain\n");
    let beyond = command(&["true"]).user("70000".to_owned());
    let error = refused(system.run(&beyond).wait(), Cause::InvalidData);
    assert!(error.message.contains("User"), "{error}");
}

#[test]
fn what_is_mapped_belongs_to_the_host_and_can_come_later() {
    let service = Service::start();
    let data = service.root().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "of the host").unwrap();
    let system = shifted(&service);
    let directory = format!(r#"{{"HostPath":{data:?},"ContainerPath":"/data/here"}}"#);
    crate::modify::change(&system, ModifyRequestType::Add, "Container/MappedDirectories", &directory)
        .unwrap();
    assert_eq!(output(&system, "cat /data/here/file; stat -c %u /data/here/file"), "of the host65534\n");
    output(&system, "! touch /data/here/other 2>/dev/null");
    system.pause(None).wait().unwrap();
    system.resume().wait().unwrap();
}

#[test]
fn a_network_in_user_mode_is_connected_all_the_same() {
    let service = Service::start();
    let mut document = document(&service);
    let container = document.container.take().unwrap();
    let linux = NetworkLinux::default().mode(NetworkMode::User);
    document.container = Some(container.networking(Networking::default().linux(linux)));
    let system = service.running_from("web", &document);
    assert_eq!(output(&system, "ls /sys/class/net | grep -vc '^lo$'"), "1\n");
    assert!(output(&system, "ip route").starts_with("default via"));
}

#[test]
fn what_cannot_be_had_is_refused() {
    let service = Service::start();
    let mut document = document(&service);
    let container = document.container.take().unwrap();
    let layers = vec![Layer::default().path(service.rootfs().display().to_string())];
    let storage =
        Storage::default().path(service.root().join("scratch").display().to_string()).layers(layers);
    document.container = Some(container.storage(storage));
    fs::create_dir(service.root().join("scratch")).unwrap();
    let error = refused(service.client().create("web", &document).wait(), Cause::NotSupported);
    assert!(error.message.contains("namespaces"), "{error}");
}
