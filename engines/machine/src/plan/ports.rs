//! Serial ports and ports of the virtio serial controller, each at a socket of the host.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::Devices;
use serde::{Deserialize, Serialize};

/// The most ports of the virtio controller; it has 31 beside its console.
const MOST: u32 = 30;

/// A socket of the host that a port is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipe {
    /// Where the socket is made.
    pub socket: String,
    /// The member that names it.
    pub blame: String,
}

/// A port of the virtio serial controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioPort {
    /// Which.
    pub number: u32,
    /// What the guest sees it called.
    pub name: Option<String>,
    /// Whether it is a terminal of the guest.
    pub console: bool,
    /// Where it is on the host.
    pub pipe: Pipe,
}

/// A socket of somebody on the host that the guest finds as a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPipe {
    /// Where it is.
    pub socket: String,
    /// The number of the port among those of its kind.
    pub number: u32,
}

impl MappedPipe {
    /// What the guest sees the port called: the last part of the socket's path.
    pub fn name(&self) -> &str {
        self.socket.rsplit('/').next().unwrap_or_default()
    }
}

/// The pipe that a member names, if it names one.
pub fn pipe(named: Option<String>, blame: String) -> Result<Option<Pipe>, Error> {
    /// As long as the name of a socket may be.
    const LONGEST: usize = 107;
    let Some(socket) = named.filter(|path| !path.is_empty()) else { return Ok(None) };
    absolute(&socket, &blame)
        .map_err(|error| error.hint("On Linux it is the path of a Unix socket, which is made."))?;
    if socket.len() > LONGEST {
        let detail = format!("found a path of {} bytes, expected at most {LONGEST}", socket.len());
        return Err(Error::new(Cause::InvalidData, detail).at(blame));
    }
    Ok(Some(Pipe { socket, blame }))
}

/// The number of a serial port: COM1 is 0.
pub fn serial_number(text: &str, at: &str) -> Result<usize, Error> {
    text.parse().ok().filter(|number| *number < 2).ok_or_else(|| {
        Error::new(Cause::InvalidData, format!("found the port {text:?}, expected 0 or 1")).at(at)
    })
}

/// Plans the serial ports.
pub fn serial(devices: &Devices) -> Result<[Option<Pipe>; 2], Error> {
    let mut ports = [None, None];
    for (key, port) in devices.com_ports.clone().unwrap_or_default() {
        let at = format!("$.VirtualMachine.Devices.ComPorts[{key:?}]");
        let number = serial_number(&key, &at)?;
        // Without a pipe it is not connected.
        ports[number] = pipe(port.named_pipe, format!("{at}.NamedPipe"))?;
    }
    Ok(ports)
}

/// Plans the ports of the virtio controller.
pub fn virtio(devices: &Devices) -> Result<Vec<VirtioPort>, Error> {
    let mut ports: Vec<VirtioPort> = Vec::new();
    let given = devices.virtio_serial.clone().and_then(|serial| serial.ports).unwrap_or_default();
    for (key, port) in given {
        let at = format!("$.VirtualMachine.Devices.VirtioSerial.Ports[{key:?}]");
        let wrong = |detail: String, at: &str| Error::new(Cause::InvalidData, detail).at(at);
        let number: u32 = key
            .parse()
            .ok()
            .filter(|number| *number < MOST)
            .ok_or_else(|| wrong(format!("found the port {key:?}, expected 0 to {}", MOST - 1), &at))?;
        let blame = format!("{at}.NamedPipe");
        let Some(pipe) = pipe(port.named_pipe, blame.clone())? else {
            let detail = "found none, expected the path of the socket that the port is at";
            return Err(wrong(detail.to_owned(), &blame));
        };
        let name = port.name.filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.contains([',', '\0'])) {
            let detail = format!("found {name:?}, expected a name without a comma");
            return Err(wrong(detail, &format!("{at}.Name")));
        }
        ports.push(VirtioPort { number, name, console: port.console_support.unwrap_or(false), pipe });
    }
    Ok(ports)
}
