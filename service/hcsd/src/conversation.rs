//! What is said on a connection: a call is taken, done and answered, and so on until the client hangs up.
//!
//! Calls of one connection are answered in order, one at a time; a client that wants more at once opens more
//! connections.

use std::io;

use hcs_ipc::{
    Message,
    compute::{
        Attach, Join, Method, WaitForComputeSystemExit, WaitForPendingOperation, WaitForProcessExit,
        WatchEvents,
    },
    interface,
    varlink::{self, Call},
};
use hcs_schema::Any;
use serde_json::json;

use crate::{connection::Connection, methods, reply::encoded};

/// Serves the client until it hangs up.
pub async fn serve(mut connection: Connection) -> io::Result<()> {
    let result = converse(&mut connection).await;
    if connection.session.token.is_none() {
        connection.session.end();
    }
    result
}

async fn converse(connection: &mut Connection) -> io::Result<()> {
    while let Some(message) = connection.stream.receive().await? {
        let Ok(call) = serde_json::from_slice::<Call>(&message.text) else {
            // What is no call has no answer in Varlink; the connection is of no use any more.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is no Varlink call"));
        };
        if !answer(connection, call, message).await? {
            break;
        }
    }
    Ok(())
}

/// False when the connection has served its purpose.
async fn answer(connection: &mut Connection, call: Call, message: Message) -> io::Result<bool> {
    if call.upgrade {
        let text = encoded(varlink::encode_named_error(
            &format!("{}.MethodNotImplemented", interface::SERVICE),
            &json!({ "method": call.method }),
        ));
        connection.stream.send(text, Vec::new()).await?;
        return Ok(true);
    }
    // Descriptors that a call did not ask for are closed here, whatever it is.
    drop(message.fds);
    let parameters = call.parameters.unwrap_or_else(empty);
    match call.method.as_str() {
        Attach::NAME | WatchEvents::NAME => {
            return methods::streams::serve(connection, &call.method, &parameters, call.more).await;
        }
        Join::NAME => {
            let ((text, fds), joined) = methods::sessions::join(connection, &parameters);
            connection.stream.send(text, fds).await?;
            return Ok(joined);
        }
        _ => {}
    }
    let (service, session, method) = (connection.service.clone(), connection.session.clone(), call.method);
    let is_wait = WAITS.contains(&method.as_str());
    let mut doing =
        Box::pin(async move { methods::dispatch(&service, &session, &method, &parameters).await });
    let answer = tokio::select! {
        biased;
        answer = &mut doing => answer,
        // Who hangs up does not wait for the answer, but the call is carried through: half of it would
        // be worse than all of it. Only to wait for something is of no use to anybody else.
        () = connection.stream.closed() => {
            if !is_wait {
                tokio::spawn(doing);
            }
            return Ok(false);
        }
    };
    if !call.oneway {
        connection.stream.send(answer.0, answer.1).await?;
    }
    Ok(true)
}

/// The calls that do nothing but wait.
const WAITS: [&str; 3] =
    [WaitForComputeSystemExit::NAME, WaitForProcessExit::NAME, WaitForPendingOperation::NAME];

/// The parameters of a call that has none.
fn empty() -> Any {
    Any::from_text("{}").unwrap_or_default()
}
