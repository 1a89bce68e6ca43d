//! The peer of the call: the least that two processes can do with a Unix socket.

use std::{
    env,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command},
};

use crate::Outcome;

/// The process that answers: for every `request` bytes it gets, `reply` bytes. Ends with its only client.
pub fn serve(socket: &str, request: &str, reply: &str) -> Outcome {
    let listener = UnixListener::bind(socket)?;
    // Tells the parent that the socket is there.
    println!("ready");
    let (mut client, _) = listener.accept()?;
    let mut incoming = vec![0; request.parse()?];
    let outgoing = vec![b'x'; reply.parse()?];
    while client.read_exact(&mut incoming).is_ok() {
        client.write_all(&outgoing)?;
    }
    Ok(())
}

/// A connection to such a process.
pub struct Echo {
    process: Child,
    stream: UnixStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Echo {
    /// Starts one in a folder.
    pub fn start(folder: &Path, request: usize, reply: usize) -> Outcome<Echo> {
        let socket = folder.join("echo.sock");
        let mut process = Command::new(env::current_exe()?)
            .arg("echo")
            .arg(&socket)
            .args([request.to_string(), reply.to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        let mut ready = [0; 6];
        process.stdout.take().ok_or("no pipe")?.read_exact(&mut ready)?;
        let stream = UnixStream::connect(&socket)?;
        Ok(Echo { process, stream, request: vec![b'x'; request], reply: vec![0; reply] })
    }

    /// There and back.
    pub fn call(&mut self) -> Outcome {
        self.stream.write_all(&self.request)?;
        self.stream.read_exact(&mut self.reply)?;
        Ok(())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It ends when the stream does; the hang-up comes with our own end at the latest.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}
