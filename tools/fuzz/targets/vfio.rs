//! What a virtual machine monitor says to a device.
#![no_main]

use hcs_vfio::{
    answer::{Area, Region},
    frame::{Decoder, HEADER},
    session::{CONFIG_LENGTH, Session, Shape, Step},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut shape = Shape::default();
    shape.bars[0] = Region { length: 0x1_0000, ..Region::default() };
    shape.bars[2] =
        Region { length: 0x4000, areas: vec![Area { offset: 0x1000, length: 0x1000 }], file_offset: 0 };
    let mut session = Session::new(shape);
    let mut decoder = Decoder::default();
    for piece in bytes.chunks(97) {
        if decoder.feed(piece, Vec::new()).is_err() {
            return;
        }
        while let Ok(Some(message)) = decoder.next_message() {
            let said = match session.take(message) {
                Ok(Step::Say(said, file)) => {
                    assert!(file.is_none_or(|file| file == 2));
                    said
                }
                Ok(Step::Map(ticket, memory)) => {
                    assert!(memory.length > 0 && memory.address.checked_add(memory.length).is_some());
                    ticket.done()
                }
                Ok(Step::Unmap(ticket, memory)) => ticket.unmapped(&memory),
                Ok(Step::Read { ticket, region, offset, length }) => {
                    assert!(offset + length as u64 <= CONFIG_LENGTH.max(0x1_0000));
                    ticket.read(region, offset, &vec![0; length])
                }
                Ok(Step::Write { ticket, region, offset, data }) => {
                    assert!(offset + data.len() as u64 <= CONFIG_LENGTH.max(0x1_0000));
                    ticket.written(region, offset, data.len())
                }
                Ok(Step::Reset(ticket)) => ticket.refused(1),
                Err(_) => return,
            };
            // Who reads an answer is told how long it is.
            if let Some(said) = said {
                let length = u32::from_le_bytes(said[4..8].try_into().expect("four bytes"));
                assert!(said.len() >= HEADER && length as usize == said.len());
            }
        }
    }
});
