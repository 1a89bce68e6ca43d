//! A call under way: a future for async programs, a wait for others, and a way to cancel it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use hcs_core::Cause;
use hcs_ipc::compute::{CancelOperation, Method};
use tokio::sync::oneshot;

use crate::{
    Error, Link,
    link::{Replied, Ticket},
};

/// A call that was made. Dropping it does not undo the call; its result is then closed or forgotten.
#[must_use = "the outcome of a call should be looked at"]
pub struct Operation<T> {
    link: Link,
    number: u64,
    ticket: Ticket,
    outcome: oneshot::Receiver<Result<T, Error>>,
}

impl<T: Send + 'static> Operation<T> {
    /// Makes a call; `number` is what its parameter `operation` says, `understand` makes the result of the reply.
    pub(crate) fn begin<M: Method>(
        link: &Link,
        number: u64,
        call: &M,
        understand: impl FnOnce(Replied<M::Reply>) -> Result<T, Error> + Send + 'static,
    ) -> Operation<T> {
        let (sender, outcome) = oneshot::channel();
        let ticket = link.call(call, move |replied| {
            // Nobody waits any more; what is in the result is closed by being dropped.
            let _ = sender.send(replied.and_then(understand));
        });
        Operation { link: link.clone(), number, ticket, outcome }
    }

    /// Waits without a runtime. Not to be called where one is running.
    pub fn wait(self) -> Result<T, Error> {
        self.ticket.wait(None);
        self.outcome.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Asks for the call to be cancelled. The creation of a system can be; it then fails with
    /// [`Cause::Cancelled`] and leaves nothing behind. Others answer [`Cause::NotImplemented`] and go on.
    pub fn cancel(&self) -> Operation<()> {
        Operation::begin(&self.link, 0, &CancelOperation { operation: self.number }, |_| Ok(()))
    }
}

impl<T> Future for Operation<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map(|outcome| outcome.unwrap_or_else(|_| Err(gone())))
    }
}

fn gone() -> Error {
    Error::from(Cause::ServiceDisconnect)
}
