//! Layers in archives.
#![no_main]

use std::io;

use hcs_core::Error;
use hcs_layers::{
    archive::{self, Limits},
    entry::{Content, Entry, Sink},
};

/// Reads what it is given and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn take(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), Error> {
        // Whoever writes it relies on that.
        assert!(
            !entry.path.starts_with(b"/")
                && !entry.path.split(|byte| *byte == b'/').any(|part| part == b"..")
        );
        assert!(entry.changed.nanoseconds < 1_000_000_000);
        loop {
            content.hole().map_err(|error| Error::from_io(&error, "reading"))?;
            let mut buffer = [0; 4096];
            if content.read(&mut buffer).map_err(|error: io::Error| Error::from_io(&error, "reading"))? == 0 {
                return Ok(());
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = archive::read(bytes, Limits { entries: 1000, bytes: 1 << 20 }, &mut Nowhere);
});
