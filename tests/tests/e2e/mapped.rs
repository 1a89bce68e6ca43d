//! Folders and sockets of the host in a container.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use hcs::{
    Cause, Error,
    schema::{ComputeSystem, MappedDirectory, MappedPipe},
};
use hcs_tests::Service;

use crate::{output, refused};

fn folder(service: &Service, name: &str) -> PathBuf {
    let folder = service.root().join(name);
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("file"), name).expect("a file");
    folder
}

fn directory(host: &Path, container: &str) -> MappedDirectory {
    MappedDirectory::default().host_path(host.display().to_string()).container_path(container)
}

/// The service's document with these folders.
fn with(service: &Service, directories: Vec<MappedDirectory>) -> ComputeSystem {
    service.document_with(|container| container.mapped_directories(directories))
}

fn failure(service: &Service, document: &ComputeSystem, cause: Cause) -> Error {
    let error = refused(service.client().create("web", document).wait(), cause);
    assert!(service.client().list(None).wait().expect("a list").is_empty());
    error
}

#[test]
fn mapped_folders_appear_where_they_are_wanted_and_are_written_only_if_allowed() {
    let service = Service::start();
    let (open, closed) = (folder(&service, "open"), folder(&service, "closed"));
    let document = with(
        &service,
        vec![directory(&open, "/srv/deep/open"), directory(&closed, "/closed").read_only(true)],
    );
    let system = service.client().create("web", &document).wait().unwrap();
    system.start().wait().unwrap();
    assert_eq!(output(&system, "cat /srv/deep/open/file /closed/file"), "openclosed");
    output(&system, "echo new > /srv/deep/open/made");
    assert_eq!(fs::read_to_string(open.join("made")).unwrap(), "new\n");
    assert_eq!(output(&system, "(echo x > /closed/made) 2>&1 | grep -c Read-only").trim(), "1");
    assert!(!closed.join("made").exists());
    // What the host adds is there at once; programs with privileges and devices in it have no effect.
    fs::write(open.join("later"), "later").unwrap();
    assert_eq!(output(&system, "cat /srv/deep/open/later"), "later");
    let options = output(&system, "grep ' /srv/deep/open ' /proc/mounts");
    assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
    system.terminate().wait().unwrap();
    assert!(open.join("file").exists(), "the host's folder is untouched by the end of the container");
}

#[test]
fn what_is_missing_or_no_folder_is_told_with_its_member_and_nothing_is_made() {
    let service = Service::start();
    let good = folder(&service, "good");
    let missing = with(&service, vec![directory(&good, "/a"), directory(Path::new("/no/such/folder"), "/b")]);
    let error = failure(&service, &missing, Cause::FileNotFound);
    assert!(error.message.contains("$.Container.MappedDirectories[1].HostPath"), "{error}");
    let file = with(&service, vec![directory(&good.join("file"), "/a")]);
    let error = failure(&service, &file, Cause::InvalidData);
    assert!(error.message.contains("$.Container.MappedDirectories[0].HostPath"), "{error}");
    let reserved = with(&service, vec![directory(&good, "/proc/sys")]);
    failure(&service, &reserved, Cause::InvalidData);
}

#[test]
fn links_of_an_image_do_not_lead_a_mapping_out_of_it() {
    let service = Service::start();
    let data = folder(&service, "data");
    let outside = folder(&service, "outside");
    // Out by dots, out by an absolute name, and out through what init holds open.
    for (name, target) in [
        ("dots", format!("../../../../../../../..{}", outside.display())),
        ("absolute", outside.display().to_string()),
    ] {
        symlink(target, service.rootfs().join(name)).unwrap();
    }
    let directories = vec![directory(&data, "/dots/in"), directory(&data, "/absolute/other")];
    let system = service.client().create("web", &with(&service, directories)).wait().unwrap();
    // Inside, the way leads to nothing, and nothing is made outside.
    assert!(system.start().wait().is_err(), "a mapping went through a link that leads out");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "something was made outside");
    system.terminate().wait().unwrap();

    symlink("/proc/self/fd", service.rootfs().join("magic")).unwrap();
    let system = service
        .client()
        .create("magic", &with(&service, vec![directory(&data, "/magic/3/x")]))
        .wait()
        .unwrap();
    assert!(system.start().wait().is_err(), "a descriptor was taken for a place");
    system.terminate().wait().unwrap();
}

#[test]
fn a_mapped_pipe_is_the_socket_of_the_host() {
    let service = Service::start();
    let socket = service.root().join("host.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let pipe = MappedPipe::default().host_path(socket.display().to_string()).container_pipe_name("engine");
    let document = service.document_with(|container| container.mapped_pipes(vec![pipe]));
    let system = service.client().create("web", &document).wait().unwrap();
    system.start().wait().unwrap();
    let inode = fs::metadata(&socket).unwrap().ino();
    assert_eq!(output(&system, "test -S /run/engine && stat -c %i /run/engine").trim(), inode.to_string());
    system.terminate().wait().unwrap();
}
