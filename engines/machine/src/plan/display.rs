//! The screen of a machine, and what is at it.

use hcs_container::policy::Notice;
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

/// What the document says of a screen that there is not.
pub fn without_screen(devices: &Devices) -> impl Iterator<Item = Notice> {
    let given = [("Keyboard", devices.keyboard.is_some()), ("Mouse", devices.mouse.is_some())];
    let is_missing = devices.video_monitor.is_none();
    given.into_iter().filter(move |(_, is_given)| is_missing && *is_given).map(|(name, _)| Notice {
        path: format!("$.VirtualMachine.Devices.{name}"),
        message: format!("{name} has no effect: the machine has no VideoMonitor that it would be at"),
    })
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
