//! Documents of clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(read) = hcs_schema::read::<hcs_schema::ComputeSystem>(text) {
        // What was read can be written, and is the same when it is read again.
        let written = hcs_schema::Any::from_value(&read.value).expect("a document");
        let again =
            hcs_schema::read::<hcs_schema::ComputeSystem>(written.get()).expect("what we wrote").value;
        assert_eq!(again, read.value);
    }
    let _ = hcs_schema::read_strict::<hcs_schema::ProcessParameters>(text);
});
