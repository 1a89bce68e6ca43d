//! What a host says to the agent in a virtual machine.
#![no_main]

use hcs_gcs::{
    Decoder, Kind,
    frame::MOST_OF_GUEST,
    guest::{Guest, Heard, answer},
    records::{Capabilities, Create, Execute, Modify, Nothing, Query, Resize, Signal, Wait},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut guest = Guest::new(Capabilities::default());
    // Whatever comes after it, there is a version.
    let version = br#"{"ContainerId":"","MinimumVersion":4,"MaximumVersion":4}"#;
    let mut first = 0x1010_0b01u32.to_le_bytes().to_vec();
    first.extend((version.len() as u32 + 16).to_le_bytes());
    first.extend([0; 8]);
    first.extend(version);
    guest.push(&first);
    guest.push(bytes);
    while let Ok(Some(heard)) = guest.hear() {
        let said = match heard {
            Heard::Answered(said) => said,
            Heard::Question(question) => {
                let _ = question.read::<Create>();
                let _ = question.read::<Execute>();
                let _ = (question.read::<Wait>(), question.read::<Signal>(), question.read::<Resize>());
                let _ = (question.read::<Query>(), question.read::<Modify>());
                answer(&question, Ok(Nothing {})).expect("an answer without anything in it")
            }
        };
        // Every answer is one that any host takes.
        let mut decoder = Decoder::new(MOST_OF_GUEST);
        decoder.push(&said);
        let frame = decoder.next_frame().expect("a message").expect("a whole message");
        assert_eq!(frame.message.kind(), Some(Kind::Response));
    }
});
