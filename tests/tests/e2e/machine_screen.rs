//! The screen of a virtual machine: looked at, pictured, and typed at.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use hcs::{
    Cause,
    schema::{Chipset, Keyboard, Mouse, RdpConnectionOptions, VideoMonitor},
};
use hcs_tests::{
    Service,
    machine::{Guest, SHELL, with_memory},
};

use crate::refused;

/// Width, height, and the colour of every point if they are all the same.
fn seen(picture: &Path) -> (u32, u32, Option<String>) {
    const READER: &str = "
import struct, sys, zlib
data, at, packed = open(sys.argv[1], 'rb').read(), 8, b''
while at < len(data):
    length, kind = struct.unpack('>I4s', data[at:at + 8])
    body = data[at + 8:at + 8 + length]
    if kind == b'IHDR': width, height, depth, colours = struct.unpack('>IIBB', body[:10])
    if kind == b'IDAT': packed += body
    at += 12 + length
assert (depth, colours) == (8, 2), (depth, colours)
raw, before, points = zlib.decompress(packed), bytearray(3 * width), set()
for row in range(height):
    start = row * (3 * width + 1)
    how, line = raw[start], bytearray(raw[start + 1:start + 1 + 3 * width])
    for i in range(len(line)):
        left, above = (line[i - 3] if i > 2 else 0), before[i]
        corner = before[i - 3] if i > 2 else 0
        guess = left + above - corner
        nearest = min((abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner))
        line[i] = (line[i] + [0, left, above, (left + above) // 2, nearest[2]][how]) % 256
    points |= {bytes(line[i:i + 3]).hex() for i in range(0, len(line), 3)}
    before = line
print(width, height, points.pop() if len(points) == 1 else '-')
";
    let output = Command::new("python3").args(["-c", READER]).arg(picture).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    (words[0].parse().unwrap(), words[1].parse().unwrap(), (words[2] != "-").then(|| words[2].to_owned()))
}

#[test]
fn a_screen_is_seen_pictured_and_typed_at() {
    let service = Service::start();
    let guest = Guest::make(service.root(), &format!("load virtio_input; {SHELL}"));
    let vnc = service.root().join("screen");
    let document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let options = RdpConnectionOptions::default().named_pipe(vnc.display().to_string());
        let monitor = VideoMonitor::default()
            .horizontal_resolution(800u16)
            .vertical_resolution(600u16)
            .connection_options(options);
        with_memory(machine, 384)
            .chipset(Chipset::default().uefi(guest.uefi()))
            .devices(devices.video_monitor(monitor).keyboard(Keyboard::default()).mouse(Mouse::default()))
    });
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    // Nothing blinks there.
    console.run("printf '\\033[?25l' >/dev/tty0; echo 0 >/sys/class/graphics/fbcon/cursor_blink; sleep 1");
    // Every point red, as far as the guest knows where it is.
    let size = console.run("cat /sys/class/graphics/fb0/virtual_size");
    let (width, height) = size.trim().split_once(',').unwrap();
    console.run("printf '\\000\\000\\377\\000' >/tmp/p; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do cat /tmp/p /tmp/p >/tmp/q; mv /tmp/q /tmp/p; done; cat /tmp/p >/dev/fb0 2>/dev/null || true");
    let picture = service.root().join("picture.png");
    let output = service.hcs().args(["screenshot", "vm"]).arg(&picture).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (wide, high, colour) = seen(&picture);
    assert_eq!((wide.to_string().as_str(), high.to_string().as_str()), (width, height));
    assert_eq!(colour.as_deref(), Some("ff0000"));

    // A viewer is told the same size, and what is typed there comes to the guest.
    let mut viewer = UnixStream::connect(&vnc).unwrap();
    viewer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let read = |viewer: &mut UnixStream, length: usize| {
        let mut bytes = vec![0; length];
        viewer.read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(read(&mut viewer, 12), b"RFB 003.008\n");
    viewer.write_all(b"RFB 003.008\n").unwrap();
    let kinds = read(&mut viewer, 1)[0] as usize;
    assert_eq!(read(&mut viewer, kinds), [1]);
    viewer.write_all(&[1]).unwrap();
    assert_eq!(read(&mut viewer, 4), [0; 4]);
    viewer.write_all(&[1]).unwrap();
    let start = read(&mut viewer, 24);
    let side = |at: usize| u32::from(u16::from_be_bytes([start[at], start[at + 1]]));
    assert_eq!((side(0), side(2)), (wide, high));
    console.type_line("for e in /sys/class/input/event*; do grep -q -i keyboard $e/device/name && k=/dev/input/${e##*/}; done; echo at $k; head -c 24 $k | od -An -tu2 -j16 -N4");
    console.until("at /dev/input/");
    // The key A, down and up, as often as it takes until the guest listens.
    let key = |down: u8| [4, down, 0, 0, 0, 0, 0, 0x61];
    let typing = std::thread::spawn(move || {
        for _ in 0..100 {
            if viewer.write_all(&[key(1), key(0)].concat()).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let said = console.until("\n=");
    // An event of the kind key, and A is 30.
    assert!(said.split_whitespace().collect::<Vec<_>>().windows(2).any(|pair| pair == ["1", "30"]), "{said}");
    system.terminate().wait().unwrap();
    typing.join().unwrap();
    service.await_nothing_left();
    assert!(!vnc.exists());
    let without = service.running_from("vm", &guest.document());
    refused(without.screenshot().wait(), Cause::NotConfigured);
}
