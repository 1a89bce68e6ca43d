//! The methods that give many replies: `Attach` and `WatchEvents`.

use std::{io, sync::Arc, time::Duration};

use hcs_core::{SystemId, random};
use hcs_ipc::{
    compute::{
        Attach, AttachReply, Attached, Claim, Method, SystemEvent, SystemEventKind, WatchEvents,
        WatchEventsReply,
    },
    interface, varlink,
};
use hcs_schema::{Any, Guid};
use serde_json::json;

use super::read;
use crate::{
    connection::Connection, registry::CLAIM_TIME, reply::encoded, service::Service, session::Session,
};

/// How long a listener may leave an event that its connection has no room for.
const LISTENER_PATIENCE: Duration = Duration::from_secs(30);

/// Serves a stream until either side ends it. The connection is of no other use afterwards.
pub async fn serve(
    connection: &mut Connection,
    method: &str,
    parameters: &Any,
    more: bool,
) -> io::Result<bool> {
    if !more {
        let name = format!("{}.ExpectedMore", interface::SERVICE);
        connection.stream.send(encoded(varlink::encode_named_error(&name, &json!({}))), Vec::new()).await?;
        return Ok(true);
    }
    match method {
        Attach::NAME => attach(connection, parameters).await,
        _ => watch(connection, parameters).await,
    }
}

async fn attach(connection: &mut Connection, parameters: &Any) -> io::Result<bool> {
    let call: Attach = match read(parameters) {
        Ok(call) => call,
        Err((text, fds)) => return connection.stream.send(text, fds).await.map(|()| true),
    };
    let token = match call.token.filter(|token| Guid::NIL.to_string().len() <= token.len()) {
        Some(token) => token,
        None => random::secret()?.to_string(),
    };
    let (session, mut events) = Session::attached(token.clone());
    let replaced = connection.service.enter_session(&session);
    let (handles, processes) = reclaim(&connection.service, &session, &call.claims.unwrap_or_default());
    // Only now, so that a system that ends with its last handle has one at every moment.
    if let Some(replaced) = replaced {
        replaced.end();
    }
    if connection.session.token.is_none() {
        connection.session.end();
    }
    connection.session = session.clone();
    let attached = Attached { token, handles, processes };
    let result = async {
        send(connection, &AttachReply { attached: Some(attached), event: None }).await?;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        send(connection, &AttachReply { attached: None, event: Some(event) }).await?;
                        connection.service.metrics.events_sent.count();
                    }
                    // Its queue was full, or the session was taken over by another connection.
                    None => {
                        if !session.has_ended() {
                            connection.service.metrics.listeners_dropped.count();
                        }
                        return Ok(Ended::ByUs);
                    }
                },
                () = connection.stream.closed() => return Ok(Ended::ByClient),
            }
        }
    }
    .await;
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if matches!(result, Ok(Ended::ByUs)) || result.as_ref().is_err_and(is_late) {
        // A listener that did not keep up comes back with its token and claims its handles, as after a restart.
        tokio::spawn(async move {
            tokio::time::sleep(CLAIM_TIME).await;
            session.end();
        });
    } else {
        session.end();
    }
    result.map(|_| false)
}

/// Which side has ended an event stream.
enum Ended {
    ByUs,
    ByClient,
}

/// Makes the handles of a client that comes back valid again, as far as what they stood for is known.
fn reclaim(service: &Service, session: &Arc<Session>, claims: &[Claim]) -> (Vec<u64>, Vec<u64>) {
    let (mut handles, mut processes) = (Vec::new(), Vec::new());
    for claim in claims {
        let Ok(id) = SystemId::new(&claim.id) else { continue };
        let Some(system) = service.registry.claim(&id, &claim.instance) else { continue };
        if session.reopen_system(claim.handle, &system).is_ok() {
            handles.push(claim.handle);
        }
        for process in &claim.processes {
            if let Some(found) = system.claimed_process(process.process_id)
                && session.reopen_process(process.process, &system, &found).is_ok()
            {
                processes.push(process.process);
            }
        }
    }
    (handles, processes)
}

async fn watch(connection: &mut Connection, parameters: &Any) -> io::Result<bool> {
    let call: WatchEvents = match read(parameters) {
        Ok(call) => call,
        Err((text, fds)) => return connection.stream.send(text, fds).await.map(|()| true),
    };
    let (mut events, past, last) = connection.service.watch.listen(call.since);
    let beginning = past.unwrap_or_else(|| {
        let systems = connection.service.registry.all().into_iter();
        systems
            .map(|system| SystemEvent {
                sequence: last,
                r#type: SystemEventKind::Present,
                id: system.id.as_str().to_owned(),
                state: system.state().name().to_owned(),
                data: None,
            })
            .collect()
    });
    for event in beginning {
        send(connection, &WatchEventsReply { event }).await?;
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    send(connection, &WatchEventsReply { event }).await?;
                    connection.service.metrics.events_sent.count();
                }
                None => {
                    connection.service.metrics.listeners_dropped.count();
                    return Ok(false);
                }
            },
            () = connection.stream.closed() => return Ok(false),
        }
    }
}

async fn send(connection: &mut Connection, reply: &impl serde::Serialize) -> io::Result<()> {
    let text = varlink::encode_reply(reply, true).map_err(io::Error::from)?;
    // A listener that has stopped reading is disconnected: if others have filled its queue meanwhile, or after this time.
    let sent = tokio::time::timeout(LISTENER_PATIENCE, connection.stream.send(text, Vec::new())).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
