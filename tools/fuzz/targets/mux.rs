//! What a machine says to its host over streams.
#![no_main]

use hcs_mux::{
    Event, Mux, frame,
    mux::{MOST_UNSENT, WINDOW},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let session = [1; 16];
    let mut host = Mux::host();
    host.begin(session);
    let mut first = Vec::new();
    frame::welcome(&session, &mut first);
    host.push(&first);
    assert_eq!(host.next_event(), Some(Event::Begun));
    let _ = host.open(1);
    let mut came = 0;
    for piece in bytes.chunks(100) {
        host.push(piece);
        while let Some(event) = host.next_event() {
            match event {
                Event::Wanted(stream, port) if port % 3 == 0 => host.reset(stream),
                Event::Wanted(stream, _) => host.accept(stream),
                Event::Data(stream, bytes) => {
                    came += bytes.len();
                    assert!(bytes.len() <= WINDOW as usize);
                    host.send(stream, &bytes);
                    host.took(stream, bytes.len());
                }
                Event::Ended(stream) => host.end(stream),
                Event::Begun | Event::Lost | Event::Opened(_) | Event::Gone(_) => {}
            }
        }
        assert!(host.output().len() <= MOST_UNSENT);
    }
    assert!(came <= bytes.len());
});
