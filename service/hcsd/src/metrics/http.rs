//! metrics.sock: the figures for whoever asks by `GET /metrics`.
//!
//! Every user of the host may ask. A scraper should have no rights, and to be in the group of the service is to have all
//! of them. So everybody is a stranger here: a request is read up to a limit, in a limited time, and requests are taken up
//! one after the other with a pause, so that no number of them takes the service's one thread from its clients.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net},
    path::Path,
    sync::Arc,
    time::Duration,
};

use hcs_ipc::socket;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time,
};

use super::figures;
use crate::service::Service;

/// How many connections are served at a time; others wait in the kernel's queue.
const AT_A_TIME: usize = 8;
/// How long a client may take to ask and to read.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause after a connection was taken up. An answer takes some tenths of a millisecond.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest request.
const MAX_REQUEST: usize = 8 << 10;

/// Listens at this path.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = net::UnixListener::from(socket::listen(path, 64)?);
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    UnixListener::from_std(listener)
}

/// Answers until the service ends.
pub async fn serve(service: Arc<Service>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        // It is never closed, so there is always a place in the end.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                tokio::task::spawn_local(async move {
                    // Whoever asks too slowly, or goes before the answer, has none.
                    let _ = time::timeout(PATIENCE, converse(&service, stream)).await;
                    drop(place);
                });
            }
            Err(error) => tracing::debug!(%error, "a connection for metrics could not be accepted"),
        }
        time::sleep(PAUSE).await;
    }
}

async fn converse(service: &Service, mut stream: UnixStream) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    stream.write_all(answer(&head, || figures::text(service)).as_bytes()).await?;
    stream.shutdown().await
}

/// Reads until the empty line that ends the head of a request, the client's end, or the limit.
async fn read_head(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    let mut looked_at = 0;
    // Only at what is new: those who send byte by byte are not to cost more than others.
    while head.len() < MAX_REQUEST && !is_whole(&head[looked_at..]) {
        looked_at = head.len().saturating_sub(LONGEST_END - 1);
        if (&mut *stream).take((MAX_REQUEST - head.len()) as u64).read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

/// The longest of the two ends that a head can have.
const LONGEST_END: usize = 4;

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

fn answer(head: &[u8], figures: impl FnOnce() -> String) -> String {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words: Vec<&str> =
        std::str::from_utf8(line).unwrap_or_default().trim_end_matches('\r').split(' ').collect();
    let (status, more, body) = match words.as_slice() {
        [_, _, version] if !version.starts_with("HTTP/1.") || !is_whole(head) => refusal("400 Bad Request"),
        ["GET", "/metrics", _] => {
            ("200 OK", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", figures())
        }
        ["GET", _, _] => refusal("404 Not Found"),
        [_, _, _] => {
            ("405 Method Not Allowed", "Allow: GET\r\n", "only GET /metrics is answered\n".to_owned())
        }
        _ => refusal("400 Bad Request"),
    };
    let length = body.len();
    format!("HTTP/1.0 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn refusal(status: &'static str) -> (&'static str, &'static str, String) {
    (status, "Content-Type: text/plain; charset=utf-8\r\n", "ask for GET /metrics\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        let answer = answer(request.as_bytes(), || "figures".to_owned());
        answer.split_once("\r\n").unwrap().0.to_owned()
    }

    #[test]
    fn figures_are_answered_with_their_length_and_version() {
        let answer = answer(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", || "figures".to_owned());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "figures");
        assert!(head.starts_with("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4;"), "{head}");
        assert!(head.contains("\r\nContent-Length: 7\r\n"), "{head}");
    }

    #[test]
    fn everything_else_is_refused_for_what_it_is() {
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.0 405 Method Not Allowed");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.0 404 Not Found");
        for bad in [
            "",
            "\r\n\r\n",
            "GET /metrics\r\n\r\n",
            "GET /metrics HTTP/2\r\n\r\n",
            "GET /metrics HTTP/1.0\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(status(bad), "HTTP/1.0 400 Bad Request", "{bad:?}");
        }
        assert!(answer(b"\xff\xfe\0\n\n", String::new).starts_with("HTTP/1.0 400"));
    }
}
