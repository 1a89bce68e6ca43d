//! What hostile processes in a container try, and what a hostile image does to the service.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use hcs::schema::MappedDirectory;
use hcs_tests::Service;
use rustix::fs::{CWD, RenameFlags};

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
