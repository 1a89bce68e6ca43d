//! Programs that the documentation shows, and that of the README, do what is said there.

use std::{fs, path::Path, process::Command};

use hcs_tests::Service;

use crate::c_library::{self, folder};

#[path = "../../../client/hcs/examples/embed.rs"]
#[expect(dead_code, reason = "the program's own beginning")]
mod embed;

/// What a program of C says, which is given the root file system.
fn said(service: &Service, at: &Path, program: &Path) -> String {
    let output = Command::new(program)
        .arg(service.rootfs())
        .env("LD_LIBRARY_PATH", at)
        .env("HCS_SOCKET", service.socket())
        .output()
        .expect("running the program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn programs_in_c_do_what_their_pages_say() {
    let service = Service::start();
    let at = c_library::place(&service);
    let programs = folder("docs/programs");
    let first = c_library::build_from(&programs.join("first.c"), &[], &at);
    assert_eq!(said(&service, &at, &first), "inside\n");
    let events = c_library::build_from(&programs.join("events.c"), &[], &at);
    assert_eq!(said(&service, &at, &events), "started: 0x00000000\nexited\n");
    let compat = folder("apps/capi/include/compat");
    let as_windows = ["-fshort-wchar".to_owned(), format!("-I{}", compat.display())];
    let listing = c_library::build_from(&programs.join("from_windows.c"), &as_windows, &at);
    assert_eq!(said(&service, &at, &listing), "a list\n");
    service.await_nothing_left();
}

#[test]
fn the_program_of_the_readme_prints_the_name_of_its_container() {
    let service = Service::start();
    let at = c_library::place(&service);
    let readme = fs::read_to_string(folder("README.md")).expect("the README");
    let (_, program) = readme.split_once("```c\n").expect("a program in C");
    let (program, _) = program.split_once("```").expect("its end");
    let source = at.join("readme.c");
    let root = service.rootfs();
    fs::write(&source, program.replace("/srv/web", root.to_str().expect("text"))).expect("a source");
    let built = c_library::build_from(&source, &[], &at);
    assert_eq!(said(&service, &at, &built), "web\n");
}

#[test]
fn the_program_in_rust_runs_a_command_in_a_container_of_its_own() {
    let service = Service::start();
    let (client, root) = (service.client(), service.rootfs());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = embed::run(&client, root.to_str().unwrap(), "sh -c 'echo inside; exit 3'");
    assert_eq!(runtime.block_on(run).unwrap(), ("inside\n".to_owned(), Some(3)));
    service.await_nothing_left();
}
