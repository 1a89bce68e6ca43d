//! A guest, for tests: it asks, and reads the answer as a kernel would.

use std::{
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use hcs_p9::{About, Entry, Frames, LEAST, NO_FID, Names, Qid, Reply, Request, Text, VERSION};
use rustix::io::Errno;

use crate::{
    place::Place,
    session::{MOST, Session},
};

/// The root of the share that a guest has attached to.
pub const ROOT: u32 = 0;

/// A folder with shares in it, for the time of a test.
pub struct Shares(PathBuf);

impl Shares {
    pub fn new(test: &str) -> Shares {
        let folder = std::env::temp_dir().join(format!("hcs-folders-{test}-{}", std::process::id()));
        fs::create_dir_all(folder.join("share")).unwrap();
        Shares(folder.canonicalize().unwrap())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in the one share that there is.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.0.join("share").join(path)
    }

    /// A guest that has attached to it.
    pub fn guest(&self) -> Guest {
        let mut guest = Guest::at(Rc::new(Place::of_folder(self.path()).unwrap()));
        guest.attach(ROOT, b"share").unwrap();
        guest
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub struct Guest {
    session: Session,
    replies: Vec<u8>,
    next: u32,
}

impl Guest {
    /// One that has agreed on a version, and has attached to nothing.
    pub fn at(place: Rc<Place>) -> Guest {
        let mut guest = Guest { session: Session::new(place), replies: Vec::new(), next: 1 };
        guest.begin();
        guest
    }

    pub fn begin(&mut self) {
        let version = Reply::Version { msize: MOST, version: Text(VERSION) };
        assert_eq!(self.ask(&Request::Version { msize: u32::MAX, version: Text(VERSION) }), Ok(version));
    }

    /// Looks what has become of the shares.
    pub fn look_again(&mut self) {
        self.session.look_again();
    }

    /// Sends bytes as they are.
    pub fn say(&mut self, bytes: &[u8]) -> Result<Reply<'_>, Errno> {
        let mut frames = Frames::new(u32::MAX);
        frames.push(bytes);
        self.replies.clear();
        self.session.answer(&frames.take().unwrap().unwrap(), &mut self.replies);
        assert!(self.replies.len() <= MOST.max(LEAST) as usize);
        let length = u32::from_le_bytes(*self.replies.first_chunk().unwrap());
        assert_eq!(length as usize, self.replies.len());
        match Reply::read(self.replies[4], &self.replies[7..]).unwrap() {
            Reply::Error { code } => Err(Errno::from_raw_os_error(code as i32)),
            reply => Ok(reply),
        }
    }

    pub fn ask(&mut self, request: &Request<'_>) -> Result<Reply<'_>, Errno> {
        let mut bytes = Vec::new();
        request.put(7, &mut bytes);
        self.say(&bytes)
    }

    /// The same, where only whether it is done is of interest.
    pub fn does(&mut self, request: &Request<'_>) -> Result<(), Errno> {
        self.ask(request).map(drop)
    }

    pub fn attach(&mut self, fid: u32, name: &[u8]) -> Result<Qid, Errno> {
        let uid = rustix::process::geteuid().as_raw();
        let request = Request::Attach { fid, afid: NO_FID, user: Text(b""), name: Text(name), uid };
        match self.ask(&request)? {
            Reply::Attach { qid } => Ok(qid),
            other => panic!("{other:?}"),
        }
    }

    /// Goes along a path from the root; the number of what is there.
    pub fn walk(&mut self, path: &str) -> Result<u32, Errno> {
        let names: Vec<&[u8]> = path.split('/').filter(|name| !name.is_empty()).map(str::as_bytes).collect();
        self.walk_names(&names)
    }

    pub fn walk_names(&mut self, names: &[&[u8]]) -> Result<u32, Errno> {
        let new_fid = self.next;
        self.next += 1;
        match self.ask(&Request::Walk { fid: ROOT, new_fid, names: Names(names.to_vec()) })? {
            Reply::Walk { qids } if qids.0.len() == names.len() => Ok(new_fid),
            Reply::Walk { .. } => Err(Errno::NOENT),
            other => panic!("{other:?}"),
        }
    }

    pub fn open(&mut self, path: &str, flags: u32) -> Result<u32, Errno> {
        let fid = self.walk(path)?;
        self.does(&Request::Lopen { fid, flags }).map(|()| fid)
    }

    pub fn about(&mut self, fid: u32) -> Result<(Qid, About), Errno> {
        match self.ask(&Request::Getattr { fid, mask: u64::MAX })? {
            Reply::Getattr { qid, about, .. } => Ok((qid, about)),
            other => panic!("{other:?}"),
        }
    }

    pub fn read(&mut self, fid: u32, offset: u64, count: u32) -> Result<Vec<u8>, Errno> {
        match self.ask(&Request::Read { fid, offset, count })? {
            Reply::Read { data } => Ok(data.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    pub fn write(&mut self, fid: u32, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        match self.ask(&Request::Write { fid, offset, data })? {
            Reply::Write { count } => Ok(count),
            other => panic!("{other:?}"),
        }
    }

    /// What a file says.
    pub fn said(&mut self, path: &str) -> Result<String, Errno> {
        let fid = self.open(path, 0)?;
        self.read(fid, 0, u32::MAX).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// Makes a file; its number, by which it is open for writing.
    pub fn create(&mut self, folder: u32, name: &str, flags: u32, mode: u32) -> Result<(), Errno> {
        let gid = rustix::process::getegid().as_raw();
        self.does(&Request::Lcreate { fid: folder, name: Text(name.as_bytes()), flags, mode, gid })
    }

    /// The names in a folder that is open, as many at a time as fit into so many bytes.
    pub fn names(&mut self, fid: u32, count: u32) -> Result<Vec<(String, u8)>, Errno> {
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let data = match self.ask(&Request::Readdir { fid, offset, count })? {
                Reply::Readdir { data } => data.to_vec(),
                other => panic!("{other:?}"),
            };
            if data.is_empty() {
                names.sort();
                return Ok(names);
            }
            let mut rest = &data[..];
            while !rest.is_empty() {
                let entry = Entry::take(&mut rest).unwrap();
                offset = entry.offset;
                names.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.kind));
            }
        }
    }
}
