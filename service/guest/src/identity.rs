//! Who this machine is, and what time it is: the host knows when it goes on elsewhere, or as another.

use std::{fs, io::Write};

use hcs_core::{Cause, Error};
use hcs_gcs::records::Identity;
use rustix::{
    io::Errno,
    time::{ClockId, Timespec},
};

/// Becomes that, as far as it is said.
pub fn become_it(identity: &Identity) -> Result<(), Error> {
    // Before anything is done that others could have done before, with the same numbers.
    if let Some(entropy) = &identity.entropy {
        let stirred = fs::File::options().write(true).open("/dev/urandom");
        stirred
            .and_then(|mut pool| pool.write_all(entropy.as_bytes()))
            .map_err(|error| Error::from_io(&error, "stirring the random numbers"))?;
    }
    if let Some(now) = identity.nanoseconds {
        set_clock(now)?;
    }
    if let Some(name) = &identity.host_name
        && (identity.is_new || is_nobody())
    {
        let doing = "setting the host name";
        rustix::system::sethostname(name.as_bytes())
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), doing))?;
        if fs::exists("/etc/hostname").unwrap_or(false) {
            write("/etc/hostname", name)?;
        }
    }
    if let Some(id) = &identity.machine_id
        && (identity.is_new || !fs::exists("/etc/machine-id").unwrap_or(true))
    {
        write("/etc/machine-id", id)?;
    }
    Ok(())
}

fn write(path: &str, text: &str) -> Result<(), Error> {
    fs::write(path, format!("{text}\n")).map_err(|error| Error::from_io(&error, format!("writing {path}")))
}

/// Whether nobody has given this machine a name.
fn is_nobody() -> bool {
    let name = rustix::system::uname();
    matches!(name.nodename().to_bytes(), b"" | b"(none)" | b"localhost")
}

fn set_clock(nanoseconds: u64) -> Result<(), Error> {
    const SECOND: u64 = 1_000_000_000;
    let too_late = |_| Error::new(Cause::InvalidData, "that time will never come");
    let now = Timespec {
        tv_sec: i64::try_from(nanoseconds / SECOND).map_err(too_late)?,
        tv_nsec: (nanoseconds % SECOND) as i64,
    };
    rustix::time::clock_settime(ClockId::Realtime, now)
        .map_err(|errno: Errno| Error::from_errno(errno.raw_os_error(), "setting the clock"))
}
