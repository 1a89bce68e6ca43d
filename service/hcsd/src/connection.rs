//! One connection of a client, and the session that its calls use.

use std::sync::Arc;

use hcs_ipc::stream::Stream;

use crate::{service::Service, session::Session};

/// A client's connection.
pub struct Connection {
    /// What everybody shares.
    pub service: Arc<Service>,
    /// The socket.
    pub stream: Stream,
    /// Whose handles its calls use.
    pub session: Arc<Session>,
}

impl Connection {
    /// A connection with a session of its own.
    pub fn new(service: Arc<Service>, stream: Stream) -> Connection {
        Connection { service, stream, session: Session::of_connection() }
    }
}
