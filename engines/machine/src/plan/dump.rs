//! Where the memory of a guest that crashes is written. The document calls it after Windows, but every guest has some.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::Devices;
use hcs_state::replace::partial;
use serde::{Deserialize, Serialize};

/// A file that is written when the guest crashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// The file.
    pub path: String,
    /// How large it may be.
    pub most_bytes: Option<u64>,
}

impl Dump {
    /// Where it is written before it is whole.
    pub fn partial(&self) -> String {
        partial(self.path.as_ref()).display().to_string()
    }
}

/// Plans it.
pub fn plan(devices: &Devices) -> Result<Option<Dump>, Error> {
    const AT: &str = "$.VirtualMachine.Devices.GuestCrashReporting.WindowsCrashSettings";
    let settings =
        devices.guest_crash_reporting.clone().and_then(|reporting| reporting.windows_crash_settings);
    let settings = settings.unwrap_or_default();
    if let Some(kind) = settings.dump_type.filter(|kind| !kind.is_empty() && kind != "Full") {
        let detail = format!("found {kind:?}, expected \"Full\"");
        return Err(Error::new(Cause::NotSupported, detail).at(format!("{AT}.DumpType")));
    }
    let Some(path) = settings.dump_file_name.filter(|path| !path.is_empty()) else { return Ok(None) };
    absolute(&path, &format!("{AT}.DumpFileName"))?;
    let most_bytes =
        settings.max_dump_size.and_then(|most| u64::try_from(most).ok()).filter(|most| *most > 0);
    Ok(Some(Dump { path, most_bytes }))
}
