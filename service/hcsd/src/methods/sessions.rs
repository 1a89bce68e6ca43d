//! `Join`: a connection becomes part of a session.

use hcs_core::{Cause, Error};
use hcs_ipc::compute::{Done, Join};
use hcs_schema::Any;

use super::{done, read};
use crate::{
    connection::Connection,
    reply::{Encoded, Outcome, encode},
};

/// Joins, and says whether that succeeded. The handles of the connection's own session are closed.
///
/// A connection that could not join must be closed: clients send calls ahead that are meant for the session.
pub fn join(connection: &mut Connection, parameters: &Any) -> (Encoded, bool) {
    let call: Join = match read(parameters) {
        Ok(call) => call,
        Err(refusal) => return (refusal, false),
    };
    let outcome: Result<Outcome<Done>, Error> = match connection.service.session(&call.token) {
        Some(session) => {
            if connection.session.token.is_none() {
                connection.session.end();
            }
            connection.session = session;
            Ok(done())
        }
        None => Err(Error::new(Cause::NotFound, "there is no session with this token")),
    };
    match encode(outcome) {
        Ok(reply) => (reply, true),
        Err(refusal) => (refusal, false),
    }
}
