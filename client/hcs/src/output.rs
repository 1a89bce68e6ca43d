//! What was said in a system and kept by its worker: processes that were created with `Linux.Log`, and the consoles of a virtual
//! machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hcs_ipc::compute::OutputPiece;
pub use hcs_ipc::compute::OutputStream;
use hcs_schema::{ProcessLinux, ProcessLog, ProcessParameters};

/// The same process as one that is to go on alone: what it says is kept, and nobody has to read it.
pub fn kept(parameters: ProcessParameters) -> ProcessParameters {
    let log = ProcessLinux { log: Some(ProcessLog::default()) };
    ProcessParameters { create_std_out_pipe: None, create_std_err_pipe: None, linux: Some(log), ..parameters }
}

/// Some bytes that were said at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who has said it; `None` are the consoles of a machine.
    pub process: Option<u32>,
    /// Where.
    pub stream: OutputStream,
    /// When it was heard.
    pub time: SystemTime,
    /// How many bytes the same had said before.
    pub offset: u64,
    /// How many bytes of those were dropped since the last that was read.
    pub missed: u64,
    /// What.
    pub bytes: Vec<u8>,
}

impl Said {
    /// When it was heard, as documents write it.
    pub fn timestamp(&self) -> String {
        hcs_core::timestamp::format(self.time)
    }
}

/// Reads what was said, piece by piece. Where more is to come this waits for it.
pub struct Output {
    reader: BufReader<File>,
    /// Where each was in what it said.
    read: BTreeMap<Option<u32>, u64>,
}

impl Output {
    pub(crate) fn new(end: OwnedFd) -> Output {
        Output { reader: BufReader::new(File::from(end)), read: BTreeMap::new() }
    }

    fn next_piece(&mut self) -> io::Result<Option<Said>> {
        /// Longer than any line that tells of a piece.
        const LONGEST: u64 = 4096;
        /// Longer than any piece.
        const MOST: u64 = 1 << 20;
        let mut line = Vec::new();
        if self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let OutputPiece { process, stream, time, offset, length } = serde_json::from_slice(&line)?;
        if length > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a piece of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        let before = self.read.insert(process, offset + length);
        Ok(Some(Said {
            process,
            stream,
            time: UNIX_EPOCH + Duration::from_micros(time),
            offset,
            missed: before.map_or(0, |before| offset.saturating_sub(before)),
            bytes,
        }))
    }
}

impl Iterator for Output {
    type Item = io::Result<Said>;

    fn next(&mut self) -> Option<io::Result<Said>> {
        self.next_piece().transpose()
    }
}

impl AsFd for Output {
    /// To be waited for. What was read ahead is not in it any more.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.get_ref().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &[u8]) -> Vec<io::Result<Said>> {
        let (end, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        File::from(write).write_all(text).unwrap();
        Output::new(end).collect()
    }

    #[test]
    fn pieces_are_read_with_what_was_missed_and_a_torn_one_is_an_error() {
        let text = b"{\"process\":3,\"stream\":\"stdOut\",\"time\":1000000,\"offset\":5,\"length\":3}\na\nb\
            {\"process\":null,\"stream\":\"console\",\"time\":0,\"offset\":0,\"length\":1}\nc\
            {\"process\":3,\"stream\":\"stdErr\",\"time\":0,\"offset\":10,\"length\":2}\nxy";
        let said: Vec<Said> = read(text).into_iter().map(Result::unwrap).collect();
        let seen: Vec<_> = said.iter().map(|said| (said.process, said.missed, &said.bytes[..])).collect();
        assert_eq!(seen, [(Some(3), 0, &b"a\nb"[..]), (None, 0, b"c"), (Some(3), 2, b"xy")]);
        assert_eq!(said[0].timestamp(), "1970-01-01T00:00:01.0000000Z");
        assert!(read(&text[..text.len() - 1]).pop().unwrap().is_err());
        assert!(read(b"no piece\n").pop().unwrap().is_err());
    }
}
