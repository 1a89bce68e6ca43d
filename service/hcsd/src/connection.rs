//! One connection of a client: takes a call, has it done, answers, and so on until the client hangs up.
//!
//! Calls of one connection are answered in order, one at a time; a client that wants more at once opens more
//! connections.

use std::{io, os::fd::OwnedFd, sync::Arc};

use hcs_core::Error;
use hcs_ipc::{
    Message,
    interface,
    stream::Stream,
    varlink::{self, Call},
};
use hcs_schema::Any;
use serde_json::json;

use crate::{
    methods::{self, Outcome},
    service::Service,
    session::Session,
};

/// A client's connection.
pub struct Connection {
    /// What everybody shares.
    pub service: Arc<Service>,
    /// The socket.
    pub stream: Stream,
    /// Whose handles its calls use.
    pub session: Arc<Session>,
}

/// What is sent back: text and descriptors.
pub type Encoded = (Vec<u8>, Vec<OwnedFd>);

impl Connection {
    /// A connection with a session of its own.
    pub fn new(service: Arc<Service>, stream: Stream) -> Connection {
        Connection { service, stream, session: Session::of_connection() }
    }

    /// Serves the client until it hangs up.
    pub async fn serve(mut self) -> io::Result<()> {
        let result = self.converse().await;
        if self.session.token.is_none() {
            self.session.end();
        }
        result
    }

    async fn converse(&mut self) -> io::Result<()> {
        while let Some(message) = self.stream.receive().await? {
            let Ok(call) = serde_json::from_slice::<Call>(&message.text) else {
                // What is no call has no answer in Varlink; the connection is of no use any more.
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is no Varlink call"));
            };
            if !self.answer(call, message).await? {
                break;
            }
        }
        Ok(())
    }

    /// False when the connection has served its purpose.
    async fn answer(&mut self, call: Call, message: Message) -> io::Result<bool> {
        if call.upgrade {
            let text = encoded(varlink::encode_named_error(
                &format!("{}.MethodNotImplemented", interface::SERVICE),
                &json!({ "method": call.method }),
            ));
            self.stream.send(text, Vec::new()).await?;
            return Ok(true);
        }
        // Descriptors that a call did not ask for are closed here, whatever it is.
        drop(message.fds);
        let parameters = call.parameters.unwrap_or_else(empty);
        match call.method.as_str() {
            "io.hcs.Compute.Attach" | "io.hcs.Compute.WatchEvents" => {
                return methods::streams::serve(self, &call.method, &parameters, call.more).await;
            }
            "io.hcs.Compute.Join" => {
                let ((text, fds), joined) = methods::sessions::join(self, &parameters);
                self.stream.send(text, fds).await?;
                return Ok(joined);
            }
            _ => {}
        }
        let (service, session, method) = (self.service.clone(), self.session.clone(), call.method);
        let mut doing =
            Box::pin(async move { methods::dispatch(&service, &session, &method, &parameters).await });
        let answer = tokio::select! {
            biased;
            answer = &mut doing => answer,
            // Who hangs up does not wait for the answer, but the call is carried through: half of it would
            // be worse than all of it.
            () = self.stream.closed() => {
                tokio::spawn(doing);
                return Ok(false);
            }
        };
        if !call.oneway {
            self.stream.send(answer.0, answer.1).await?;
        }
        Ok(true)
    }
}

/// The parameters of a call that has none.
fn empty() -> Any {
    Any::from_text("{}").unwrap_or_default()
}

/// The text of an outcome.
pub fn encode<T: serde::Serialize>(outcome: Result<Outcome<T>, Error>) -> Encoded {
    match outcome {
        Ok(Outcome { reply, fds }) => (encoded(varlink::encode_reply(&reply, false)), fds),
        Err(error) => (encoded(varlink::encode_error(&error)), Vec::new()),
    }
}

/// Our own types always have a text; if not, an empty object is still a reply.
pub fn encoded(text: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    text.unwrap_or_else(|error| {
        tracing::error!(%error, "a reply could not be written");
        b"{}".to_vec()
    })
}
