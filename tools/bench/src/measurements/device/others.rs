//! Servers that others are measured by: one that has an answer ready whatever is asked, and the one of the crate `vfio_user`.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    thread,
};

use hcs::System;
use hcs_ipc::{
    Decoder,
    device_host::{Ask, FromHost, Said, ToHost},
    socket,
    worker::Numbered,
};
use hdv::Guid;
use vfio_user::{DmaMapFlags, DmaUnmapFlags, Server, ServerBackend, ServerRegion};

use super::{BARE, CRATE};
use crate::Outcome;

/// Has a machine's worker find a device that this serves.
pub fn serve(system: &System, wanted: Guid, server: fn(OwnedFd)) -> Outcome {
    let channel = system.host_devices(true).wait()?;
    thread::spawn(move || {
        let mut stream = UnixStream::from(channel);
        let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
        loop {
            let mut waits = [rustix::event::PollFd::new(&stream, rustix::event::PollFlags::IN)];
            let _ = rustix::event::poll(&mut waits, None);
            let Ok(received) = socket::receive(&stream, &mut buffer) else { continue };
            if received.length == 0 || decoder.feed(&buffer[..received.length], received.fds).is_err() {
                return;
            }
            while let Some(message) = decoder.next_message() {
                let Ok(ToHost::Ask(Numbered { number, body })) = serde_json::from_slice(&message.text) else {
                    continue;
                };
                let said = match body {
                    Ask::Has { instance, .. } | Ask::Serve { instance, .. } if instance != wanted => {
                        Said::NotHere
                    }
                    Ask::Serve { .. } => {
                        message
                            .fds
                            .into_iter()
                            .for_each(|listener| drop(thread::spawn(move || server(listener))));
                        Said::Done
                    }
                    _ => Said::Done,
                };
                let mut answer =
                    serde_json::to_vec(&FromHost::Reply(Numbered { number, body: said })).unwrap_or_default();
                answer.push(0);
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
        }
    });
    Ok(())
}

fn ids(device: u16) -> [u8; 12] {
    let mut config = [0; 12];
    config[..2].copy_from_slice(&0x1234u16.to_le_bytes());
    config[2..4].copy_from_slice(&device.to_le_bytes());
    config[8..].copy_from_slice(&0x1180_0001u32.to_le_bytes());
    config
}

/// What is read of the configuration space: ids, and one base address of a page.
fn config(device: u16, offset: u64, data: &mut [u8]) {
    let ids = ids(device);
    for (at, byte) in (offset as usize..).zip(data) {
        *byte = ids.get(at).copied().unwrap_or(0);
    }
}

/// Reads a header and what is behind it, and says what was always said, in one call each.
pub fn bare(listener: OwnedFd) {
    let Ok((mut stream, _)) = UnixListener::from(listener).accept() else { return };
    let mut message = vec![0; 1 << 16];
    let mut have = 0;
    loop {
        let number = |message: &[u8], at: usize| {
            u32::from_le_bytes(message[at..at + 4].try_into().unwrap_or_default())
        };
        while have < 16 || have < number(&message, 4) as usize {
            match stream.read(&mut message[have..]) {
                Ok(length) if length > 0 => have += length,
                _ => return,
            }
        }
        let size = number(&message, 4) as usize;
        let mut answer = message[..size.min(64)].to_vec();
        let command = u16::from_le_bytes([message[2], message[3]]);
        match command {
            // The version, what the device is, its regions and its interrupts.
            1 => {
                answer.truncate(16);
                answer.extend(*b"\0\0\0\0{}\0");
            }
            4 => answer[16..32].copy_from_slice(&[16u32, 3, 9, 5].map(u32::to_le_bytes).concat()),
            5 => {
                let length: u64 = match number(&message, 24) {
                    0 => 4096,
                    7 => 4096,
                    _ => 0,
                };
                answer[16..20].copy_from_slice(&32u32.to_le_bytes());
                answer[20..24].copy_from_slice(&3u32.to_le_bytes());
                answer.resize(48, 0);
                answer[32..40].copy_from_slice(&length.to_le_bytes());
                answer[40..48].fill(0);
            }
            9 => {
                answer.truncate(32);
                let (region, length) = (number(&message, 24), number(&message, 28) as usize);
                answer.resize(32 + length, 0x5e);
                if region == 7 {
                    config(BARE, number(&message, 16).into(), &mut answer[32..]);
                }
            }
            10 => answer.truncate(32),
            2 | 8 | 13 => answer.truncate(16),
            _ => {}
        }
        let is_answered = number(&message, 8) & 0x10 == 0;
        let length = (answer.len() as u32).to_le_bytes();
        answer[4..8].copy_from_slice(&length);
        answer[8..12].copy_from_slice(&1u32.to_le_bytes());
        answer[12..16].fill(0);
        if is_answered && stream.write_all(&answer).is_err() {
            return;
        }
        message.copy_within(size..have, 0);
        have -= size;
    }
}

struct Backend;

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> std::io::Result<()> {
        match region {
            7 => config(CRATE, offset, data),
            _ => data.fill(0x5e),
        }
        Ok(())
    }
    fn region_write(&mut self, _: u32, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn dma_map(&mut self, _: DmaMapFlags, _: u64, _: u64, _: u64, _: Option<File>) -> std::io::Result<()> {
        Ok(())
    }
    fn dma_unmap(&mut self, _: DmaUnmapFlags, _: u64, _: u64) -> std::io::Result<()> {
        Ok(())
    }
    fn reset(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn set_irqs(&mut self, _: u32, _: u32, _: u32, _: u32, _: Vec<File>) -> std::io::Result<()> {
        Ok(())
    }
}

/// The crate.
pub fn by_crate(listener: OwnedFd) {
    let regions = (0..9u32).map(|index| {
        let mut region =
            ServerRegion { region_info: Default::default(), sparse_areas: Vec::new(), mmap_fd: None };
        region.region_info.argsz = 32;
        region.region_info.index = index;
        region.region_info.flags = 3;
        region.region_info.size = if index == 0 || index == 7 { 4096 } else { 0 };
        region
    });
    let irqs = (0..5).map(|index| vfio_user::IrqInfo { index, flags: 0, count: 0 }).collect();
    let _ = Server::from_owned_fd(listener, true, irqs, regions.collect()).run(&mut Backend);
}
