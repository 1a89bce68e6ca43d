//! What a guest says to who serves its folders. What is understood is written as it was read.
#![no_main]

use hcs_p9::{Frames, HEADER, LEAST, Reply, Request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut frames = Frames::new(LEAST);
    let mut taken = 0;
    for piece in bytes.chunks(101) {
        frames.push(piece);
        loop {
            let message = match frames.take() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(_) => return,
            };
            taken += HEADER + message.body.len();
            let mut written = Vec::new();
            if let Ok(request) = Request::read(message.kind, message.body) {
                request.put(message.tag, &mut written);
                assert_eq!(&written[HEADER..], message.body);
            }
            written.clear();
            if let Ok(reply) = Reply::read(message.kind, message.body) {
                reply.put(message.tag, &mut written);
                assert_eq!(&written[HEADER..], message.body);
            }
        }
        assert!(frames.waiting() <= LEAST as usize + 101);
    }
    assert!(taken + frames.waiting() == bytes.len());
});
