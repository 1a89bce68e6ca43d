//! Images in archives: what is found in one, and where its files are.
#![no_main]

use std::{fs::File, io::Write, os::fd::AsRawFd, path::PathBuf};

use hcs_layers::archive::Limits;
use rustix::fs::MemfdFlags;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file =
        File::from(rustix::fs::memfd_create("image", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all(bytes).expect("writing to memory");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let _ = hcs_images::look_into(&path, &std::env::temp_dir(), Limits { entries: 1000, bytes: 1 << 20 });
});
