//! A service that is started by its socket, as a service manager does it.

use std::{
    os::fd::OwnedFd,
    os::unix::net::UnixListener,
    process::{Command, Stdio},
};

use hcs::{Client, link::Options};
use hcs_tests::{binaries, folder::Folder, processes};
use rustix::process::Signal;

#[test]
fn a_service_takes_the_socket_that_was_opened_for_it_and_leaves_it_there() {
    let folder = Folder::new();
    let socket = folder.join("activated.sock");
    let listener = UnixListener::bind(&socket).expect("the manager's socket");
    // The descriptor has to be number 3, and the process id that of the service itself: exec keeps it.
    let mut service = Command::new("sh")
        .args(["-c", r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" --root "$1""#])
        .arg(binaries::find("hcsd"))
        .arg(folder.join("root"))
        .stdin(OwnedFd::from(listener.try_clone().expect("a descriptor")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .spawn()
        .expect("starting the service");

    // Nobody waits for readiness: the kernel keeps the call until the service takes it.
    let client = Client::connect_to(Options { socket: socket.clone() }).expect("connecting");
    assert_eq!(client.list(None).wait().expect("a list").len(), 0);
    assert!(!folder.join("root/run/hcs.sock").exists(), "it has opened a socket of its own as well");

    processes::signal(service.id(), Signal::TERM);
    assert!(service.wait().expect("waiting for the service").success());
    assert!(socket.exists(), "the socket is the manager's");
}
