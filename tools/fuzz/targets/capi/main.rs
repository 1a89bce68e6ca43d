//! Series of calls of the C library, with handles that are closed, foreign or no handles at all, texts that are cut off in the
//! middle of a character, and a service that answers whatever it likes. Functions that work on files of the caller are left
//! out: what they would do to this host is what they are for.
//!
//! The first byte says how many of those behind it the service makes its answers of; the others are the calls.
#![no_main]

mod library;
mod program;
mod service;

use program::Program;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (answers, calls) = rest.split_at(usize::from(*length).min(rest.len()));
    service::answer_with(answers);
    let mut program = Program::new(calls);
    // A series as long as the input would take a second to be tried.
    for _ in 0..200 {
        if program.call().is_none() {
            break;
        }
    }
    program.end();
    // Every handle that was given out was closed, so nothing is left of any.
    assert_eq!(computecore::live_handles(), 0);
});
