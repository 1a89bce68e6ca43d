//! What a service manager expects: a socket handed over, a word when ready, and lines for its journal.

// UNSAFETY: one descriptor number is taken over from the service manager.
#![expect(unsafe_code)]

use std::{
    os::{
        fd::{FromRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

/// Logs to the standard error: text for people, JSON lines if `HCS_LOG_FORMAT=json`. `HCS_LOG` filters.
pub fn start_log() {
    let filter = EnvFilter::try_from_env("HCS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    if std::env::var_os("HCS_LOG_FORMAT").is_some_and(|format| format == "json") {
        log.json().init();
    } else {
        log.with_ansi(false).init();
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
    let socket = unsafe { OwnedFd::from_raw_fd(FIRST) };
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(socket)
}

/// Tells the service manager something, if there is one.
pub fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(&name)),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}
