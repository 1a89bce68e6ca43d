//! `hcs template`: what it prints is a system, once the files are there.

use std::{fs, path::Path};

use hcs_tests::{Service, machine::Guest};

use crate::cli::text;

/// A system of a template, created from its document as a person does it, and started.
fn starts(service: &Service, name: &str, arguments: &[&str]) {
    let printed = service.hcs().args(["template", name]).args(arguments).output().unwrap();
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let path = service.root().join(format!("{name}.json"));
    fs::write(&path, &printed.stdout).unwrap();
    for verb in [vec!["validate"], vec!["create", name]] {
        let done = service.hcs().args(&verb).arg(&path).output().unwrap();
        assert!(done.status.success(), "{verb:?} {name}: {}", text(&done.stderr));
    }
    for verb in ["start", "kill"] {
        let done = service.hcs().args([verb, name]).output().unwrap();
        assert!(done.status.success(), "{verb} {name}: {}", text(&done.stderr));
    }
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn containers_of_templates_run() {
    let service = Service::start();
    let root = service.rootfs();
    starts(&service, "container", &["--path", name(&root), "--memory", "64M"]);
    let (base, scratch) = (service.root().join("base"), service.root().join("scratch"));
    hcs_tests::host("cp", &["-a", name(&root), name(&service.root().join("content"))]);
    fs::create_dir_all(&base).unwrap();
    hcs_tests::host("cp", &["-a", name(&root), name(&base.join("fs"))]);
    for arguments in [["layer", "base", name(&base)], ["layer", "init", name(&scratch)]] {
        let done = service.hcs().args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }
    starts(&service, "layered-container", &["--path", name(&scratch), "--layer", name(&base)]);
}

#[test]
fn machines_of_templates_run() {
    let service = Service::start();
    let guest = Guest::utility(service.root(), &service.rootfs());
    let (kernel, initrd) = (guest.folder().join("kernel"), guest.folder().join("initrd"));
    let files = ["--kernel", name(&kernel), "--initrd", name(&initrd), "--memory", "256M"];
    starts(&service, "linux-vm", &files);
    starts(&service, "utility-vm", &files);
    let disk = service.root().join("disk.raw");
    fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let granted = service.hcs().args(["access", "grant", "uefi-vm", "--file", name(&disk)]).status().unwrap();
    assert!(granted.success());
    starts(&service, "uefi-vm", &["--disk", name(&disk), "--memory", "384M"]);
}
