//! The text of `/proc/self/mountinfo`: where something is mounted.
//!
//! Read by whoever removes a folder and must not remove what is mounted in it, by whoever looks for cgroups, and by whoever asks
//! whether something is mounted already. It is bytes: a path need not be UTF-8, and any user can mount something at one.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use rustix::mount::UnmountFlags;

/// A path without the octal escapes that the kernel writes for blanks, tabs, line ends and backslashes.
pub fn unescaped(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// The places at which something is mounted, in the order in which it was.
pub fn points(mountinfo: &[u8]) -> impl Iterator<Item = PathBuf> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(point)
}

/// The place that a line of it tells of.
pub fn point(line: &[u8]) -> Option<PathBuf> {
    line.split(|byte| *byte == b' ').nth(4).map(|point| unescaped(point).into())
}

/// What is mounted at a folder or below it, what was mounted last before the others. The path must be the real one, without links.
pub fn points_below(mountinfo: &[u8], folder: &Path) -> Vec<PathBuf> {
    let mut below: Vec<PathBuf> = points(mountinfo).filter(|point| point.starts_with(folder)).collect();
    below.reverse();
    below
}

/// Where hierarchies of cgroups are mounted, of either version.
pub fn points_of_cgroups(mountinfo: &[u8]) -> impl Iterator<Item = PathBuf> {
    const SIGN: &[u8] = b" - cgroup";
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter(|line| line.windows(SIGN.len()).any(|part| part == SIGN)).filter_map(point)
}

/// Takes away what is mounted at a folder or below it: what somebody has mounted there is not to be removed with the folder.
pub fn unmount_below(folder: &Path) -> io::Result<()> {
    let real = folder.canonicalize()?;
    for point in points_below(&fs::read("/proc/self/mountinfo")?, &real) {
        rustix::mount::unmount(&point, UnmountFlags::DETACH)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_last_is_unmounted_first() {
        let text = "24 1 0:22 / /tmp/hcs-private-1/run rw - tmpfs tmpfs rw\n\
                    25 24 0:23 / /tmp/hcs-private-1/run/a\\040b rw - tmpfs tmpfs rw\n\
                    26 1 0:24 / /tmp/hcs-private-12 rw - tmpfs tmpfs rw\n";
        let below = points_below(text.as_bytes(), Path::new("/tmp/hcs-private-1"));
        assert_eq!(below, [Path::new("/tmp/hcs-private-1/run/a b"), Path::new("/tmp/hcs-private-1/run")]);
    }

    #[test]
    fn places_are_read_with_the_white_space_in_them() {
        let table = "\
21 1 0:19 / /proc rw,nosuid shared:5 - proc proc rw
40 21 0:33 / /run/hcs/shares rw - virtiofs hcs rw
41 40 0:34 / /run/hcs/shares/my\\040files\\134n rw - virtiofs hcs rw
";
        let places = ["/proc", "/run/hcs/shares", "/run/hcs/shares/my files\\n"].map(PathBuf::from);
        assert_eq!(points(table.as_bytes()).collect::<Vec<_>>(), places);
    }

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let text = "30 24 0:25 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
                    31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    40 1 0:30 / /tmp rw - tmpfs tmpfs rw\n";
        let expected = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"].map(PathBuf::from);
        assert_eq!(points_of_cgroups(text.as_bytes()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn escapes_are_read_and_other_backslashes_stay() {
        assert_eq!(unescaped(br"/a\040b\134c\0x\"), r"/a b\c\0x\");
    }

    #[test]
    fn a_place_that_is_no_utf_8_is_the_one_that_it_is() {
        let table = b"21 1 0:19 / /proc rw - proc proc rw\n50 1 0:40 / /tmp/\xff/a rw - fuse x rw\n";
        let folder = PathBuf::from(OsString::from_vec(b"/tmp/\xff".to_vec()));
        assert_eq!(points_below(table, &folder), [folder.join("a")]);
        assert_eq!(points(table).count(), 2);
    }
}
