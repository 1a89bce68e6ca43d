//! Files in which virtual machines keep their state: the first byte says which.
#![no_main]

use std::{fs::File, os::unix::fs::FileExt, sync::OnceLock};

use hcs_state::{
    guest::{self, Content, GuestState},
    runtime::Saved,
    variables,
};
use rustix::fs::MemfdFlags;

/// What is behind every guest state file.
fn footer() -> &'static [u8] {
    static FOOTER: OnceLock<Vec<u8>> = OnceLock::new();
    FOOTER.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("hcs-fuzz-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        guest::create_empty(&path).expect("an empty guest state file");
        let whole = std::fs::read(&path).expect("reading it");
        std::fs::remove_file(&path).expect("removing it");
        whole[whole.len() - 512..].to_vec()
    })
}

fn file(bytes: &[u8]) -> File {
    let file = File::from(rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all_at(bytes, 0).expect("writing to memory");
    file
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 4 {
        0 => {
            let file = file(bytes);
            file.write_all_at(footer(), 4 << 20).expect("writing to memory");
            if let Ok(mut state) = GuestState::open(file, true) {
                let _ = state.read(Content::Variables);
                // Whatever was there, what is written is what is read.
                if state.write(Content::Tpm, b"new").is_ok() {
                    assert_eq!(state.read(Content::Tpm).expect("reading it").as_deref(), Some(&b"new"[..]));
                }
            }
        }
        1 => {
            if let Ok(saved) = Saved::open(file(bytes)) {
                // No more than there is, whatever the file says.
                let sizes: Vec<u64> = saved.regions().collect();
                assert!(sizes.iter().all(|size| *size <= bytes.len() as u64));
                let into: Vec<File> = sizes.iter().map(|_| file(&[])).collect();
                let _ = saved.load(&file(&[]), &into.iter().collect::<Vec<_>>());
            }
        }
        2 => {
            if let Ok(unpacked) = variables::unpack(bytes) {
                assert_eq!(variables::unpack(&variables::pack(&unpacked).unwrap_or(bytes.to_vec())).ok(), Some(unpacked));
            }
        }
        _ => {
            if let Ok(found) = variables::of_volume(bytes) {
                let mut volume = bytes.to_vec();
                if variables::into_volume(&mut volume, &found).is_ok() {
                    assert_eq!(variables::of_volume(&volume).expect("what was written"), found);
                }
            }
        }
    }
});
