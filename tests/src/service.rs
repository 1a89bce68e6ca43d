//! A private hcsd below a folder of its own.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use hcs::{Client, System, link::Options, schema};
use rustix::process::Signal;

use crate::{
    binaries,
    faults::Watch,
    folder,
    leftovers::{self, Leftovers},
    machine, processes, rootfs, until,
};

/// How long a service may take to be ready when it has nothing to take over.
const READY: Duration = Duration::from_secs(10);
/// How long what is ending may take to be gone. Systems of clients that died while the service was down are kept for
/// ten seconds after its restart.
const GONE: Duration = Duration::from_secs(20);
/// How long a test may take; what takes longer hangs. The longest takes half a minute, and a host may have other things to do.
const HANGS: Duration = Duration::from_secs(180);
/// What a worker is called that has no system.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// Lines of the log that a failed test shows.
const SHOWN: usize = 60;

/// The service. When it is dropped, nothing of it and of its systems may be left.
pub struct Service {
    root: PathBuf,
    by: &'static [&'static str],
    watch: Option<Watch>,
    child: Child,
    ready: UnixDatagram,
    /// Tells the watchdog by being dropped.
    _alive: mpsc::Sender<()>,
}

impl Service {
    /// Starts one and waits until it is ready.
    pub fn start() -> Service {
        Service::start_by(&[])
    }

    /// Starts one that sees no cgroup hierarchy but a v2, as most hosts have it. Which controllers that offers depends
    /// on what v1 leaves to it.
    pub fn start_on_cgroup2() -> Service {
        const ALONE: &str = "umount -a -l -t cgroup,cgroup2 && umount -l /sys/fs/cgroup;
            mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";
        Service::start_by(&["unshare", "-m", "sh", "-c", ALONE, "sh"])
    }

    /// Starts one that waits for the agents in machines no longer than some seconds.
    pub fn start_impatient() -> Service {
        Service::start_by(&["env", "HCS_GUEST_PATIENCE=8"])
    }

    /// Starts one that has 512 descriptors, and may have 4096.
    pub fn start_with_descriptors() -> Service {
        Service::start_by(&["sh", "-c", "ulimit -Sn 512 && ulimit -Hn 4096 && exec \"$@\"", "sh"])
    }

    /// Starts one for the members of the group `games`, by somebody who lets everybody write what is made.
    pub fn start_carelessly() -> Service {
        Service::start_by(&["sh", "-c", "umask 0 && export HCS_GROUP=games && exec \"$@\"", "sh"])
    }

    /// Starts one with a configuration file.
    pub fn start_configured(text: &str) -> Service {
        Service::start_in(configured_folder(text), &[], None)
    }

    /// Starts one under a watch.
    pub fn start_watched() -> (Service, Watch) {
        let root = new_folder();
        let watch = Watch::new(&root);
        (Service::start_in(root, &[], Some(watch.clone())), watch)
    }

    /// Starts one by a program that execs what its last arguments say.
    fn start_by(by: &'static [&'static str]) -> Service {
        Service::start_in(new_folder(), by, None)
    }

    fn start_in(root: PathBuf, by: &'static [&'static str], watch: Option<Watch>) -> Service {
        require_root();
        rootfs::make(&root.join("rootfs"));
        let ready = UnixDatagram::bind(root.join("ready")).expect("the socket for readiness");
        let child = spawn(&root, by, watch.as_ref());
        let mut service = Service { _alive: watchdog(root.clone(), HANGS), root, by, watch, child, ready };
        service.await_ready(READY);
        service
    }

    /// Lets its test take three times as long as others: it is several in one, or a guest without KVM has much to do in it.
    pub fn be_patient(&mut self) {
        self.be_patient_for(2 * HANGS);
    }

    /// Lets its test take so much longer than others.
    pub fn be_patient_for(&mut self, time: Duration) {
        self._alive = watchdog(self.root.clone(), HANGS + time);
    }

    /// Its root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/hcs.sock")
    }

    /// The root file system for containers.
    pub fn rootfs(&self) -> PathBuf {
        self.root.join("rootfs")
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::connect_to(Options { socket: self.socket() }).expect("connecting to the service")
    }

    /// The hcs command, for it.
    pub fn hcs(&self) -> Command {
        let mut command = Command::new(binaries::find("hcs"));
        command.env("HCS_SOCKET", self.socket()).stdin(Stdio::null());
        command
    }

    /// The document of a container that ends with its last handle.
    pub fn document(&self) -> schema::ComputeSystem {
        self.lasting_document().should_terminate_on_last_handle_closed(true)
    }

    /// The document of a container that stays.
    pub fn lasting_document(&self) -> schema::ComputeSystem {
        let storage = schema::Storage::default().path(self.rootfs().display().to_string());
        schema::ComputeSystem::default()
            .owner("tests")
            .schema_version(schema::Version::default().major(2u32).minor(1u32))
            .container(schema::Container::default().storage(storage))
    }

    /// The document of a container that ends with its last handle, with more in its Container.
    pub fn document_with(
        &self,
        add: impl FnOnce(schema::Container) -> schema::Container,
    ) -> schema::ComputeSystem {
        let mut document = self.document();
        document.container = document.container.map(add);
        document
    }

    /// A running container of this document.
    pub fn running_from(&self, id: &str, document: &schema::ComputeSystem) -> System {
        let system = self.client().create(id, document).wait().expect("creating a container");
        system.start().wait().expect("starting a container");
        system
    }

    /// A running container that ends with its last handle.
    pub fn running(&self, client: &Client, id: &str) -> System {
        let system = client.create(id, &self.document()).wait().expect("creating a container");
        system.start().wait().expect("starting a container");
        system
    }

    /// The process id of a system's worker. Other services may have systems of the same id.
    pub fn worker(&self, system: &System) -> u32 {
        processes::listening_below(&self.root.join("run/systems"))
            .into_iter()
            .find(|pid| processes::read(*pid, "cmdline").contains(system.runtime_id()))
            .unwrap_or_else(|| panic!("{} has no worker", system.id()))
    }

    /// Its workers that have no system: the mother of all, and those that it keeps ready.
    pub fn spare_workers(&self) -> Vec<u32> {
        let is_spare = |pid: &u32| processes::read(*pid, "cmdline").contains(NOBODY);
        processes::children(self.pid()).into_iter().filter(is_spare).collect()
    }

    /// The same, once all are there. It is ready before they are.
    pub fn all_spare_workers(&self) -> Vec<u32> {
        /// The mother, and the two that are kept.
        const ALL: usize = 3;
        let mut spare = Vec::new();
        until("there are spare workers", READY, || {
            spare = self.spare_workers();
            spare.len() == ALL
        });
        spare
    }

    /// How many descriptors it has open once it has stopped to change: each of its spare workers has some.
    pub fn settled_files(&self) -> usize {
        /// Those that are kept. One counts when the service has all that it has of it.
        const KEPT: &str = "2";
        until("the spare workers are ready", READY, || self.figure("hcs_spare_workers") == KEPT);
        processes::settled_files(self.pid())
    }

    /// Waits until it has noticed that all its clients have gone.
    pub fn await_no_clients(&self) {
        until("no client is left", READY, || self.figure("hcs_connections") == "0");
    }

    /// The socket of its figures.
    pub fn metrics(&self) -> UnixStream {
        UnixStream::connect(self.root.join("run/metrics.sock")).expect("connecting to metrics.sock")
    }

    /// What is answered there to these bytes; without any, to who asks for the figures.
    pub fn ask_metrics(&self, request: Option<&[u8]>) -> String {
        const USUAL: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let (mut stream, mut answer) = (self.metrics(), String::new());
        stream.write_all(request.unwrap_or(USUAL)).expect("asking for the figures");
        stream.read_to_string(&mut answer).expect("the figures");
        answer
    }

    /// What it tells of itself under a name.
    fn figure(&self, name: &str) -> String {
        let answer = self.ask_metrics(None);
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no {name} in {answer}")).to_owned()
    }

    /// Kills it as nothing else can be killed, and waits for its death. Its systems go on.
    pub fn kill(&mut self) {
        self.child.kill().expect("killing the service");
        self.child.wait().expect("waiting for the service");
    }

    /// Starts it again after [`Service::kill`]; how long it took until it was ready.
    pub fn restart(&mut self) -> Duration {
        let began = Instant::now();
        self.child = spawn(&self.root, self.by, self.watch.as_ref());
        self.await_ready(READY);
        began.elapsed()
    }

    /// The same, of one that may end before it is ready: whether it is ready. An error if it is neither in time.
    pub fn try_restart(&mut self, patience: Duration) -> Result<bool, String> {
        /// How often it is looked after.
        const TURN: Duration = Duration::from_millis(20);
        self.child = spawn(&self.root, self.by, self.watch.as_ref());
        self.ready.set_read_timeout(Some(TURN)).expect("a time limit");
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.ready.recv(&mut [0; 64]).is_ok() {
                return Ok(true);
            }
            if self.child.try_wait().expect("waiting for the service").is_some() {
                // What it has said at the last moment must not be taken for a word of the next.
                self.ready.set_nonblocking(true).expect("not waiting");
                let was_ready = self.ready.recv(&mut [0; 64]).is_ok();
                self.ready.set_nonblocking(false).expect("waiting");
                return Ok(was_ready);
            }
        }
        Err(format!("the service is neither ready nor has it ended in {patience:?}"))
    }

    /// Starts one more for the same folder, with these arguments; how it ended.
    pub fn another(&self, arguments: &[String]) -> Output {
        let mut command = Command::new(binaries::find("hcsd"));
        command.arg("--root").arg(&self.root).args(arguments);
        command.env_remove("HCS_SOCKET").env_remove("HCS_ROOT").stdin(Stdio::null());
        command.output().expect("starting hcsd once more")
    }

    /// What its systems have on the host at present.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::of(&self.root)
    }

    /// Waits until nothing of its systems is left on the host.
    pub fn await_nothing_left(&self) {
        let left = self.what_stays();
        assert!(left.is_empty(), "left on the host: {left}");
    }

    /// What is left on the host although it had time to go.
    fn what_stays(&self) -> Leftovers {
        let deadline = Instant::now() + GONE;
        loop {
            let left = self.leftovers();
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn await_ready(&mut self, patience: Duration) {
        self.ready.set_read_timeout(Some(patience)).expect("a time limit");
        let mut buffer = [0; 64];
        let length = loop {
            match self.ready.recv(&mut buffer) {
                // A time limit makes the kernel give up where it would go on, for instance when a debugger looks.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the service is not ready: {error}; its log:\n{}", self.log()),
                Ok(length) => break length,
            }
        };
        assert_eq!(&buffer[..length], b"READY=1");
    }

    /// Asks it to stop, as a service manager does.
    fn stop(&mut self) {
        processes::signal(self.pid(), Signal::TERM);
        let status = self.child.wait().expect("waiting for the service");
        assert!(status.success(), "the service ended with {status}");
    }

    /// After a failure: shows the log, and leaves the machine as clean as it gets.
    fn abandon(&mut self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        eprintln!("the end of the log of the service:\n{shown}");
        clear(&self.root);
        // It has been killed; a zombie is all that can be left.
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if thread::panicking() {
            self.abandon();
            return;
        }
        let left = self.what_stays();
        if !left.is_empty() {
            let told = left.to_string();
            self.abandon();
            panic!("left on the host: {told}");
        }
        self.stop();
        assert!(leftovers::remove_parents(&self.root), "the service's own cgroups could not be removed");
        fs::remove_dir_all(&self.root).expect("removing the service's folder");
    }
}

/// Ends the test program if a test hangs, which no assertion could do.
fn watchdog(root: PathBuf, limit: Duration) -> mpsc::Sender<()> {
    let (alive, watched) = mpsc::channel();
    thread::spawn(move || {
        if watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            let log = fs::read_to_string(root.join("log")).unwrap_or_default();
            let what = format!("\na test hangs; the log of its service in {}:\n{log}\n", root.display());
            let _ = std::io::stderr().write_all(what.as_bytes());
            clear(&root);
            std::process::exit(101);
        }
    });
    alive
}

/// Kills a service and everything of its systems, and removes what is left, as far as that is possible.
fn clear(root: &Path) {
    let deadline = Instant::now() + GONE;
    loop {
        let mut living = processes::listening_below(&root.join("run"));
        living.extend(Leftovers::of(root).processes);
        if living.is_empty() || Instant::now() > deadline {
            break;
        }
        living.into_iter().for_each(processes::kill_if_there);
        thread::sleep(Duration::from_millis(10));
    }
    leftovers::remove_parents(root);
    // What resists is found in the folder for temporary files.
    let _ = fs::remove_dir_all(root);
}

fn spawn(root: &Path, by: &[&str], watch: Option<&Watch>) -> Child {
    let log = File::options().create(true).append(true).open(root.join("log")).expect("the log");
    let hcsd = binaries::find("hcsd").into_os_string();
    let mut line = by.iter().map(OsString::from).chain([hcsd]);
    let mut command = Command::new(line.next().expect("a program"));
    // They would put it, or a part of it, elsewhere: among the systems of this host.
    for variable in ["HCS_CONFIG", "HCS_ROOT", "HCS_RUN_FOLDER", "HCS_SOCKET", "HCS_STATE_FOLDER"] {
        command.env_remove(variable);
    }
    command
        .args(line)
        .arg("--root")
        .arg(root)
        .envs(machine::qemu_if_there().map(|qemu| ("HCS_QEMU", qemu)))
        .env("NOTIFY_SOCKET", root.join("ready"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut spawn = || command.spawn().expect("starting hcsd");
    match watch {
        Some(watch) => watch.over(spawn),
        None => spawn(),
    }
}

/// A folder that other users can pass through.
fn new_folder() -> PathBuf {
    let root = folder::make("hcs-test");
    fs::set_permissions(&root, Permissions::from_mode(0o755)).expect("rights of the service's folder");
    root
}

/// One that has a configuration file for the service in it.
fn configured_folder(text: &str) -> PathBuf {
    let root = new_folder();
    fs::create_dir(root.join("etc")).expect("a folder for the file");
    fs::write(root.join("etc/config.toml"), text).expect("writing the configuration file");
    root
}

fn require_root() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    assert!(
        env::var_os("HCS_TESTS_SKIP").is_some_and(|skip| skip == "1"),
        "these tests need root; HCS_TESTS_SKIP=1 skips them"
    );
    // Straight to the descriptor, so that no test runner swallows it.
    let _ =
        std::io::stderr().write_all(b"\nSKIPPED: the end-to-end tests need root, and nothing was tested\n\n");
    std::process::exit(0);
}
