//! The service from start to stop: take over what is there, listen, accept, and leave everything running.

use std::{
    collections::HashMap,
    fs, io,
    num::NonZeroU32,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, chown},
    },
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use hcs_core::{Cause, Error};
use hcs_ipc::{socket, stream::Stream, varlink};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    config::Config, connection::Connection, conversation, metrics, restart, service::Service, systemd,
    temporary,
};

/// Runs the service until it is told to stop. Systems go on without it.
pub async fn run(config: Config) -> Result<(), Error> {
    let failed = |error: &io::Error| {
        Error::from_io(error, format!("listening at {}", config.settings.socket.display()))
    };
    let activated = systemd::activated_socket();
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
    systemd::notify("READY=1");
    tokio::select! {
        () = accept(&service, listener, metrics) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = temporary::until_input_ends(), if config.temporary.is_some() => {}
    }
    systemd::notify("STOPPING=1");
    if let Some(root) = &config.temporary {
        return temporary::leave(&service, root).await;
    }
    service.leave_cgroups();
    tracing::info!("stopped; systems go on");
    Ok(())
}

/// Opens the socket for root and the group.
fn listen(service: &Service) -> io::Result<OwnedFd> {
    let path = &service.config.settings.socket;
    if socket::is_listened_at(path) {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another service listens there"));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody gets in between bind and the change of rights.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let socket = socket::listen(path, 1024);
    rustix::process::umask(before);
    let socket = socket?;
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
    let path = config.settings.run_folder.join("metrics.sock");
    metrics::http::listen(&path)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "there are no metrics"))
        .ok()
}

/// Counts connections, so that one user cannot take them all.
#[derive(Default)]
struct Counts {
    all: usize,
    by_user: HashMap<u32, usize>,
}

async fn accept(service: &Arc<Service>, listener: UnixListener, metrics: Option<UnixListener>) {
    let counts: Rc<std::cell::RefCell<Counts>> = Rc::default();
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
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        })
        .await;
}

fn admit(service: &Arc<Service>, socket: tokio::net::UnixStream, counts: &Rc<std::cell::RefCell<Counts>>) {
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
                refuse(stream, &error).await;
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

/// How long one that is refused may take to say what it wants. It is counted nowhere, and holds a descriptor.
const REFUSED: Duration = Duration::from_secs(5);

/// Answers the first call with the reason, so that the client can tell it.
async fn refuse(mut stream: Stream, error: &Error) {
    tracing::warn!(%error, "a connection was refused");
    let answer = async {
        if let (Ok(Some(_)), Ok(text)) = (stream.receive().await, varlink::encode_error(error)) {
            let _ = stream.send(text, Vec::new()).await;
        }
    };
    // Who is not there in time is told nothing.
    let _ = tokio::time::timeout(REFUSED, answer).await;
}
