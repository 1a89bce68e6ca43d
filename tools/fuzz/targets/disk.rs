//! Images of disks: their format, and the partition on them.
#![no_main]

use std::{fs::File, io::Write};

use hcs_disks::{gpt, image::Image};
use rustix::fs::MemfdFlags;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file =
        File::from(rustix::fs::memfd_create("disk", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all(bytes).expect("writing to memory");
    // As large as a disk is, whatever the mutation is.
    const SIZE: u64 = 4 << 20;
    if bytes.len() < SIZE as usize && !bytes.starts_with(b"vhdxfile") {
        let _ = Image::of(&file);
        file.set_len(SIZE).expect("a larger file");
    }
    let size = match Image::of(&file) {
        Ok(Image { plain: Some(size), .. }) => size,
        _ => SIZE,
    };
    if let Ok(partition) = gpt::find(&file, size) {
        assert!(partition.start.checked_add(partition.length).is_some_and(|end| end <= size));
    }
});
