//! `.vmrs`: a machine that was saved.
//!
//! ```text
//!   0      header: what it is, where the parts are, a checksum of the parts, a checksum of itself
//!   4096   description, as JSON: what the machine was made from, and what the host must have
//!          state of the devices, as QEMU writes it
//!          memory, region by region, each at a whole MiB; what is zero is not there
//! ```
//!
//! The header is written last, so a file without one is empty; whoever writes gives the file its name when everything is on the
//! disk ([`crate::replace`]), so one with a header is whole. The checksum of memory is
//! over pieces that are not zero: a copy that fills holes, or makes some, is the same file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use hcs_core::{Cause, Error};
use rustix::{fs::Advice, io::Errno};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::long;

/// The version of the form that this release writes, and the only one that it reads.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"HCSVMRS\0";
const HEADER: usize = 4096;
/// Where regions begin, and what they are read by.
const MIB: u64 = 1 << 20;
/// Memory is looked at in pieces of this size.
const PIECE: usize = 64 << 10;
/// So much is copied before the disk is told of it.
const WRITTEN_OUT: u64 = 8 << 20;
const MOST_REGIONS: usize = 8;
/// The longest description; one has a few KiB.
const LONGEST_DESCRIPTION: u64 = 4 << 20;
/// The longest state of devices; one has half a MiB, and a screen adds what is on it.
const LONGEST_STATE: u64 = 1 << 30;

/// What is said of a machine that was saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The id of the system.
    pub name: String,
    /// The plan of the machine, by the engine for virtual machines.
    pub plan: Value,
    /// The version of QEMU, which a later one can read.
    pub qemu: [u64; 2],
    /// Whether the processors were the host's own.
    pub kvm: bool,
    /// What the processors must be able to do, as a VmProcessorRequirements document.
    pub processor: Value,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    description: Part,
    state: Part,
    regions: Vec<Part>,
    checksum: u32,
}

/// Makes an empty file, which a machine can be saved to. One that is there stays as it is.
pub fn create_empty(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|file| file.sync_all())
        .map_err(|error| Error::from_io(&error, format!("making the file {}", path.display())))
}

/// Writes a machine: the state of its devices, and its memory. The file must be empty: where memory is zero, nothing is written.
pub fn write(file: &File, description: &Description, state: &File, regions: &[&File]) -> Result<(), Error> {
    let failed = |error: io::Error| Error::from_io(&error, "writing the saved machine");
    let text = serde_json::to_vec(description).map_err(|error| failed(error.into()))?;
    let description = Part { offset: HEADER as u64, length: text.len() as u64 };
    let mut sum = Sum::default();
    file.write_all_at(&text, description.offset).map_err(failed)?;
    sum.add(&text);
    let begin = (description.offset + description.length).next_multiple_of(HEADER as u64);
    let state_part = Part { offset: begin, length: state.metadata().map_err(failed)?.len() };
    copy(state, 0, file, state_part.offset, state_part.length, &mut sum).map_err(failed)?;
    let mut offset = (state_part.offset + state_part.length).next_multiple_of(MIB);
    let mut parts = Vec::new();
    for region in regions {
        let part = Part { offset, length: region.metadata().map_err(failed)?.len() };
        copy(region, 0, file, part.offset, part.length, &mut sum).map_err(failed)?;
        offset = (offset + part.length).next_multiple_of(MIB);
        parts.push(part);
    }
    file.set_len(offset).map_err(failed)?;
    let header = Header { description, state: state_part, regions: parts, checksum: sum.finish() };
    file.write_all_at(&header.bytes(), 0).map_err(failed)
}

/// A saved machine that is looked at.
#[derive(Debug)]
pub struct Saved {
    file: File,
    header: Header,
    /// What it says of itself.
    pub description: Description,
}

impl Saved {
    /// Looks at a file. Its memory is not read yet.
    pub fn open(mut file: File) -> Result<Saved, Error> {
        let mut bytes = [0; HEADER];
        let length = file.metadata().map_err(unreadable)?.len();
        if length == 0 {
            return Err(Error::new(Cause::InvalidData, "the file is empty: no machine was saved to it"));
        }
        if length < HEADER as u64 {
            return Err(truncated(length));
        }
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes)).map_err(unreadable)?;
        let header = Header::read(&bytes, length)?;
        let mut text = vec![0; header.description.length as usize];
        file.read_exact_at(&mut text, header.description.offset).map_err(unreadable)?;
        let description = serde_json::from_slice(&text).map_err(|error| {
            Error::new(Cause::InvalidData, format!("its description is damaged: {error}"))
        })?;
        Ok(Saved { file, header, description })
    }

    /// How large the regions of memory are.
    pub fn regions(&self) -> impl Iterator<Item = u64> + '_ {
        self.header.regions.iter().map(|part| part.length)
    }

    /// Reads the state of the devices and the memory into files that are empty. Fails if anything is not as it was written.
    pub fn load(&self, state: &File, regions: &[&File]) -> Result<(), Error> {
        let mut sum = Sum::default();
        let mut text = vec![0; self.header.description.length as usize];
        self.file.read_exact_at(&mut text, self.header.description.offset).map_err(unreadable)?;
        sum.add(&text);
        let parts = [self.header.state].into_iter().chain(self.header.regions.iter().copied());
        for (part, into) in parts.zip([state].iter().chain(regions)) {
            into.set_len(part.length).map_err(unreadable)?;
            copy(&self.file, part.offset, into, 0, part.length, &mut sum).map_err(unreadable)?;
        }
        match sum.finish() == self.header.checksum && regions.len() == self.header.regions.len() {
            true => Ok(()),
            false => Err(Error::new(Cause::InvalidData, "it is damaged: its checksum is another one")
                .hint("Restore it from a copy; what is left of it cannot be trusted.")),
        }
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::from_io(&error, "reading the saved machine")
}

fn truncated(length: u64) -> Error {
    Error::new(Cause::InvalidData, format!("it is truncated: {length} bytes of it are there"))
}

impl Header {
    fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut words = vec![u64::from_le_bytes(*MAGIC), u64::from(VERSION)];
        let parts = [&self.description, &self.state].into_iter().chain(&self.regions);
        words.push(self.regions.len() as u64);
        words.push(u64::from(self.checksum));
        words.extend(parts.flat_map(|part| [part.offset, part.length]));
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let own = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEADER], length: u64) -> Result<Header, Error> {
        let wrong = |detail: String| Err(Error::new(Cause::InvalidData, detail));
        let word = |index: usize| long(bytes, index * 8);
        if bytes.iter().all(|byte| *byte == 0) {
            return wrong("no machine was saved to it, or the saving came to no end".to_owned());
        }
        if &bytes[..8] != MAGIC {
            return wrong("it is no saved machine of this service".to_owned());
        }
        if word(1) != u64::from(VERSION) {
            let detail = format!("it has the version {}, and this release reads {VERSION}", word(1));
            return Err(Error::new(Cause::NotSupported, detail));
        }
        let own = crc32fast::hash(&bytes[..HEADER - 4]);
        // A fuzzer finds no checksums, and there is something behind them.
        if bytes[HEADER - 4..] != own.to_le_bytes() && !cfg!(fuzzing) {
            return wrong("its header is damaged".to_owned());
        }
        let count = usize::try_from(word(2)).ok().filter(|count| *count <= MOST_REGIONS);
        let Some(count) = count else { return wrong("its header makes no sense".to_owned()) };
        let part = |index: usize| Part { offset: word(4 + 2 * index), length: word(5 + 2 * index) };
        let header = Header {
            description: part(0),
            state: part(1),
            regions: (2..2 + count).map(part).collect(),
            checksum: word(3) as u32,
        };
        for part in [&header.description, &header.state].into_iter().chain(&header.regions) {
            if part.offset.checked_add(part.length).is_none_or(|end| end > length) {
                return Err(truncated(length));
            }
        }
        if header.description.length > LONGEST_DESCRIPTION || header.state.length > LONGEST_STATE {
            return wrong("its header makes no sense".to_owned());
        }
        Ok(header)
    }
}

/// A checksum of pieces and of where they are.
#[derive(Default)]
struct Sum {
    hasher: crc32fast::Hasher,
    part: u64,
}

impl Sum {
    /// A part that has no holes.
    fn add(&mut self, bytes: &[u8]) {
        self.begin_part();
        self.piece(0, bytes);
    }

    fn begin_part(&mut self) {
        self.part += 1;
    }

    fn piece(&mut self, place: u64, bytes: &[u8]) {
        self.hasher.update(&self.part.to_le_bytes());
        self.hasher.update(&place.to_le_bytes());
        self.hasher.update(&crc32fast::hash(bytes).to_le_bytes());
    }

    fn finish(self) -> u32 {
        self.hasher.finalize()
    }
}

/// Copies what is not zero of the beginning of a file to a place in memory that is zero.
pub fn copy_memory(from: &File, to: &File, place: &Range<u64>) -> io::Result<()> {
    copy(from, 0, to, place.start, place.end - place.start, &mut Sum::default())
}

/// Has the disk begin with what was written, while more of it is made: who waits for all of it at the end waits for less. It is
/// an advice about reading, so nobody depends on it; pages on their way to the disk are not dropped by it.
fn write_out(file: &File, place: Range<u64>) {
    let _ =
        rustix::fs::fadvise(file, place.start, NonZeroU64::new(place.end - place.start), Advice::DontNeed);
}

/// Copies what is not zero, and sums it up.
fn copy(
    from: &File,
    from_offset: u64,
    to: &File,
    to_offset: u64,
    length: u64,
    sum: &mut Sum,
) -> io::Result<()> {
    sum.begin_part();
    let mut buffer = vec![0; MIB as usize];
    let (mut at, mut written_out) = (0, 0);
    while at < length {
        // What is a hole is zero, and need not be read.
        at = match rustix::fs::seek(from, rustix::fs::SeekFrom::Data(from_offset + at)) {
            Ok(data) => (data.saturating_sub(from_offset) / PIECE as u64 * PIECE as u64).max(at),
            Err(Errno::NXIO) => return Ok(()),
            // A file system that knows no holes.
            Err(Errno::INVAL) => at,
            Err(errno) => return Err(errno.into()),
        };
        if at >= length {
            return Ok(());
        }
        let take = (length - at).min(MIB - at % MIB) as usize;
        from.read_exact_at(&mut buffer[..take], from_offset + at)?;
        for (index, piece) in buffer[..take].chunks(PIECE).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                let place = at + (index * PIECE) as u64;
                to.write_all_at(piece, to_offset + place)?;
                sum.piece(place, piece);
            }
        }
        at += take as u64;
        if at - written_out >= WRITTEN_OUT {
            write_out(to, to_offset + written_out..to_offset + at);
            written_out = at;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("hcs-state-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn file(&self, name: &str) -> File {
            let path = self.0.join(name);
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn description() -> Description {
        Description {
            name: "vm".into(),
            plan: serde_json::json!({"memory": 7}),
            qemu: [11, 1],
            kvm: false,
            processor: serde_json::json!({}),
        }
    }

    fn saved(folder: &Folder) -> File {
        let (state, memory, more) = (folder.file("state"), folder.file("memory"), folder.file("more"));
        state.write_all_at(&[5; 70_000], 0).unwrap();
        memory.set_len(32 << 20).unwrap();
        memory.write_all_at(b"begin", 0).unwrap();
        memory.write_all_at(&[9; 300_000], (9 << 20) + 1234).unwrap();
        memory.write_all_at(b"end", (32 << 20) - 3).unwrap();
        more.set_len(4 << 20).unwrap();
        let file = folder.file("saved");
        write(&file, &description(), &state, &[&memory, &more]).unwrap();
        file
    }

    fn bytes(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_was_saved_is_what_is_loaded_and_zeros_take_no_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = Folder::new("round");
        let file = saved(&folder);
        let allocated = file.metadata().unwrap().blocks() * 512;
        assert!(allocated < 1 << 20, "{allocated} bytes");
        let saved = Saved::open(file).unwrap();
        assert_eq!(saved.description, description());
        assert_eq!(saved.regions().collect::<Vec<_>>(), [32 << 20, 4 << 20]);
        let (state, memory, more) = (folder.file("s"), folder.file("m"), folder.file("n"));
        saved.load(&state, &[&memory, &more]).unwrap();
        for (name, loaded) in [("state", &state), ("memory", &memory), ("more", &more)] {
            assert!(std::fs::read(folder.0.join(name)).unwrap() == bytes(loaded), "{name}");
        }
    }

    #[test]
    fn a_copy_with_other_holes_is_the_same() {
        let folder = Folder::new("holes");
        let whole = bytes(&saved(&folder));
        let copy = folder.file("copy");
        copy.write_all_at(&whole, 0).unwrap();
        let saved = Saved::open(copy).unwrap();
        saved.load(&folder.file("s"), &[&folder.file("m"), &folder.file("n")]).unwrap();
    }

    #[test]
    fn whatever_is_wrong_with_a_file_is_told_by_name() {
        let folder = Folder::new("wrong");
        let whole = bytes(&saved(&folder));
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = whole.clone();
            change(&mut changed);
            let file = folder.file("changed");
            file.write_all_at(&changed, 0).unwrap();
            Saved::open(file)
                .and_then(|saved| saved.load(&folder.file("s"), &[&folder.file("m"), &folder.file("n")]))
        };
        let own_sum = |bytes: &mut Vec<u8>| {
            let own = crc32fast::hash(&bytes[..HEADER - 4]);
            bytes[HEADER - 4..HEADER].copy_from_slice(&own.to_le_bytes());
        };
        with(&|_| {}).unwrap();
        for (change, words) in [
            (&(|bytes: &mut Vec<u8>| bytes.clear()) as &dyn Fn(&mut Vec<u8>), "empty"),
            (&|bytes| bytes.truncate(100), "truncated"),
            (&|bytes| bytes.truncate(20 << 20), "truncated"),
            (&|bytes| bytes[..HEADER].fill(0), "came to no end"),
            (&|bytes| bytes[0] = b'X', "no saved machine"),
            (&|bytes| bytes[40] ^= 1, "header is damaged"),
            (&|bytes| bytes[HEADER + 2] ^= 0x80, "description is damaged"),
            (&|bytes| bytes[bytes_of_memory()] ^= 1, "checksum"),
            (&|bytes| bytes[30 << 20] = 1, "checksum"),
        ] {
            let error = with(change).unwrap_err();
            assert!(error.detail.contains(words), "{words}: {error:?}");
            assert_eq!(error.cause, Cause::InvalidData);
        }
        let newer = with(&|bytes| {
            bytes[8] = 2;
            own_sum(bytes);
        });
        assert_eq!(newer.unwrap_err().cause, Cause::NotSupported);
        // Whatever a header says, nothing is read that is not there.
        for place in (16..200).step_by(8) {
            let _ = with(&|bytes| {
                bytes[place..place + 8].fill(0xff);
                own_sum(bytes);
            });
        }
    }

    /// Where the first bytes of memory are.
    fn bytes_of_memory() -> usize {
        1 << 20
    }
}
