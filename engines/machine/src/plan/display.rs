//! The screen of a machine, and what is at it.

use hcs_core::Error;
use hcs_schema::Devices;
use serde::{Deserialize, Serialize};

use super::{Pipe, ports};

/// A screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Display {
    /// Its width, if the document says one.
    pub width: Option<u16>,
    /// Its height.
    pub height: Option<u16>,
    /// Where one looks at it, by VNC.
    pub pipe: Option<Pipe>,
    /// There is a keyboard.
    pub keyboard: bool,
    /// There is something to point with.
    pub mouse: bool,
}

/// Plans it.
pub fn plan(devices: &Devices) -> Result<Option<Display>, Error> {
    let Some(monitor) = &devices.video_monitor else { return Ok(None) };
    let given = |size: Option<u16>| size.filter(|size| *size > 0);
    let named = monitor.connection_options.as_ref().and_then(|options| options.named_pipe.clone());
    let blame = "$.VirtualMachine.Devices.VideoMonitor.ConnectionOptions.NamedPipe";
    Ok(Some(Display {
        width: given(monitor.horizontal_resolution),
        height: given(monitor.vertical_resolution),
        pipe: ports::pipe(named, blame.to_owned())?,
        keyboard: devices.keyboard.is_some(),
        mouse: devices.mouse.is_some(),
    }))
}
