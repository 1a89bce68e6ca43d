//! The service from start to stop: take over what is there, listen, accept, and leave everything running.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    future::ready,
    io,
    num::NonZeroU32,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, chown},
    },
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use hcs_ipc::{socket, stream::Stream, varlink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    time,
};

use crate::{
    blocking, config::Config, connection::Connection, conversation, metrics, restart, service::Service,
    systemd, temporary,
};

/// How many connections that are refused wait for their first call at a time. Others are closed without a word.
const REFUSED_AT_A_TIME: usize = 64;
/// How long each of them may take with it.
const REFUSAL: Duration = Duration::from_secs(2);

/// How long what a service has left may listen in its place.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Tells the service manager, who waits for it and ends a service that does not say so.
async fn tell_ready() {
    if let Err(error) = blocking::insist(|| ready(systemd::notify("READY=1"))).await {
        tracing::error!(%error, "the service manager could not be told that the service is ready");
    }
}

/// Runs the service until it is told to stop. Systems go on without it.
pub async fn run(config: Config) -> Result<(), Error> {
    let failed = |error: &io::Error| {
        Error::from_io(error, format!("listening at {}", config.settings.socket.display()))
    };
    let activated = systemd::activated_socket();
    // Before anything is taken over: workers would believe a second service, and the first would believe them dead.
    if activated.is_none() && is_served(&config.settings.socket, LAST_WORDS) {
        return Err(failed(&io::Error::new(io::ErrorKind::AddrInUse, "another service listens there")));
    }
    let service = Service::new(config.clone())?;
    restart::take_over(&service).await;
    let socket = match activated {
        Some(socket) => socket,
        None => listen(&service).map_err(|error| failed(&error))?,
    };
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(|error| failed(&error))?;
    let listener = UnixListener::from_std(listener).map_err(|error| failed(&error))?;
    let metrics = config.settings.metrics.then(|| listen_for_metrics(&config)).flatten();
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    tracing::info!(socket = %config.settings.socket.display(), "ready");
    service.spare_workers.refill();
    tokio::spawn(tell_ready());
    tokio::select! {
        () = accept(&service, listener, metrics) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = temporary::until_input_ends(), if config.temporary.is_some() => {}
    }
    if let Err(error) = systemd::notify("STOPPING=1") {
        tracing::warn!(%error, "the service manager could not be told of the end");
    }
    if let Some(root) = &config.temporary {
        return temporary::leave(&service, root).await;
    }
    service.leave_cgroups();
    tracing::info!("stopped; systems go on");
    Ok(())
}

/// Whether somebody listens, be it one that does not get round to it. A service that was killed while it started a program has left a
/// copy of its socket in that, for the moment until the program has begun: then this connection ends without a word.
fn is_served(socket: &Path, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        match socket::connect_at_once(socket) {
            // A service says nothing before it is asked. One that has too many connections ends them at once, again and again.
            Ok(connection) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let Ok(left) = Timespec::try_from(left) else { return true };
                let mut ends = [PollFd::new(&connection, PollFlags::RDHUP)];
                if left == Timespec::default() || !matches!(poll(&mut ends, Some(&left)), Ok(1..)) {
                    return true;
                }
            }
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// Opens the socket for root and the group.
fn listen(service: &Service) -> io::Result<OwnedFd> {
    let path = &service.config.settings.socket;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket::listen(path, 1024)?;
    set_rights(path, service.access.group())?;
    Ok(socket)
}

fn set_rights(path: &Path, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        chown(path, None, Some(group))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    }
    Ok(())
}

/// Opens the socket of the figures. The service is of use without them.
fn listen_for_metrics(config: &Config) -> Option<UnixListener> {
    let path = config.settings.socket.with_file_name("metrics.sock");
    metrics::http::listen(&path)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "there are no metrics"))
        .ok()
}

/// Counts connections, so that one user cannot take them all. Those that are refused are none, so they have places of
/// their own: whoever has too many cannot take the service's descriptors by asking for more.
struct Counts {
    all: usize,
    by_user: HashMap<u32, usize>,
    refused: Arc<Semaphore>,
}

async fn accept(service: &Arc<Service>, listener: UnixListener, metrics: Option<UnixListener>) {
    let refused = Arc::new(Semaphore::new(REFUSED_AT_A_TIME));
    let counts = Rc::new(RefCell::new(Counts { all: 0, by_user: HashMap::new(), refused }));
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async {
            if let Some(metrics) = metrics {
                tokio::task::spawn_local(metrics::http::serve(service.clone(), metrics));
            }
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => admit(service, socket, &counts),
                    Err(error) => {
                        // Out of descriptors, most likely: those who are in go on, and one who leaves makes room.
                        tracing::warn!(%error, "a connection could not be accepted");
                        time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        })
        .await;
}

fn admit(service: &Arc<Service>, socket: tokio::net::UnixStream, counts: &Rc<RefCell<Counts>>) {
    let Ok(socket) = socket.into_std().map(OwnedFd::from) else { return };
    let Ok(peer) = socket::peer(&socket) else { return };
    // Before it is counted: what is counted here is given back by the task.
    let Ok(stream) = Stream::new(socket) else { return };
    let settings = &service.config.settings;
    let refusal = if !service.access.allows(peer, stream.as_socket()) {
        Some(
            Error::new(Cause::NotPrivileged, format!("user {} may not use the service", peer.uid))
                .hint(format!("Use it as root, or as a member of the group {}.", settings.group)),
        )
    } else {
        let mut counts = counts.borrow_mut();
        let of_user = counts.by_user.get(&peer.uid).copied().unwrap_or(0);
        let is_one_too_many = |count: usize, most: NonZeroU32| count >= most.get() as usize;
        if is_one_too_many(counts.all, settings.max_connections)
            || (peer.uid != 0 && is_one_too_many(of_user, settings.max_connections_per_user))
        {
            Some(Error::new(Cause::NotEnoughQuota, "there are too many connections"))
        } else {
            counts.all += 1;
            *counts.by_user.entry(peer.uid).or_default() += 1;
            None
        }
    };
    let (service, counts) = (service.clone(), counts.clone());
    tokio::task::spawn_local(async move {
        match refusal {
            Some(error) => {
                service.metrics.connections_refused.count();
                let place = counts.borrow().refused.clone().try_acquire_owned();
                if place.is_ok() {
                    tracing::warn!(%error, "a connection was refused");
                    // Who does not speak in time is not told.
                    let _ = time::timeout(REFUSAL, refuse(stream, &error)).await;
                }
            }
            None => {
                service.metrics.connections_admitted.count();
                if let Err(error) = conversation::serve(Connection::new(service.clone(), stream)).await {
                    tracing::debug!(pid = peer.pid, uid = peer.uid, %error, "a connection was closed");
                }
                service.metrics.connections_ended.count();
                let mut counts = counts.borrow_mut();
                counts.all -= 1;
                if let Some(of_user) = counts.by_user.get_mut(&peer.uid) {
                    *of_user -= 1;
                    if *of_user == 0 {
                        counts.by_user.remove(&peer.uid);
                    }
                }
            }
        }
    });
}

/// Answers the first call with the reason, so that the client can tell it.
async fn refuse(mut stream: Stream, error: &Error) {
    if let (Ok(Some(_)), Ok(text)) = (stream.receive().await, varlink::encode_error(error)) {
        let _ = stream.send(text, Vec::new()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    #[test]
    fn what_a_killed_service_has_left_is_no_service() {
        let path = std::env::temp_dir().join(format!("hcsd-left-{}", std::process::id()));
        let (moment, long) = (Duration::from_millis(50), Duration::from_secs(60));
        assert!(!is_served(&path, moment));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_served(&path, moment), "one that lives is there");
        drop(listener.accept().unwrap());
        // It goes as soon as somebody has connected, without having taken the connection.
        let left = thread::spawn(move || {
            poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
            drop(listener);
        });
        assert!(!is_served(&path, long));
        left.join().unwrap();
        fs::remove_file(&path).unwrap();
    }
}
