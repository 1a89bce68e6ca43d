//! Who may use the service.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
};

use hcs_tests::{Service, binaries, rootfs};

const NOBODY: u32 = 65_534;

#[test]
fn another_user_is_refused_at_the_socket_and_by_the_service() {
    let service = Service::start();
    // The build's folder may be closed to others.
    let program = service.root().join("hcs");
    rootfs::copy_program(&binaries::find("hcs"), &program);
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let run_as = |uid: u32, verb: &str| {
        let mut command = std::process::Command::new(&program);
        command.arg("--socket").arg(service.socket()).arg(verb).uid(uid).gid(uid).output().unwrap()
    };
    let try_as = |uid: u32| {
        let output = run_as(uid, "list");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // HCS_E_ACCESS_DENIED, whether the file's rights or the service say so.
    let (code, message) = try_as(NOBODY);
    assert_eq!(code, Some(4));
    assert!(message.contains("0x8037011B"), "{message}");
    fs::set_permissions(service.socket(), Permissions::from_mode(0o666)).unwrap();
    let (code, message) = try_as(NOBODY);
    assert_eq!(code, Some(4));
    assert!(message.contains("0x8037011B") && message.contains(&NOBODY.to_string()), "{message}");
    assert_eq!(try_as(0), (Some(0), String::new()));
    let advised = run_as(NOBODY, "doctor");
    assert_eq!(advised.status.code(), Some(1));
    let told = String::from_utf8(advised.stdout).unwrap();
    assert!(told.contains("join the group hcs") && told.contains("Containers cannot run here."), "{told}");
}

#[test]
fn a_handle_is_of_no_use_to_another_client() {
    let service = Service::start();
    let (one, other) = (service.client(), service.client());
    let system = service.running(&one, "web");
    let call = hcs::compute::GetComputeSystemProperties { handle: system.handle(), query: None };
    assert!(one.link().call_wait(&call).is_ok());
    crate::refused(other.link().call_wait(&call), hcs::Cause::InvalidHandle);
}
