//! The root file system: unions of layers, and limits of its disk.

use std::{fs, path::PathBuf, time::Instant};

use hcs::{
    Cause,
    schema::{ComputeSystem, Layer, Storage, StorageQoS},
};
use hcs_tests::Service;

use crate::{output, refused};

fn folder(service: &Service, name: &str) -> PathBuf {
    let folder = service.root().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn layered(service: &Service, layers: &[PathBuf], scratch: &str) -> ComputeSystem {
    let layer = |path: &PathBuf| Layer::default().path(path.display().to_string());
    let storage = Storage::default()
        .path(service.root().join(scratch).display().to_string())
        .layers(layers.iter().map(layer).collect::<Vec<_>>());
    service.document_with(|container| container.storage(storage))
}

#[test]
fn layers_are_united_and_what_is_written_is_in_the_scratch_folder() {
    let service = Service::start();
    let (upper, marked, scratch) =
        (folder(&service, "b"), folder(&service, "a/fs"), folder(&service, "scratch"));
    fs::write(upper.join("file"), "upper").unwrap();
    fs::write(marked.join("file"), "lower").unwrap();
    fs::write(marked.join("other"), "lower").unwrap();
    // A layer that our own functions have made keeps its files in a folder.
    fs::write(service.root().join("a/layer.json"), "{}").unwrap();
    let layers = [upper.clone(), service.root().join("a"), service.rootfs()];
    let document = layered(&service, &layers, "scratch");
    for round in ["first", "second"] {
        let system = service.running_from("web", &document);
        assert_eq!(output(&system, "cat /file /other"), "upperlower");
        assert_eq!(
            output(&system, "cat /was 2>/dev/null || true").trim(),
            if round == "first" { "" } else { "first" }
        );
        output(&system, &format!("echo {round} > /was; rm -f /bin/ls"));
        system.terminate().wait().unwrap();
    }
    assert_eq!(fs::read_to_string(scratch.join("upper/was")).unwrap(), "second\n");
    assert!(service.rootfs().join("bin/ls").exists() || service.rootfs().join("bin/ls").is_symlink());
    assert!(!upper.join("was").exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&scratch.display().to_string()), "the union was mounted where the host sees it");
}

#[test]
fn a_hundred_layers_are_united() {
    let service = Service::start();
    folder(&service, "scratch");
    let mut layers: Vec<PathBuf> =
        (0..100).map(|number| folder(&service, &format!("layers/{number}"))).collect();
    for (number, layer) in layers.iter().enumerate() {
        fs::write(layer.join(format!("of-{number}")), "").unwrap();
        fs::write(layer.join("uppermost"), number.to_string()).unwrap();
    }
    layers.push(service.rootfs());
    let system = service.running_from("web", &layered(&service, &layers, "scratch"));
    assert_eq!(output(&system, "ls -d /of-* | wc -l; cat /uppermost"), "100\n0");
}

#[test]
fn a_layer_that_is_missing_is_told_with_its_member_and_nothing_is_made() {
    let service = Service::start();
    folder(&service, "scratch");
    let layers = [service.rootfs(), PathBuf::from("/no/such/layer")];
    let error = refused(
        service.client().create("web", &layered(&service, &layers, "scratch")).wait(),
        Cause::FileNotFound,
    );
    assert!(error.message.contains("$.Container.Storage.Layers[1].Path"), "{error}");
    let error = refused(
        service.client().create("web", &layered(&service, &[service.rootfs()], "none")).wait(),
        Cause::FileNotFound,
    );
    assert!(error.message.contains("$.Container.Storage.Path"), "{error}");
}

#[test]
fn what_is_written_to_the_disk_is_slowed_down_to_the_limit() {
    let service = Service::start();
    let with = |bytes: u64| {
        let storage = Storage::default()
            .path(service.rootfs().display().to_string())
            .qos(StorageQoS::default().bandwidth_maximum(bytes));
        service.document_with(|container| container.storage(storage))
    };
    let write = "dd if=/dev/zero of=/tmp/data bs=256k count=16 oflag=direct 2>/dev/null; rm /tmp/data";
    let timed = |id: &str, limit: u64| {
        let system = service.running_from(id, &with(limit));
        let began = Instant::now();
        output(&system, write);
        began.elapsed()
    };
    // Four MiB at two MiB a second, and without a limit that matters.
    let limited = timed("limited", 2 << 20);
    assert!(limited.as_secs_f64() > 1.0, "{limited:?}");
    // Others write to the disk as well; not at every time.
    let mut free = (0..3)
        .map(|number| timed(&format!("free-{number}"), 8 << 30))
        .inspect(|free| println!("free {free:?}"));
    assert!(free.any(|free| free < limited / 2), "limited {limited:?}, and no less without a limit");
}

#[test]
fn a_root_on_no_disk_has_no_limits_of_one() {
    let service = Service::start();
    let storage = Storage::default().path("/dev/shm").qos(StorageQoS::default().iops_maximum(10u64));
    let document = service.document_with(|container| container.storage(storage));
    let error = refused(service.client().create("web", &document).wait(), Cause::NotSupported);
    assert!(error.message.contains("$.Container.Storage.QoS"), "{error}");
}
