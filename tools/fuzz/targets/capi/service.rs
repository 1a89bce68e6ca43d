//! A service that answers as the bytes of an input say: with what a call may be answered, with errors of every kind, and with
//! what is no answer at all. It also tells events, and hands out descriptors.

use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use hcs_core::{Cause, Error};
use hcs_ipc::{
    Decoder,
    socket::Outbox,
    varlink::{self, Call},
};
use serde_json::{Value, json};

#[derive(Default)]
struct State {
    answers: VecDeque<u8>,
    /// Where events go, and how many were told.
    events: Option<UnixStream>,
    told: u64,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the answers from here on of these bytes. The first time it also begins to serve.
pub fn answer_with(bytes: &[u8]) {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(begin);
    state().get_or_insert_default().answers = bytes.iter().copied().collect();
}

fn begin() {
    let path = path();
    let listener = UnixListener::bind(&path).expect("a socket");
    // SAFETY: the fuzzer has no other thread yet that reads the environment.
    unsafe { std::env::set_var("HCS_SOCKET", &path) };
    // SAFETY: the function takes nothing and unwinds nowhere.
    unsafe { libc::atexit(remove) };
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || serve(connection));
        }
    });
}

fn path() -> PathBuf {
    std::env::temp_dir().join(format!("hcs-fuzz-{}.sock", std::process::id()))
}

/// The library connects by name as long as the program runs, so the name goes with it.
extern "C" fn remove() {
    let _ = std::fs::remove_file(path());
}

fn serve(connection: UnixStream) -> io::Result<()> {
    let (mut decoder, mut buffer) = (Decoder::default(), vec![0; 16 << 10]);
    loop {
        let length = io::Read::read(&mut &connection, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        decoder.feed(&buffer[..length], Vec::new()).map_err(io::Error::other)?;
        while let Some(message) = decoder.next_message() {
            let call: Call = serde_json::from_slice(&message.text)?;
            answer(&connection, &call.method)?;
        }
    }
}

fn answer(connection: &UnixStream, method: &str) -> io::Result<()> {
    match method.rsplit('.').next() {
        Some("Attach") => {
            {
                let mut state = state();
                let state = state.get_or_insert_default();
                state.events = Some(connection.try_clone()?);
                state.told = 0;
            }
            let attached = json!({"attached": {"token": "t", "handles": [], "processes": []}, "event": null});
            return say(connection, varlink::encode_reply(&attached, true)?, Vec::new());
        }
        Some("Join") => return say(connection, varlink::encode_reply(&json!({}), false)?, Vec::new()),
        _ => {}
    }
    let next = state().as_mut().and_then(|state| state.answers.pop_front()).unwrap_or(0);
    if next & 0x80 != 0 {
        tell(next)?;
    }
    let (text, fds) = match next & 0x0F {
        0..=9 => (varlink::encode_reply(&usual(next), false)?, descriptors(next)?),
        10 => (varlink::encode_error(&Error::new(Cause::InvalidState, "no").at("$"))?, Vec::new()),
        11 => (varlink::encode_named_error("org.varlink.service.MethodNotFound", &json!({}))?, Vec::new()),
        12 => (varlink::encode_named_error("io.hcs.Compute.Strange", &json!({"hresult": 1}))?, Vec::new()),
        13 => (varlink::encode_reply(&json!({"handle": "none"}), false)?, Vec::new()),
        14 => (b"[]".to_vec(), Vec::new()),
        _ => (b"{\"parameters\":null}".to_vec(), descriptors(next)?),
    };
    say(connection, text, fds)
}

/// What any call is content with.
fn usual(byte: u8) -> Value {
    let place = |index: u8| (byte & 0x40 != 0).then_some(index);
    json!({
        "handle": u64::from(byte & 3) + 1, "process": u64::from(byte & 3) + 1, "processId": 4, "id": "x",
        "runtimeId": "2dc27766-f623-4200-9d64-115e9bfd4a08", "instance": "i", "warnings": [],
        "properties": {"Owner": "fuzz"}, "systems": [{}, {}], "status": {"ExitCode": 1}, "report": "r", "operations": [],
        // More places than descriptors, and some of them twice, when the byte says so.
        "stdInput": null, "stdOutput": place(0), "stdError": place(byte & 1), "channel": byte & 1,
    })
}

fn descriptors(byte: u8) -> io::Result<Vec<OwnedFd>> {
    if byte & 0x20 == 0 {
        return Ok(Vec::new());
    }
    let (one, _other) = UnixStream::pair()?;
    Ok(vec![one.into()])
}

/// Tells an event.
fn tell(byte: u8) -> io::Result<()> {
    let mut state = state();
    let Some(State { events: Some(events), told, .. }) = state.as_mut() else { return Ok(()) };
    *told += 1;
    let number = u64::from(byte & 3) + 1;
    let (kind, handle, process) = match byte >> 4 & 3 {
        0 => ("systemExited", Some(number), None),
        1 => ("systemCrashInitiated", Some(number), None),
        2 => ("processExited", None, Some(number)),
        _ => ("processExited", Some(number), None),
    };
    let event = json!({"sequence": *told, "type": kind, "handle": handle, "process": process, "data": {"ExitCode": 3}});
    let reply = json!({"attached": null, "event": event});
    say(events, varlink::encode_reply(&reply, true)?, Vec::new())
}

fn say(connection: &UnixStream, text: Vec<u8>, fds: Vec<OwnedFd>) -> io::Result<()> {
    let mut outbox = Outbox::default();
    outbox.push(text, fds);
    while !outbox.flush(connection.as_fd())? {
        std::thread::yield_now();
    }
    Ok(())
}
