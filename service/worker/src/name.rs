//! What process lists show as the worker's argument: first nothing in particular, later its system's GUID.

use std::{
    fs,
    io::{self, Seek, SeekFrom, Write},
};

/// Writes a name over the last argument, which must have its length. The kernel shows the arguments as they stand in
/// the memory of the process; there is no other way to change them without a privilege that services lack.
pub fn show(name: &str) -> io::Result<()> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The end of the arguments; counted from behind the name, which may contain anything.
    const END_OF_ARGUMENTS: usize = 46;
    let fields = stat.rsplit_once(')').ok_or_else(wrong)?.1;
    let end = fields.split_whitespace().nth(END_OF_ARGUMENTS).ok_or_else(wrong)?;
    let end: u64 = end.parse().map_err(|_| wrong())?;
    if std::env::args().next_back().is_none_or(|last| last.len() != name.len()) {
        return Err(wrong());
    }
    let start = end.checked_sub(name.len() as u64 + 1).ok_or_else(wrong)?;
    let mut memory = fs::File::options().write(true).open("/proc/self/mem")?;
    memory.seek(SeekFrom::Start(start))?;
    memory.write_all(name.as_bytes())
}
