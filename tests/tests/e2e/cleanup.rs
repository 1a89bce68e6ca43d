//! `hcs cleanup`: what a crash of everything leaves is removed, and what lives is not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use hcs_tests::{Service, binaries, folder::Folder, leftovers::Leftovers, processes, until};
use rustix::{mount::MountFlags, process::Signal};

use crate::cli::text;

/// Cleans up the root of a service, with this folder for temporary files.
fn cleanup(root: &Path, temporary: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::find("hcs"));
    command.arg("cleanup").args(arguments).env("HCS_ROOT", root).env("TMPDIR", temporary);
    let output = command.env_remove("HCS_SOCKET").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// Kills hcsd and the workers of these systems all at once.
fn crash(service: &mut Service, workers: &[u32]) {
    processes::signal(service.pid(), Signal::STOP);
    for worker in workers {
        processes::signal(*worker, Signal::KILL);
    }
    service.kill();
    // A zombie has closed what it had open; one whose command line is gone need not have.
    let are_dead = || workers.iter().all(|pid| !processes::is_alive(*pid));
    until("the workers are dead", Duration::from_secs(5), are_dead);
}

#[test]
fn what_is_left_when_everything_was_killed_at_once_is_removed() {
    let mut service = Service::start();
    let client = service.client();
    let running = service.running(&client, "running");
    let created = client.create("created", &service.lasting_document()).wait().unwrap();
    let workers = [service.worker(&running), service.worker(&created)];
    crash(&mut service, &workers);
    let nothing = Folder::new();

    let before = service.leftovers();
    assert!(!before.is_empty() && !before.files.is_empty(), "{before}");
    let told = cleanup(service.root(), nothing.path(), &["--dry-run"]);
    let told = text(&told.stdout);
    for id in ["running", "created"] {
        assert!(told.contains(&format!("would remove the system {id}: its worker is gone")), "{told}");
    }
    assert_eq!(service.leftovers().files, before.files, "a dry run changes nothing");

    let done = cleanup(service.root(), nothing.path(), &[]);
    assert!(text(&done.stdout).contains("removed the system running"), "{}", text(&done.stdout));
    let left = service.leftovers();
    assert!(left.is_empty(), "{left}");
    assert!(hcs_tests::leftovers::parents(service.root()).is_empty(), "the cgroups of the service are left");
    let again = cleanup(service.root(), nothing.path(), &[]);
    // It may have found what others of this host have left.
    let own = service.root().display().to_string();
    let of_it = |line: &&str| line.contains(&own) || line.contains("the system ");
    assert_eq!(text(&again.stdout).lines().find(of_it), None, "nothing is left to do");
    service.restart();
}

#[test]
fn what_lives_is_left_alone_with_and_without_its_service() {
    let mut service = Service::start();
    let client = service.client();
    let living = service.running(&client, "living");
    let dying = service.running(&client, "dying");
    let worker = service.worker(&dying);
    let nothing = Folder::new();
    let told = cleanup(service.root(), nothing.path(), &[]);
    assert!(text(&told.stdout).contains("kept"), "{}", text(&told.stdout));
    assert_eq!(crate::output(&living, "echo alive"), "alive\n");

    crash(&mut service, &[worker]);
    let done = cleanup(service.root(), nothing.path(), &[]);
    let done = text(&done.stdout);
    assert!(
        done.contains("removed the system dying") && done.contains("the system living: its worker lives"),
        "{done}"
    );
    service.restart();
    assert_eq!(crate::output(&living, "echo alive"), "alive\n");
    let ids: Vec<_> =
        service.client().list(None).wait().unwrap().into_iter().filter_map(|one| one.id).collect();
    assert_eq!(ids, ["living"]);
    living.terminate().wait().unwrap();
}

/// A folder as `hcs --private` makes it, in a folder for temporary files of its own.
fn private(temporary: &Folder, name: &str, age: Duration) -> PathBuf {
    let folder = temporary.join(name);
    fs::create_dir_all(folder.join("run/systems/no-system")).unwrap();
    fs::write(folder.join("run/systems/no-system/record.json"), "cut o").unwrap();
    let then = SystemTime::now() - age;
    fs::File::open(&folder).unwrap().set_modified(then).unwrap();
    folder
}

#[test]
fn private_roots_are_removed_unless_they_live_or_are_new() {
    const OLD: Duration = Duration::from_secs(3600);
    let (temporary, own) = (Folder::new(), Folder::new());
    let dead = private(&temporary, "hcs-private-0000000000000001", OLD);
    let new = private(&temporary, "hcs-private-0000000000000002", Duration::ZERO);
    let demo = private(&temporary, &format!("hcs-demo-{}", std::process::id()), OLD);
    let foreign = private(&temporary, "hcs-private-0000000000000003", OLD);
    std::os::unix::fs::chown(&foreign, Some(65_534), None).unwrap();
    let other = private(&temporary, "something-else", OLD);
    std::os::unix::fs::symlink(&other, temporary.join("hcs-private-0000000000000004")).unwrap();
    rustix::mount::mount("none", dead.join("run"), "tmpfs", MountFlags::empty(), None).unwrap();
    fs::create_dir_all(dead.join("run/systems")).unwrap();

    let told = cleanup(own.path(), temporary.path(), &["--dry-run"]);
    assert!(text(&told.stdout).contains("hcs-private-0000000000000001: the command that made it is gone"));
    assert!(dead.exists());
    let done = cleanup(own.path(), temporary.path(), &[]);
    let done = text(&done.stdout);
    assert!(!dead.exists(), "{done}");
    assert!(
        [&new, &demo, &foreign, &other].iter().all(|folder| folder.join("run/systems/no-system").exists()),
        "{done}"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dead.to_str().unwrap()));
}

/// Makes a folder seem untouched for an hour.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(folder).unwrap().set_modified(then).unwrap();
}

/// A service that does not outlive its test.
struct Daemon(Child);

impl Daemon {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_private_root_with_a_service_is_left_alone() {
    let temporary = Folder::new();
    let root = private(&temporary, "hcs-private-0000000000000005", Duration::from_secs(3600));
    let mut hcsd = Daemon(
        Command::new(binaries::find("hcsd"))
            .arg("--root")
            .arg(&root)
            .env_remove("HCS_SOCKET")
            .stdout(Stdio::null())
            .stderr(fs::File::create(temporary.join("log")).unwrap())
            .spawn()
            .unwrap(),
    );
    until("the service listens", Duration::from_secs(10), || root.join("run/hcs.sock").exists());
    age(&root);
    let own = Folder::new();
    let done = cleanup(own.path(), temporary.path(), &[]);
    assert!(text(&done.stdout).contains("a service lives there"), "{}", text(&done.stdout));
    assert!(root.join("run/hcs.sock").exists());
    // One that is killed leaves its folder.
    hcsd.kill();
    // Who was born of it and has not become a worker yet holds its lock for a moment.
    until("the root is gone", Duration::from_secs(5), || {
        age(&root);
        cleanup(own.path(), temporary.path(), &[]);
        !root.exists()
    });
    assert!(Leftovers::of(&root).is_empty());
}

#[test]
fn layers_of_images_that_were_half_imported_are_removed_unless_somebody_is_at_them() {
    let own = Folder::new();
    let layers = own.join("lib/images/layers");
    let (left, held) = (layers.join(".one.partial"), layers.join(".two.partial"));
    let store =
        Command::new(binaries::find("hcs")).args(["image", "list"]).env("HCS_ROOT", own.path()).output();
    assert!(store.unwrap().status.success());
    fs::create_dir_all(left.join("fs")).unwrap();
    fs::create_dir_all(&held).unwrap();
    let lock = fs::File::open(&held).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let told = cleanup(own.path(), own.path(), &["--dry-run"]);
    assert!(text(&told.stdout).contains(".one.partial") && left.exists());
    cleanup(own.path(), own.path(), &[]);
    assert!(!left.exists() && held.exists());
}
