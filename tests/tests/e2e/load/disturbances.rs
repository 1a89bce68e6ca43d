//! Clients that behave badly, each beside one that does not.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use hcs_tests::{
    Service, processes,
    raw::{Raw, call_text},
    until,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::is_not_slowed_by;

/// As many calls as the service takes ahead on a connection. No socket holds their answers, of ten kilobytes each.
const AHEAD: usize = 60;

/// A program that asks for more than its socket holds, stops itself before it reads, and is killed in the end.
struct Stuck(Child);

impl Stuck {
    fn begin(service: &Service) -> Stuck {
        const PROGRAM: &str = r#"
import os, signal, socket, sys
service = socket.socket(socket.AF_UNIX)
service.connect(sys.argv[1])
call = b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.hcs.Compute"}}\0'
service.sendall(call * int(sys.argv[2]))
os.kill(os.getpid(), signal.SIGSTOP)
"#;
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).arg(service.socket()).arg(AHEAD.to_string());
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        until("the client has stopped", Duration::from_secs(10), || {
            processes::status(child.id(), "State").starts_with('T')
        });
        Stuck(child)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_client_that_is_stopped_in_the_middle_of_a_call_slows_nobody() {
    let service = Service::start();
    is_not_slowed_by("a client that is stopped", &service, || Stuck::begin(&service));
}

/// One that wants to be told everything, and one that asks and asks, neither of which ever reads.
fn never_read(service: &Service) -> [Raw; 2] {
    let [mut listener, mut caller] = [(); 2].map(|()| Raw::connect(&service.socket()));
    listener.send(r#"{"method":"io.hcs.Compute.WatchEvents","parameters":{},"more":true}"#).unwrap();
    let call = call_text("org.varlink.service.GetInterfaceDescription", r#"{"interface":"io.hcs.Compute"}"#);
    for _ in 0..AHEAD {
        caller.send(&call).unwrap();
    }
    [listener, caller]
}

#[test]
fn clients_that_never_read_slow_nobody() {
    let service = Service::start();
    is_not_slowed_by("two clients that never read", &service, || never_read(&service));
}

/// A thread that does something again and again until it is dropped.
struct Repeated(Arc<AtomicBool>, Option<JoinHandle<usize>>);

impl Repeated {
    fn begin(mut act: impl FnMut() + Send + 'static) -> Repeated {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = thread::spawn(move || {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                act();
                times += 1;
            }
            times
        });
        Repeated(over, Some(thread))
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let times = self.1.take().unwrap().join().unwrap();
        assert!(times > 0, "nothing was done");
    }
}

#[test]
fn a_client_that_sends_garbage_slows_nobody() {
    const GARBAGE: [&[u8]; 4] = [b"\0", b"GET / HTTP/1.1\r\n\r\n\0", b"{\"method\":1}\0", &[0xFF; 4096]];
    let service = Service::start();
    let socket = service.socket();
    is_not_slowed_by("a client that sends garbage", &service, || {
        let (socket, mut turn) = (socket.clone(), 0);
        Repeated::begin(move || {
            let mut stream = UnixStream::connect(&socket).unwrap();
            turn += 1;
            // It may be hung up on before all is said.
            let _ = stream.write_all(GARBAGE[turn % GARBAGE.len()]);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
            // A thousand times a second. One that does it without a pause takes a processor from everybody, whatever the
            // service does.
            thread::sleep(Duration::from_millis(1));
        })
    });
    assert!(processes::settled_files(service.pid()) < 100);
}

const CONNECTIONS: usize = 10_000;

/// Lets this program and what it starts have as many descriptors as this takes.
fn allow_descriptors(most: u64) {
    let now = getrlimit(Resource::Nofile);
    let wanted = |limit: Option<u64>| limit.map(|limit| limit.max(most));
    setrlimit(Resource::Nofile, Rlimit { current: wanted(now.current), maximum: wanted(now.maximum) })
        .expect("as many descriptors as connections");
}

#[test]
fn ten_thousand_connections_slow_nobody_and_those_above_the_limit_are_told_and_hold_nothing() {
    allow_descriptors(CONNECTIONS as u64 + 2000);
    // The probe, and who looks whether there is a service, are beside them.
    let mut service = Service::start_configured(&format!("max-connections = {}\n", CONNECTIONS + 10));
    service.be_patient();
    let before = service.settled_files();
    let connect = || UnixStream::connect(service.socket()).unwrap();
    // A service that has had many keeps what it needed for them, and so does the kernel.
    drop((0..CONNECTIONS).map(|_| connect()).collect::<Vec<_>>());
    is_not_slowed_by("ten thousand connections", &service, || {
        (0..CONNECTIONS).map(|_| connect()).collect::<Vec<_>>()
    });
    until("their descriptors are closed", Duration::from_secs(10), || {
        processes::open_files(service.pid()) <= before + 2
    });

    let mut there = Raw::connect(&service.socket());
    assert!(there.call("org.varlink.service.GetInfo", &json!({})).is_ok());
    let many: Vec<UnixStream> = (0..CONNECTIONS + 9).map(|_| connect()).collect();
    let open = || processes::open_files(service.pid());
    until("all are taken", Duration::from_secs(10), || open() > before + many.len());
    // Who is one too many is told so.
    let mut refused = Raw::connect(&service.socket());
    let (error, told) = refused.call("ListOperations", &json!({})).unwrap_err();
    assert!(error.ends_with("NotEnoughQuota") && told.to_string().contains("too many connections"), "{told}");
    assert!(refused.is_closed());
    // Who says nothing is not waited for, and takes no descriptors of the service.
    let silent: Vec<UnixStream> = (0..1000).map(|_| connect()).collect();
    until("those that say nothing are closed", Duration::from_secs(10), || open() <= before + many.len() + 1);
    assert!(there.call("org.varlink.service.GetInfo", &json!({})).is_ok());
    drop(silent);
    // Who leaves makes room.
    drop(many);
    until("their descriptors are closed", Duration::from_secs(10), || open() <= before + 3);
    let mut next = Raw::connect(&service.socket());
    assert!(next.call("ListOperations", &json!({})).is_ok());
}
