//! Changes of a container that runs.

use std::{fs, os::unix::net::UnixListener};

use hcs::{
    Cause, Error, System,
    schema::{Any, ModifyRequestType, ModifySettingRequest},
};
use hcs_tests::Service;

use crate::{exit_code, output, refused, run, script};

pub fn change(system: &System, kind: ModifyRequestType, path: &str, settings: &str) -> Result<(), Error> {
    let request = ModifySettingRequest::default()
        .resource_path(path)
        .request_type(kind)
        .settings(Any::from_text(settings).unwrap());
    system.modify(&request).wait()
}

fn update(system: &System, path: &str, settings: &str) -> Result<(), Error> {
    change(system, ModifyRequestType::Update, path, settings)
}

/// A script that takes as much memory as that, and nothing else that grows.
fn take(megabytes: u32) -> String {
    format!("head -c {}m /dev/zero | tail -c {}m | wc -c", megabytes, megabytes)
}

#[test]
fn the_limit_of_memory_is_lowered_and_lifted_while_processes_run() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    assert_eq!(output(&system, &take(64)).trim(), (64 << 20).to_string());
    update(&system, "Container/Memory/SizeInMB", "32").unwrap();
    let killed =
        run(&system, &script(&format!("tail -c 64m /dev/zero & head -c 64m /dev/zero | {}", "tail -c 64m")));
    assert_ne!(exit_code(&killed), 0, "more memory was taken than there is");
    update(&system, "Container/Memory/SizeInMB", "512").unwrap();
    assert_eq!(output(&system, &take(64)).trim(), (64 << 20).to_string());
    update(&system, "Container/Memory/SizeInMB", "0").unwrap();
}

#[test]
fn a_member_of_a_request_that_is_unknown_is_told_by_the_log() {
    let service = Service::start();
    let _system = service.running(&service.client(), "web");
    let call = r#"{"request":{"ResourcePath":"Container/Processor","RequestType":"Update","ResourcePth":"",
        "Settings":{"Weight":200,"Wait":200}}}"#;
    let called =
        service.hcs().args(["call", "--system", "web", "ModifyComputeSystem", call]).output().unwrap();
    assert!(called.status.success(), "{}", String::from_utf8_lossy(&called.stderr));
    let log = service.log();
    for told in ["$.ResourcePth: unknown member", "$.Settings.Wait"] {
        assert!(log.contains(told), "the log says nothing of {told}:\n{log}");
    }
}

#[test]
fn a_limit_below_what_is_in_use_is_refused_and_the_one_before_holds() {
    let service = Service::start();
    let document = service.document_with(|container| {
        let memory = hcs::schema::ContainerMemory::default().size_in_mb(256u64);
        container.memory(memory)
    });
    let system = service.running_from("web", &document);
    // In a tmpfs it cannot be given back.
    output(&system, "head -c 48m /dev/zero > /dev/shm/taken");
    let error = update(&system, "Container/Memory/SizeInMB", "16").unwrap_err();
    assert_eq!(error.cause, Cause::InUse, "{error}");
    assert_eq!(output(&system, &take(64)).trim(), (64 << 20).to_string());
}

#[test]
fn a_processor_limit_takes_effect_at_once_and_replaces_the_one_before() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    update(&system, "Container/Processor", r#"{"Maximum":500}"#).unwrap();
    let statistics = || {
        let query = serde_json::from_str(r#"{"PropertyTypes":["Statistics"]}"#).unwrap();
        let properties = system.properties(Some(&query)).wait().unwrap();
        properties.statistics.unwrap().processor.unwrap().total_runtime_100ns.unwrap()
    };
    let used = || {
        let before = statistics();
        output(&system, "i=0; timeout 1 sh -c 'while :; do :; done'; true");
        statistics() - before
    };
    let limited = used();
    update(&system, "Container/Processor", r#"{"Weight":200}"#).unwrap();
    // 500 of 10000 of all processors, against a whole one as far as the machine has it free. It has not at every time.
    let mut free = (0..3).map(|_| used()).inspect(|free| println!("free {free}"));
    assert!(free.any(|free| limited * 2 < free), "limited {limited}, and no more without a limit");
}

#[test]
fn folders_and_sockets_appear_and_go_while_the_container_runs() {
    let service = Service::start();
    let folder = service.root().join("data");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "content").unwrap();
    let system = service.running(&service.client(), "web");
    let mounts = || output(&system, "wc -l < /proc/self/mountinfo");
    let before = mounts();
    let settings =
        format!(r#"{{"HostPath":"{}","ContainerPath":"/srv/data","ReadOnly":true}}"#, folder.display());
    let directories = "Container/MappedDirectories";
    change(&system, ModifyRequestType::Add, directories, &settings).unwrap();
    assert_eq!(output(&system, "cat /srv/data/file"), "content");
    assert_eq!(output(&system, "(echo x > /srv/data/made) 2>&1 | grep -c Read-only").trim(), "1");
    let again = change(&system, ModifyRequestType::Add, directories, &settings);
    refused(again, Cause::AlreadyExists);
    // Also while it is paused, and with a file open in it.
    let reader = run(
        &system,
        &script(
            "exec 3< /srv/data/file; touch /tmp/open; while [ -e /tmp/open ]; do sleep 0.01; done; cat <&3",
        ),
    );
    output(&system, "while ! [ -e /tmp/open ]; do sleep 0.01; done");
    system.pause(None).wait().unwrap();
    change(&system, ModifyRequestType::Remove, directories, r#"{"ContainerPath":"/srv/data"}"#).unwrap();
    system.resume().wait().unwrap();
    assert_eq!(output(&system, "ls /srv/data; rm /tmp/open"), "");
    assert_eq!(exit_code(&reader), 0);
    assert_eq!(mounts(), before);
    let gone = change(&system, ModifyRequestType::Remove, directories, r#"{"ContainerPath":"/srv/data"}"#);
    refused(gone, Cause::NotFound);

    let socket = service.root().join("host.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let settings = format!(r#"{{"HostPath":"{}","ContainerPipeName":"engine"}}"#, socket.display());
    change(&system, ModifyRequestType::Add, "Container/MappedPipes", &settings).unwrap();
    output(&system, "test -S /run/engine");
    change(&system, ModifyRequestType::Remove, "Container/MappedPipes", r#"{"ContainerPipeName":"engine"}"#)
        .unwrap();
    output(&system, "! test -S /run/engine");
}

#[test]
fn what_the_container_mounts_itself_is_not_taken_for_a_mapping() {
    let service = Service::start();
    let folder = service.root().join("data");
    fs::create_dir(&folder).unwrap();
    let host = format!(r#"{{"HostPath":"{}","ContainerPath":"/srv"}}"#, folder.display());
    let system = service.running(&service.client(), "web");
    change(&system, ModifyRequestType::Add, "Container/MappedDirectories", &host).unwrap();
    // A second mapping below the first lies on top; the first stays as long as it is named.
    let inner = format!(r#"{{"HostPath":"{}","ContainerPath":"/srv/inner"}}"#, folder.display());
    change(&system, ModifyRequestType::Add, "Container/MappedDirectories", &inner).unwrap();
    let missing = r#"{"HostPath":"/no/such/folder","ContainerPath":"/other"}"#;
    let error = refused(
        change(&system, ModifyRequestType::Add, "Container/MappedDirectories", missing),
        Cause::FileNotFound,
    );
    assert!(error.message.contains("$.Settings.HostPath"), "{error}");
    output(&system, "! test -e /other");
    change(
        &system,
        ModifyRequestType::Remove,
        "Container/MappedDirectories",
        r#"{"ContainerPath":"/srv/inner"}"#,
    )
    .unwrap();
    assert!(output(&system, "cat /proc/mounts").contains(" /srv "));
}

#[test]
fn a_created_container_is_changed_before_it_starts() {
    let service = Service::start();
    let folder = service.root().join("data");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "content").unwrap();
    let system = service.client().create("web", &service.document()).wait().unwrap();
    let place = |path: &str| format!(r#"{{"HostPath":"{}","ContainerPath":"{path}"}}"#, folder.display());
    change(&system, ModifyRequestType::Add, "Container/MappedDirectories", &place("/a")).unwrap();
    change(&system, ModifyRequestType::Add, "Container/MappedDirectories", &place("/b")).unwrap();
    change(&system, ModifyRequestType::Remove, "Container/MappedDirectories", r#"{"ContainerPath":"/a"}"#)
        .unwrap();
    update(&system, "Container/Memory/SizeInMB", "64").unwrap();
    system.start().wait().unwrap();
    assert_eq!(output(&system, "cat /b/file; ls /a 2>/dev/null || true"), "content");
}
