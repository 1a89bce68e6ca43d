//! What is mounted, as the kernel tells it.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use hcs_core::Error;

const FILE: &str = "/proc/self/mountinfo";

/// The places at which something is mounted, in the order in which it was.
pub fn places() -> Result<Vec<PathBuf>, Error> {
    let table =
        fs::read_to_string(FILE).map_err(|error| Error::from_io(&error, format!("reading {FILE}")))?;
    Ok(read(&table))
}

/// Whether something is mounted at a place.
pub fn has(place: &Path) -> Result<bool, Error> {
    Ok(places()?.iter().any(|mounted| mounted == place))
}

fn read(table: &str) -> Vec<PathBuf> {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(plain).collect()
}

/// White space and backslashes are written as three octal digits.
fn plain(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let byte = digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_with_the_white_space_in_them() {
        let table = "\
21 1 0:19 / /proc rw,nosuid shared:5 - proc proc rw
40 21 0:33 / /run/hcs/shares rw - virtiofs hcs rw
41 40 0:34 / /run/hcs/shares/my\\040files\\134n rw - virtiofs hcs rw
";
        let places = ["/proc", "/run/hcs/shares", "/run/hcs/shares/my files\\n"].map(PathBuf::from);
        assert_eq!(read(table), places);
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(has(Path::new("/proc")).unwrap());
        assert!(!has(Path::new("/proc/self")).unwrap());
    }
}
