//! What this machine is and has.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::command::Line;

/// What makes a kernel a program of UEFI.
pub const EFI_STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// Whether we are root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The file of a program that the search path leads to.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A busybox that needs no library, so that it runs in a root file system which has nothing else.
pub fn static_busybox() -> Option<PathBuf> {
    program("busybox").filter(|file| fs::read(file).is_ok_and(|program| is_static(&program)))
}

/// Whether programs can be linked statically.
pub fn has_static_libc() -> bool {
    // A compiler that does not find the file repeats its bare name.
    let answer = Line::of("cc -print-file-name=libc.a").output(Path::new("/"));
    answer.is_ok_and(|file| Path::new(file.trim()).is_absolute())
}

/// Whether a 64-bit ELF program asks for no loader of libraries.
fn is_static(program: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    // Numbers of the ELF header and of program headers: offset and size. Our hosts are little-endian.
    let number = |offset: usize, size: usize| {
        let bytes = program.get(offset..offset.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let has_loader = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let mut headers = (0..count).map(|index| number((table + index * size) as usize, 4));
        headers.try_fold(false, |found, kind| Some(found || kind? == PT_INTERP))
    };
    program.starts_with(b"\x7fELF\x02\x01") && has_loader() == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of 64 bytes of header and one program header of this kind.
    fn elf(kind: u8) -> Vec<u8> {
        let mut file = vec![0; 120];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = kind;
        file
    }

    #[test]
    fn a_program_without_a_loader_is_static() {
        assert!(is_static(&elf(1)));
        assert!(!is_static(&elf(3)));
    }

    #[test]
    fn what_is_no_program_is_not_static() {
        assert!(!is_static(b"#!/bin/sh\n"));
        assert!(!is_static(&elf(1)[..64]));
    }
}
