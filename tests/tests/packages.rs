//! The packages, from their installation to their purge, on this machine: what they bring works, an upgrade ends nothing,
//! and in the end nothing is left.
//!
//! They are found in the folder that `HCS_PACKAGES` names; `cargo xtask package` makes them.
#![expect(clippy::unwrap_used, reason = "a panic is the message, also in the helpers of tests")]

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hcs_tests::{folder::Folder, host, processes, rootfs, until};
use rustix::process::Signal;

const NAMES: [&str; 4] = ["hcs", "hcs-doc", "libcomputecore-dev", "libcomputecore1"];
const CONFIG: &str = "/etc/hcs/config.toml";
const SOON: Duration = Duration::from_secs(20);

/// There is one service on a machine, so there is one test at a time.
static MACHINE: Mutex<()> = Mutex::new(());

/// What is on this host, as far as packages could change it.
#[derive(PartialEq, Eq)]
struct Host {
    files: BTreeSet<PathBuf>,
    groups: String,
    mounts: Vec<String>,
    cgroups: Vec<PathBuf>,
    processes: Vec<u32>,
}

impl Host {
    fn look() -> Host {
        let mut files = BTreeSet::new();
        for root in ["/etc", "/usr", "/var/lib"] {
            list(Path::new(root), &mut files);
        }
        files.extend(fs::read_dir("/run").unwrap().flatten().map(|entry| entry.path()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
        let is_ours = |point: &str| ["/run/hcs", "/var/lib/hcs"].iter().any(|ours| point.starts_with(ours));
        Host {
            files,
            groups: fs::read_to_string("/etc/group").unwrap(),
            mounts: mounts.iter().map(|line| line[4]).filter(|it| is_ours(it)).map(str::to_owned).collect(),
            cgroups: mounts
                .iter()
                .filter(|line| line.iter().any(|word| word.starts_with("cgroup")))
                .map(|line| Path::new(line[4]).join("hcs"))
                .filter(|folder| folder.is_dir())
                .collect(),
            processes: ours(),
        }
    }
}

/// Processes that run a program of the package, or one of a package that was replaced meanwhile.
fn ours() -> Vec<u32> {
    let is_ours = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with("/usr/libexec/hcs"))
    };
    processes::all().into_iter().filter(is_ours).collect()
}

/// The host is what it was before the packages came, and says what differs.
fn nothing_is_left(before: &Host) {
    until("workers end", SOON, || ours().is_empty());
    let after = Host::look();
    let added: Vec<&PathBuf> = after.files.difference(&before.files).collect();
    let missing: Vec<&PathBuf> = before.files.difference(&after.files).collect();
    assert!(added.is_empty() && missing.is_empty(), "left: {added:?}; gone: {missing:?}");
    assert!(after == *before, "groups, mounts {:?}, cgroups {:?}", after.mounts, after.cgroups);
}

/// Everything below a folder, but for what dpkg and the tools for groups keep for themselves.
fn list(folder: &Path, into: &mut BTreeSet<PathBuf>) {
    const THEIRS: [&str; 5] = [
        "/var/lib/dpkg",
        "/var/lib/apt",
        "/etc/group-",
        "/etc/gshadow-",
        "/var/lib/systemd/deb-systemd-helper",
    ];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if THEIRS.iter().any(|theirs| path.to_string_lossy().starts_with(theirs)) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&path, into);
        }
        into.insert(path);
    }
}

/// The packages, which are purged whatever happens.
struct Installed;

impl Installed {
    fn install() -> Installed {
        let folder =
            env::var_os("HCS_PACKAGES").expect("HCS_PACKAGES: run `cargo xtask package` and name its folder");
        let files =
            fs::read_dir(folder).expect("the folder of the packages").flatten().map(|entry| entry.path());
        let mut packages: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|it| it == "deb")).collect();
        packages.sort();
        assert_eq!(packages.len(), NAMES.len(), "{packages:?}");
        let done = dpkg().arg("--install").args(&packages).output().expect("running dpkg");
        let installed = Installed;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        // Only this is waited for by programs: the list of libraries.
        host("dpkg", &["--triggers-only", "libc-bin"]);
        installed
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // At the end of a test that has passed there is nothing to purge any more, and dpkg only says so.
        let _ = dpkg().arg("--purge").args(NAMES).output();
        let _ = Command::new("dpkg").args(["--triggers-only", "--pending"]).output();
    }
}

/// Questions of dpkg are answered as they are by most: what the administrator has changed stays. What other packages do
/// when ours come or go is put off: man-db reads the manual of the whole machine each time.
fn dpkg() -> Command {
    let mut command = Command::new("dpkg");
    command
        .args(["--force-confold", "--no-triggers"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

/// The service, started as its unit says and watched as a service manager does it.
struct Unit {
    child: Child,
}

impl Unit {
    fn start(folder: &Folder) -> Unit {
        let unit = fs::read_to_string("/usr/lib/systemd/system/hcsd.service").unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let path = folder.join("ready");
        let _ = fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).unwrap();
        ready.set_read_timeout(Some(SOON)).unwrap();
        let mut words = line.split_whitespace();
        let child = Command::new(words.next().unwrap())
            .args(words)
            .env_clear()
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("starting the service");
        let unit = Unit { child };
        let mut said = [0; 64];
        let length = ready.recv(&mut said).expect("the service is not ready");
        assert_eq!(&said[..length], b"READY=1");
        unit
    }

    /// KillMode=process: the service alone.
    fn stop(mut self) {
        processes::signal(self.child.id(), Signal::TERM);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hcs(arguments: &[&str]) -> String {
    host("/usr/bin/hcs", arguments)
}

/// The only worker that has a system.
fn worker() -> u32 {
    let workers = processes::listening_below(Path::new("/run/hcs/systems"));
    assert_eq!(workers.len(), 1, "{workers:?}");
    workers[0]
}

fn start_container(folder: &Folder) {
    rootfs::make(&folder.join("rootfs"));
    let storage = format!(r#"{{"Path": "{}"}}"#, folder.join("rootfs").display());
    let document =
        format!(r#"{{"SchemaVersion": {{"Major": 2, "Minor": 1}}, "Container": {{"Storage": {storage}}}}}"#);
    let file = folder.join("web.json");
    fs::write(&file, document).unwrap();
    hcs(&["create", "web", file.to_str().unwrap()]);
    hcs(&["start", "web"]);
}

/// A program of C, built with nothing but what pkg-config says, and run as any other.
fn build_and_run_in_c(folder: &Folder) {
    let flags = host("pkg-config", &["--cflags", "--libs", "computecore"]);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c/tutorial.c");
    let program = folder.join("tutorial");
    let built = Command::new("cc")
        .arg(source)
        .args(flags.split_whitespace())
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let ended = Command::new(&program).env("HCS_TEST_ROOTFS", folder.join("rootfs")).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    for name in ["computestorage", "vmdevicehost"] {
        assert!(Path::new(&format!("/usr/lib/lib{name}.so")).exists(), "{name}");
    }
}

#[test]
fn packages_work_are_upgraded_under_running_systems_and_leave_nothing() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Folder::new();
    let before = Host::look();
    assert!(
        !Path::new("/run/hcs").exists() && !Path::new(CONFIG).exists(),
        "there is a service on this machine"
    );
    let installed = Installed::install();

    // What is installed is whole.
    assert!(fs::read_to_string("/etc/group").unwrap().contains("\nhcs:"));
    assert_eq!(hcs(&["config", "check"]), format!("{CONFIG} is valid\n"));
    host("systemd-analyze", &["verify", "/usr/lib/systemd/system/hcsd.service"]);
    assert!(Path::new("/etc/systemd/system/sockets.target.wants/hcsd.socket").is_symlink());

    assert!(Path::new("/usr/share/man/man1/hcs.1").exists());
    assert!(Path::new("/usr/share/bash-completion/completions/hcs").exists());

    // It works.
    let service = Unit::start(&folder);
    let group = fs::metadata("/run/hcs/hcs.sock").unwrap();
    assert_eq!(group.mode() & 0o777, 0o660);
    assert!(fs::read_to_string("/etc/group").unwrap().contains(&format!("\nhcs:x:{}:", group.gid())));
    start_container(&folder);
    assert_eq!(hcs(&["exec", "web", "--", "echo", "hello"]), "hello\n");
    assert!(hcs(&["metrics"]).contains("hcs_systems{type=\"Container\",state=\"Running\"} 1\n"));
    build_and_run_in_c(&folder);
    hcs(&["exec", "web", "--", "sh", "-c", "echo kept > /tmp/kept"]);
    let before_upgrade = worker();

    // An upgrade ends nothing, and what the administrator has set stays.
    let mut settings = fs::read_to_string(CONFIG).unwrap();
    settings += "max-crash-reports = 7\n";
    fs::write(CONFIG, &settings).unwrap();
    std::mem::forget(Installed::install());
    assert_eq!(fs::read_to_string(CONFIG).unwrap(), settings);
    // Where a service manager runs, postinst has it do this.
    service.stop();
    let mut service = Unit::start(&folder);
    assert_eq!(worker(), before_upgrade);
    assert_eq!(hcs(&["exec", "web", "--", "cat", "/tmp/kept"]), "kept\n");

    // Removed: the service and its systems have ended, the settings are still there.
    let removed = dpkg().args(["--remove", "hcs"]).output().unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert!(service.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(CONFIG).unwrap(), settings);
    assert!(Path::new("/var/lib/hcs").is_dir() && !Path::new("/run/hcs").exists());
    until("workers end", SOON, || ours().is_empty());

    // Purged: nothing is left.
    let mut purge = dpkg();
    let purged = purge.arg("--purge").args(NAMES).output().unwrap();
    assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
    drop(installed);
    nothing_is_left(&before);
}

#[test]
fn a_service_that_has_died_is_removed_with_what_it_left_alone() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Folder::new();
    let before = Host::look();
    let installed = Installed::install();
    let mut service = Unit::start(&folder);
    start_container(&folder);
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    assert!(processes::is_alive(worker()), "the container goes on without a service");
    drop(installed);
    nothing_is_left(&before);
}
