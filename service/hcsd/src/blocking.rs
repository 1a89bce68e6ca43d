//! What may block has a thread of its own, and what must succeed in the end is tried again.

use std::{future::Future, io, time::Duration};

use hcs_core::{Cause, Error};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

/// For how long something is tried again, and the pauses between attempts. What is missing, descriptors or threads or memory,
/// is mostly given back by others long before.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Does something on a new thread, and waits for it there. Where there cannot be another thread it is an error; the
/// runtime's own way is to panic.
pub async fn run<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let failed = |error: io::Error| Error::from_io(&error, "starting a thread");
    let (tell, told) = oneshot::channel();
    let runtime = Handle::try_current().map_err(|error| failed(io::Error::other(error)))?;
    let work = move || {
        let _inside = runtime.enter();
        // Who has asked may have gone.
        let _ = tell.send(what());
    };
    std::thread::Builder::new().spawn(work).map_err(failed)?;
    told.await.map_err(|_| Error::new(Cause::Unexpected, "a thread has ended without a result"))
}

/// Tries something again and again, until it succeeds or there is no hope.
pub async fn insist<E, F>(attempt: impl FnMut() -> F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    again_if(attempt, |_| true).await
}

/// Tries something again as long as it fails for want of what others mostly give back. What such a failure says of the thing
/// itself is nothing: neither that it is there nor that it is not.
pub async fn await_means<T, F>(attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    again_if(attempt, lacks_means).await
}

/// Whether something has failed for want of descriptors, memory, or the like.
pub fn lacks_means(error: &Error) -> bool {
    matches!(error.cause, Cause::TooManyOpenFiles | Cause::OutOfMemory | Cause::NotEnoughQuota)
}

async fn again_if<T, E, F>(mut attempt: impl FnMut() -> F, is_hopeful: impl Fn(&E) -> bool) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(error) if is_hopeful(&error) && Instant::now() < until => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}
