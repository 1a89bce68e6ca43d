//! `hcs metrics`

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use hcs_ipc::socket;

use crate::{
    Context,
    failure::{Failure, NO_SERVICE},
    output,
};

/// How long a service may take to say the next of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Print the figures of the service in the text form of Prometheus.
///
/// They are read from metrics.sock beside the service's socket, where any program gets them by GET /metrics.
#[derive(clap::Args)]
pub struct Metrics {}

impl Metrics {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let path = context.options.socket.with_file_name("metrics.sock");
        let failed = |error: &io::Error| {
            Failure::io(error, &format!("asking at {} for metrics", path.display())).exit_with(NO_SERVICE)
        };
        let mut stream = UnixStream::from(socket::connect(&path).map_err(|error| failed(&error))?);
        let mut answer = String::new();
        stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n"))
            .and_then(|()| stream.read_to_string(&mut answer))
            .map_err(|error| failed(&error))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, figures)) if head.starts_with("HTTP/1.0 200 ") => output::line(figures.trim_end()),
            _ => Err(Failure::new(format!(
                "{} answered {:?}, and no figures: is it the socket of another service?",
                path.display(),
                answer.lines().next().unwrap_or_default()
            ))),
        }
    }
}
