//! Who stands beside a system, and can be killed at any of its steps: the program that is a device of it, the agent in it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use hcs::System;
use hcs_tests::{Service, faults::Watch, processes};

use super::{kind, operations::ID};
use crate::{c_library, output};

/// What the program is called.
pub const DEVICE: &str = "sensor_device-c";

/// How long one may take to be there, or to be gone.
const SOON: Duration = Duration::from_secs(20);

/// A program that is a device of the system, under the same watch as the service. It is killed with this.
pub struct DeviceHost {
    program: PathBuf,
    library: PathBuf,
    socket: PathBuf,
    watch: Watch,
    child: Mutex<Option<Child>>,
}

impl DeviceHost {
    /// Not started yet.
    pub fn new(service: &Service, watch: &Watch) -> DeviceHost {
        let library = service.root().join("c");
        let built = library.join(DEVICE);
        let program = if built.exists() { built } else { c_library::program(service, "sensor_device.c").0 };
        let (socket, watch) = (service.socket(), watch.clone());
        DeviceHost { program, library, socket, watch, child: Mutex::default() }
    }

    /// Starts it, unless it lives. The worker may not have heard yet of the death of the one before.
    pub fn ensure(&self) -> Result<(), String> {
        let mut child = self.lock();
        if child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return Ok(());
        }
        let deadline = Instant::now() + SOON;
        loop {
            let mut command = Command::new(&self.program);
            command.args([ID, kind::CLASS, kind::INSTANCE]);
            command.env("LD_LIBRARY_PATH", &self.library).env("HCS_SOCKET", &self.socket);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut started = self.watch.over(|| command.spawn()).map_err(|error| error.to_string())?;
            let mut said = BufReader::new(started.stdout.take().expect("a pipe"));
            let mut line = String::new();
            let _ = said.read_line(&mut line);
            if line == "ready\n" {
                // What it says later is of no interest, and must not stop it.
                thread::spawn(move || said.read_to_end(&mut Vec::new()));
                *child = Some(started);
                return Ok(());
            }
            let status = started.wait().map_err(|error| error.to_string())?;
            if Instant::now() > deadline {
                return Err(format!("there is no device host: {status}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Has another take its place: it has nobody to speak to any more.
    pub fn replace(&self) -> Result<(), String> {
        self.end();
        self.ensure()
    }

    fn end(&self) {
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its process, if it lives.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id).filter(|pid| processes::is_alive(*pid))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DeviceHost {
    fn drop(&mut self) {
        self.end();
    }
}

/// Who ends the agent of a machine: a program in the machine that is none of the agent's, and listens at a serial port.
pub struct Executioner(UnixStream);

impl Executioner {
    /// Has one wait in a machine that runs.
    pub fn wait_in(system: &System, root: &Path) -> Executioner {
        // Nothing of it is the agent's: neither its parent, nor its cgroup, nor its streams.
        let script = r#"setsid sh -c '
                echo $$ > /sys/fs/cgroup/cgroup.procs
                exec < /dev/ttyS1 > /dev/ttyS1 2>&1
                stty raw -echo
                echo here
                while read -r line; do
                    for process in /proc/[0-9]*; do
                        [ $process != /proc/1 ] && [ "$(cat $process/comm)" = hcs-guest ] && break
                    done
                    kill -9 ${process#/proc/}
                    while [ -d $process ]; do :; done
                    echo gone
                done' < /dev/null > /dev/null 2>&1 &"#;
        let socket = UnixStream::connect(kind::scaffold(root)).expect("the scaffold");
        output(system, script);
        hear(&socket, "here").expect("who ends agents");
        Executioner(socket)
    }

    /// Has it end the agent; whether it did.
    pub fn strike(&self) -> bool {
        (&self.0).write_all(b"now\n").is_ok() && hear(&self.0, "gone").is_ok()
    }
}

fn hear(mut socket: &UnixStream, text: &str) -> Result<(), String> {
    let mut said = String::new();
    socket.set_read_timeout(Some(SOON)).expect("a time limit");
    let mut buffer = [0; 64];
    while !said.contains(text) {
        match socket.read(&mut buffer) {
            Ok(0) => return Err(format!("hung up behind {said:?}")),
            Ok(length) => said += &String::from_utf8_lossy(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("{error} behind {said:?}")),
        }
    }
    Ok(())
}
