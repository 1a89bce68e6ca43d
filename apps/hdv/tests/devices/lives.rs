//! Calls of a device's life that meet each other: they come one after the other, and none is forgotten.

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use hdv::{Bar, Cause, Details, Device, DeviceHost, Doorbell, Error, PciDevice};

use crate::{
    board::{CLASS, INSTANCE},
    monitor::Monitor,
};

type Hook = Box<dyn Fn(&Device) + Send + Sync>;

/// A device that does what a test wants while it is initialized or started.
struct Hooked {
    own: Device,
    calls: Arc<Mutex<Vec<&'static str>>>,
    initialize: Hook,
    start: Hook,
}

impl PciDevice for Hooked {
    fn initialize(&self) -> Result<(), Error> {
        self.calls.lock().unwrap().push("initialize");
        (self.initialize)(&self.own);
        self.calls.lock().unwrap().push("initialized");
        Ok(())
    }
    fn start(&self) -> Result<(), Error> {
        self.calls.lock().unwrap().push("start");
        (self.start)(&self.own);
        self.calls.lock().unwrap().push("started");
        Ok(())
    }
    fn stop(&self) {
        self.calls.lock().unwrap().push("stop");
    }
    fn teardown(&self) {
        self.calls.lock().unwrap().push("teardown");
    }
    fn details(&self) -> Result<Details, Error> {
        Ok(Details { probed_bars: [0xffff_f000, 0, 0, 0, 0, 0], ..Details::default() })
    }
    fn read_config(&self, _: u32) -> Result<u32, Error> {
        Ok(0)
    }
    fn write_config(&self, _: u32, _: u32) -> Result<(), Error> {
        Ok(())
    }
    fn read_memory(&self, _: Bar, _: u64, _: &mut [u8]) -> Result<(), Error> {
        Ok(())
    }
    fn write_memory(&self, _: Bar, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

struct Made {
    host: DeviceHost,
    device: Device,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

fn make(initialize: Hook, start: Hook) -> Made {
    let host = DeviceHost::standalone();
    let calls = Arc::<Mutex<Vec<&'static str>>>::default();
    let told = calls.clone();
    let device = host.create(CLASS, INSTANCE, |own| Hooked { own, calls: told, initialize, start }).unwrap();
    Made { host, device, calls }
}

impl Made {
    fn listen(&self, name: &str) -> (PathBuf, OwnedFd) {
        let path = std::env::temp_dir().join(format!("hdv-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        (path, listener.into())
    }

    fn served(&self, name: &str) -> Monitor {
        let (path, listener) = self.listen(name);
        self.host.serve(INSTANCE, &[], listener).unwrap();
        let monitor = Monitor::greeted(&path);
        std::fs::remove_file(path).unwrap();
        monitor
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }
}

fn nothing() -> Hook {
    Box::new(|_| ())
}

/// A hook that says that it is there and waits until it may go on.
fn held() -> (Hook, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (there, is_there) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let may_go = Mutex::new(may_go);
    let hook: Hook = Box::new(move |_| {
        there.send(()).unwrap();
        let _ = may_go.lock().unwrap().recv_timeout(Duration::from_secs(20));
    });
    (hook, is_there, go)
}

/// A device that waits in its start for memory that only its monitor has, which is silent.
fn waiting(name: &str) -> (Made, Monitor, JoinHandle<Result<(), Error>>) {
    let (said, is_said) = mpsc::channel();
    let said = Mutex::new(said);
    let hook: Hook = Box::new(move |own| {
        said.lock().unwrap().send(()).unwrap();
        assert!(own.read_guest(0x1000, &mut [0; 4]).is_err());
    });
    let made = make(nothing(), hook);
    let mut monitor = made.served(name);
    assert_eq!(monitor.map(0x1000, 4096, None), 0);
    let host = made.host.clone();
    let starting = std::thread::spawn(move || host.start(INSTANCE));
    is_said.recv().unwrap();
    (made, monitor, starting)
}

#[test]
fn a_device_is_not_torn_down_while_it_starts() {
    let (hook, is_there, go) = held();
    let made = make(nothing(), hook);
    let monitor = made.served("starting");
    let host = made.host.clone();
    let starting = std::thread::spawn(move || host.start(INSTANCE));
    is_there.recv().unwrap();
    drop(monitor);
    let host = made.host.clone();
    let ending = std::thread::spawn(move || host.teardown());
    go.send(()).unwrap();
    starting.join().unwrap().unwrap();
    ending.join().unwrap();
    assert_eq!(made.calls(), ["initialize", "initialized", "start", "started", "stop", "teardown"]);
}

#[test]
fn a_host_that_ends_while_a_device_is_initialized_waits_for_it_and_nobody_gets_it() {
    let (hook, is_there, go) = held();
    let made = make(hook, nothing());
    let (path, listener) = made.listen("initializing");
    let host = made.host.clone();
    let serving = std::thread::spawn(move || host.serve(INSTANCE, &[], listener));
    is_there.recv().unwrap();
    let host = made.host.clone();
    let ending = std::thread::spawn(move || host.teardown());
    // It is on its way: nobody else can make a device any more.
    let another = |own| Hooked { own, calls: Arc::default(), initialize: nothing(), start: nothing() };
    while made.host.create(CLASS, INSTANCE, another).err().unwrap().cause != Cause::InvalidArgument {
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    ending.join().unwrap();
    assert_eq!(made.calls().last(), Some(&"teardown"));
    assert_eq!(made.calls().iter().filter(|call| **call == "teardown").count(), 1);
    // Whether it was given away or not: nobody is served.
    drop(serving.join().unwrap());
    if let Ok(stream) = std::os::unix::net::UnixStream::connect(&path) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert!(matches!(std::io::Read::read(&mut &stream, &mut [0]), Ok(0) | Err(_)));
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_end_does_not_wait_for_a_monitor_that_does_not_answer() {
    let (made, _monitor, starting) = waiting("silent");
    let begun = std::time::Instant::now();
    made.host.teardown();
    assert!(begun.elapsed() < Duration::from_secs(10));
    starting.join().unwrap().unwrap();
    assert_eq!(made.calls().last(), Some(&"teardown"));
}

#[test]
fn what_a_doorbell_holds_goes_with_the_host_though_it_holds_the_device() {
    let made = make(nothing(), nothing());
    let kept = Arc::new(());
    let (own, held) = (made.device.clone(), kept.clone());
    let doorbell = Doorbell { bar: Bar::new(0).unwrap(), offset: 0, size: None, value: None };
    let signal = Arc::new(move || drop((own.read_guest(0, &mut [0]), held.clone())));
    made.device.add_doorbell(doorbell, signal.clone()).unwrap();
    drop(signal);
    assert_eq!(Arc::strong_count(&kept), 2);
    made.host.teardown();
    assert_eq!(Arc::strong_count(&kept), 1);
    let signal = Arc::new(|| ());
    assert_eq!(made.device.add_doorbell(doorbell, signal).unwrap_err().cause, Cause::InvalidArgument);
}

#[test]
fn a_monitor_that_floods_while_it_is_waited_for_is_hung_up_on() {
    let (made, monitor, starting) = waiting("flood");
    // The device's own thread takes requests meanwhile, and is slower than this.
    let resets: Vec<u8> = [1u8, 0, 13, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0].repeat(4096);
    let mut sent = 0;
    while sent < 16 << 20
        && rustix::net::send(&monitor.stream, &resets, rustix::net::SendFlags::NOSIGNAL).is_ok()
    {
        sent += resets.len();
    }
    made.host.teardown();
    starting.join().unwrap().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 200 << 10, "{peak} KiB");
}
