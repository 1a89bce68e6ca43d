//! What the agent in a virtual machine says to its host.
#![no_main]

use hcs_gcs::{
    Rpc,
    host::{Heard, Host, read},
    records::{Executed, Negotiated, Nothing, Properties, Response, Waited},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut host, _) = Host::begin().expect("the first message");
    host.push(bytes);
    let mut asked = 0u64;
    while let Ok(Some(heard)) = host.hear() {
        if let Heard::Answer { id, body, .. } = heard {
            // Only what was asked is answered, and once.
            assert!(id <= asked && host.open().all(|open| open != id));
            let _ = read::<Response<Negotiated>>(&body);
            let _ = (read::<Response<Executed>>(&body), read::<Response<Waited>>(&body));
            let _ = (read::<Response<Properties>>(&body), read::<Response<Nothing>>(&body));
        }
        if let Ok((id, _)) = host.ask(Rpc::Start, "c", Nothing {}) {
            asked = id;
        }
    }
});
