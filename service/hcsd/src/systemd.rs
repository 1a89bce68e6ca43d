//! What a service manager expects: a socket handed over, a word when ready, and lines for its journal.
#![expect(
    unsafe_code,
    reason = "one descriptor number is taken over from the service manager, and close_range is not in rustix"
)]

use std::{
    io,
    os::{
        fd::{FromRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

use hcs_config::{Config, LogFormat};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

/// Logs to the standard error.
pub fn start_log(config: &Config) {
    let filter = EnvFilter::new(config.log.as_str());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that takes nothing, as on a full disk, would be complained of on the same standard error, with a panic.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    match config.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Keeps what this process was started with from its workers, which outlive it: a pipe of whoever started the
/// service would otherwise stay open for as long as a system lives.
pub fn keep_descriptors() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: three integers; descriptors are marked and none is closed, so no owner is surprised.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result != 0 {
        tracing::warn!(error = %std::io::Error::last_os_error(), "inherited descriptors could not be marked");
    }
}

/// The listening socket that the service manager has opened for us, if any.
pub fn activated_socket() -> Option<OwnedFd> {
    const FIRST: i32 = 3;
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID")? != std::process::id() || number("LISTEN_FDS")? < 1 {
        return None;
    }
    // SAFETY: LISTEN_PID says that the descriptors from 3 on were opened for this very process; nothing here
    // has opened or taken descriptor 3 before, because this runs once, first, and the variable names us.
    Some(unsafe { OwnedFd::from_raw_fd(FIRST) })
}

/// Tells the service manager something, if there is one.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(&name)),
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address?).map(|_| ())
}
