//! Containers that are made from an OCI runtime specification.

use hcs::{
    Cause, System,
    schema::{ComputeSystem, OciSpecification, ProcessParameters},
};
use hcs_tests::Service;
use serde_json::{Value, json};

use crate::{exit_code, output, read_all, refused, run};

fn document(service: &Service, specification: &Value) -> ComputeSystem {
    let specification: OciSpecification =
        serde_json::from_value(specification.clone()).expect("a specification");
    service.document_with(|container| container.oci_specification(specification))
}

/// What `runc spec` writes, as far as it matters here.
fn usual(service: &Service) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "user": {"uid": 1000, "gid": 1001}, "args": ["sh", "-c", "id -u; pwd; echo $GREETING"],
            "env": ["PATH=/usr/bin:/bin", "GREETING=hello"], "cwd": "/home/web", "noNewPrivileges": true,
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
        },
        "root": {"path": service.rootfs().display().to_string(), "readonly": true},
        "hostname": "from-oci",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/acpi", "/proc/kcore"],
            "readonlyPaths": ["/proc/bus", "/proc/sys"]
        }
    })
}

fn start(service: &Service, specification: &Value) -> System {
    service.running_from("web", &document(service, specification))
}

#[test]
fn what_other_runtimes_are_given_runs_here() {
    let service = Service::start();
    let system = start(&service, &usual(&service));
    // Without a program, the process that the container is for.
    let mut process = run(&system, &ProcessParameters::default().create_std_out_pipe(true));
    assert_eq!(read_all(process.pipes.stdout.take()), "1000\n/home/web\nhello\n");
    assert_eq!(exit_code(&process), 0);
    assert_eq!(output(&system, "hostname").trim(), "from-oci");
    assert_eq!(output(&system, "(touch /made) 2>&1 | grep -c Read-only").trim(), "1");
    output(&system, "echo 1 > /dev/shm/x && test -e /sys/fs/cgroup");
    assert_eq!(
        output(&system, "(mkdir /sys/fs/cgroup/x || mkdir /sys/fs/cgroup/memory/x) 2>&1 | grep -c Read-only")
            .trim(),
        "2"
    );
}

#[test]
fn mounts_are_made_in_their_order_with_their_options() {
    let service = Service::start();
    let data = service.root().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "content").unwrap();
    let mut specification = usual(&service);
    specification["root"]["readonly"] = json!(false);
    let mounts = specification["mounts"].as_array_mut().unwrap();
    mounts
        .push(json!({"destination": "/work", "type": "tmpfs", "options": ["size=1m", "mode=700", "noexec"]}));
    mounts.push(json!({"destination": "/work/data", "type": "bind", "source": data, "options": ["rbind", "ro", "nosuid"]}));
    mounts.push(json!({"destination": "/etc/one", "source": data.join("file"), "options": ["bind"]}));
    let system = start(&service, &specification);
    assert_eq!(output(&system, "cat /work/data/file /etc/one; stat -c %a /work"), "contentcontent700\n");
    assert_eq!(output(&system, "(echo x > /work/data/file) 2>&1 | grep -c Read-only").trim(), "1");
    output(&system, "! dd if=/dev/zero of=/work/big bs=1k count=2000 2>/dev/null");
    let mounts = output(&system, "cat /proc/mounts");
    let line = mounts.lines().find(|line| line.contains(" /work tmpfs")).unwrap();
    assert!(line.contains("noexec"), "{line}");
}

#[test]
fn settings_devices_limits_and_filters_are_those_of_the_specification() {
    let service = Service::start();
    let mut specification = usual(&service);
    specification["process"] = json!({"args": ["true"], "cwd": "/"});
    specification["domainname"] = json!("example");
    let linux = &mut specification["linux"];
    linux["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "12345678"});
    linux["devices"] = json!([{"type": "c", "path": "/dev/my-fuse", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 1000}]);
    linux["resources"]["pids"] = json!({"limit": 64});
    linux["resources"]["memory"] = json!({"limit": 64 << 20});
    linux["resources"]["cpu"] = json!({"shares": 512, "quota": 50000, "period": 100000});
    linux["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 85}]
    });
    let system = start(&service, &specification);
    assert_eq!(
        output(
            &system,
            "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/domainname"
        ),
        "1\n12345678\nexample\n"
    );
    assert_eq!(output(&system, "stat -c '%t:%T %a %u' /dev/my-fuse").trim(), "a:e5 600 1000");
    output(&system, "exec 3<> /dev/my-fuse");
    assert_eq!(output(&system, "(mkdir /tmp/x) 2>&1 | grep -c 'restart'").trim(), "1");
    // A shell that makes a hundred processes at once does not get them.
    output(&system, "! sh -c 'i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done' 2>/dev/null");
}

#[test]
fn what_would_be_lost_or_lead_to_the_host_is_refused_with_its_member() {
    let service = Service::start();
    type Change = fn(&mut Value);
    let cases: &[(Change, Cause, &str)] = &[
        (
            |spec| spec["hooks"] = json!({"prestart": [{"path": "/bin/true"}]}),
            Cause::NotSupported,
            "OciSpecification.hooks",
        ),
        (
            |spec| spec["windows"] = json!({"layerFolders": ["x"]}),
            Cause::NotSupported,
            "OciSpecification.windows",
        ),
        (
            |spec| spec["linux"]["namespaces"] = json!([{"type": "pid"}]),
            Cause::NotSupported,
            "linux.namespaces",
        ),
        (
            |spec| spec["linux"]["namespaces"][0]["path"] = json!("/proc/1/ns/pid"),
            Cause::NotSupported,
            "namespaces[0].path",
        ),
        (
            |spec| spec["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/tmp/x"}),
            Cause::NotSupported,
            "kernel.core_pattern",
        ),
        (
            |spec| spec["linux"]["sysctl"] = json!({"net.../../kernel/core_pattern": "x"}),
            Cause::InvalidData,
            "linux.sysctl",
        ),
        (
            |spec| spec["mounts"][0]["destination"] = json!("/proc/sys"),
            Cause::NotSupported,
            "mounts[0].destination",
        ),
        (
            |spec| spec["mounts"][1]["destination"] = json!("/x/../dev"),
            Cause::InvalidData,
            "mounts[1].destination",
        ),
        (
            |spec| spec["mounts"][1] = json!({"destination": "/x", "type": "ext4", "source": "/dev/vda"}),
            Cause::NotSupported,
            "mounts[1].type",
        ),
        (
            |spec| spec["mounts"][1] = json!({"destination": "/x", "type": "bind", "source": "/no/such"}),
            Cause::FileNotFound,
            "mounts[1].source",
        ),
        (
            |spec| spec["mounts"][5]["options"] = json!(["nosuid", "noexec", "nodev"]),
            Cause::NotSupported,
            "mounts[5].options",
        ),
        (
            |spec| spec["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]),
            Cause::NotSupported,
            "resources.devices[0]",
        ),
        (
            |spec| spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1}]),
            Cause::InvalidData,
            "uidMappings",
        ),
        (|spec| spec["process"]["selinuxLabel"] = json!("x"), Cause::NotSupported, "process.selinuxLabel"),
    ];
    for (change, cause, place) in cases {
        let mut specification = usual(&service);
        change(&mut specification);
        let error =
            refused(service.client().create("web", &document(&service, &specification)).wait(), *cause);
        assert!(error.message.contains(place), "{place}: {error}");
    }
    let mut specification = usual(&service);
    specification["hostname"] = json!("one");
    let document = document(&service, &specification);
    let container = document.container.clone().unwrap();
    let document = document.container(container.guest_os(hcs::schema::GuestOs::default().host_name("two")));
    let error = refused(service.client().create("web", &document).wait(), Cause::InvalidData);
    assert!(error.message.contains("GuestOs.HostName"), "{error}");
}
