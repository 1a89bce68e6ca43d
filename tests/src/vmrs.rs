//! What a test changes in a file of a saved machine, by the form that its source describes and by no code of it.

use std::{fs::File, os::unix::fs::FileExt};

const HEADER: usize = 4096;

/// CRC-32 as zlib has it.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}

/// Makes the machine need a feature of the processor.
pub fn need_processor_feature(file: &File, feature: &str) {
    let mut header = vec![0; HEADER];
    file.read_exact_at(&mut header, 0).expect("the header");
    let word =
        |index: usize| u64::from_le_bytes(header[index * 8..index * 8 + 8].try_into().expect("a word"));
    let (offset, length) = (word(4), word(5));
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, offset).expect("the description");
    let mut description: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    description["processor"] = serde_json::json!({ "ProcessorFeatures": [feature] });
    let text = description.to_string();
    // Behind everything else there is room for any length.
    let end = file.metadata().expect("the length").len();
    file.write_all_at(text.as_bytes(), end).expect("writing the description");
    header[32..40].copy_from_slice(&end.to_le_bytes());
    header[40..48].copy_from_slice(&(text.len() as u64).to_le_bytes());
    let own = crc(&header[..HEADER - 4]).to_le_bytes();
    header[HEADER - 4..].copy_from_slice(&own);
    file.write_all_at(&header, 0).expect("writing the header");
}
