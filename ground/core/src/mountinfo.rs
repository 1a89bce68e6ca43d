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

use crate::Error;

const FILE: &str = "/proc/self/mountinfo";

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

/// The text itself.
pub fn read() -> Result<Vec<u8>, Error> {
    fs::read(FILE).map_err(|error| Error::from_io(&error, format!("reading {FILE}")))
}

/// A mounted hierarchy of cgroups.
#[derive(Debug)]
pub struct Cgroups {
    /// Where.
    pub point: PathBuf,
    /// It is the one of version 2.
    pub is_unified: bool,
    /// All of it is mounted there, as far as this process sees it.
    pub is_whole: bool,
    /// It can be written.
    pub is_writable: bool,
    /// Its controllers, of version 1; that of version 2 has a file that says them.
    pub controllers: Vec<String>,
}

/// Those of either version.
pub fn cgroups(mountinfo: &[u8]) -> impl Iterator<Item = Cgroups> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(cgroup)
}

/// A line: id, parent, device, root, place, options, some more, "-", kind, source, options of the file system.
fn cgroup(line: &[u8]) -> Option<Cgroups> {
    let text = String::from_utf8_lossy(line);
    let (before, after) = text.split_once(" - ")?;
    let (mut before, mut after) = (before.split(' ').skip(3), after.split(' '));
    let (root, options) = (before.next()?, before.nth(1)?);
    let (kind, own_options) = (after.next()?, after.nth(1)?);
    let is_unified = match kind {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let controllers =
        if is_unified { Vec::new() } else { own_options.split(',').map(str::to_owned).collect() };
    let is_writable = !options.split(',').chain(own_options.split(',')).any(|option| option == "ro");
    Some(Cgroups { point: point(line)?, is_unified, is_whole: root == "/", is_writable, controllers })
}

/// Takes away what is mounted at a folder or below it: what somebody has mounted there is not to be removed with the folder.
pub fn unmount_below(folder: &Path) -> io::Result<()> {
    let real = folder.canonicalize()?;
    for point in points_below(&fs::read(FILE)?, &real) {
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
                    32 30 0:27 /own /sys/fs/cgroup/a\\040b ro - cgroup cgroup rw,cpu,cpuacct\n\
                    40 1 0:30 / /tmp rw - tmpfs tmpfs rw\n";
        let [unified, memory, part] = &cgroups(text.as_bytes()).collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(unified.point, Path::new("/sys/fs/cgroup/unified"));
        assert!(
            unified.is_unified && unified.is_whole && unified.is_writable && unified.controllers.is_empty()
        );
        assert!(!memory.is_unified && memory.controllers.iter().any(|name| name == "memory"));
        assert_eq!(part.point, Path::new("/sys/fs/cgroup/a b"));
        assert!(!part.is_whole && !part.is_writable && part.controllers.ends_with(&["cpuacct".to_owned()]));
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
