//! What a QEMU asks of who carries sockets, and what a driver puts into the memory of its guest: rings that lie anywhere, and chains of
//! buffers that are anything.
#![no_main]

use std::cell::RefCell;

use hcs_vhost::{
    message, packet,
    ring::{Chain, Memory, Places, Ring},
};

/// A memory that begins at nothing.
struct Guest(RefCell<Vec<u8>>);

impl Guest {
    fn range(&self, address: u64, length: usize) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(address).ok()?;
        let to = from.checked_add(length)?;
        (to <= self.0.borrow().len()).then_some(from..to)
    }
}

impl Memory for Guest {
    fn read(&self, address: u64, data: &mut [u8]) -> bool {
        let Some(range) = self.range(address, data.len()) else { return false };
        data.copy_from_slice(&self.0.borrow()[range]);
        true
    }

    fn write(&self, address: u64, data: &[u8]) -> bool {
        let Some(range) = self.range(address, data.len()) else { return false };
        self.0.borrow_mut()[range].copy_from_slice(data);
        true
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((header, body)) = bytes.split_first_chunk::<{ message::HEADER }>()
        && let Ok(header) = message::Header::read(header)
        && let Some(body) = body.get(..header.size)
    {
        let answer = header.request(body).map(|_| header.answer(body));
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.len() == message::HEADER + body.len()));
    }
    let Some(([size, base, descriptors, available, used], memory)) = bytes.split_first_chunk::<5>() else { return };
    let place = |page: &u8| u64::from(*page) * 16;
    let places = Places {
        size: 1 << (size % 12),
        descriptors: place(descriptors),
        available: place(available),
        used: place(used),
    };
    let guest = Guest(RefCell::new(memory.to_vec()));
    let Ok(mut ring) = Ring::at(places, u16::from(*base), &guest) else { return };
    let mut chain = Chain::default();
    for _ in 0..100 {
        let before = ring.base();
        if !matches!(ring.look(&guest, &mut chain), Ok(true)) {
            return;
        }
        assert!(chain.said() + chain.room() <= 1 << 20);
        let mut header = [0; packet::HEADER];
        let Ok(length) = chain.read(&guest, 0, &mut header) else { return };
        assert_eq!(length, chain.said().min(packet::HEADER));
        let header = packet::Header::read(&header);
        assert_eq!(packet::Header::read(&header.bytes()), header);
        let mut rest = vec![0; chain.said()];
        let Ok(rest) = chain.read(&guest, length, &mut rest) else { return };
        assert_eq!(length + rest, chain.said());
        // What has no room is refused, and what has some is written.
        assert!(chain.write(&guest, chain.room(), &[1]).is_err());
        let Ok(()) = chain.write(&guest, 0, &vec![2; chain.room()]) else { return };
        let Ok(()) = ring.give_back(&guest, &chain, chain.room()) else { return };
        assert_eq!(ring.base(), before.wrapping_add(1));
    }
});
