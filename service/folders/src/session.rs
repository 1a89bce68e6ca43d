//! What a guest asks over one connection, and its files by the numbers that it has given them.
//!
//! Every request is answered at once and in order, so there is never one to be flushed. Locks are the guest's own, as they are
//! with its other folders: its kernel keeps them, and asks only who else has one. Extended attributes are not there.

use std::{collections::BTreeMap, os::fd::OwnedFd, rc::Rc};

use hcs_p9::{
    AROUND_DATA, LEAST, LOCKED, Message, NO_FID, NO_USER, Qids, REMOVE_FOLDER, Reply, Request, Text,
    UNKNOWN_VERSION, UNLOCKED, Unreadable, VERSION,
};
use rustix::io::Errno;

use crate::{
    listing,
    object::{Changes, Known, Object},
    place::{Place, Share},
};

/// The longest message: what hosts of such guests ask for. Whoever carries it must have room for a whole one before it waits for
/// an answer.
pub const MOST: u32 = 64 << 10;

/// Who is nobody, for a guest that does not say who it is.
const NOBODY: u32 = 65534;

/// What a file system says that it is.
const MAGIC: u32 = 0x0102_1997;

/// A conversation.
pub struct Session {
    place: Rc<Place>,
    files: BTreeMap<u32, File>,
    /// The shares that were attached to.
    shares: Vec<Rc<Share>>,
    /// How long a message may be; none until that was agreed.
    most: Option<u32>,
    /// What is read, until it is sent.
    data: Vec<u8>,
}

/// What a number stands for.
struct File {
    object: Object,
    opened: Option<OwnedFd>,
}

impl File {
    fn new(object: Object) -> File {
        File { object, opened: None }
    }

    fn opened(&self) -> Result<&OwnedFd, Errno> {
        self.opened.as_ref().ok_or(Errno::BADF)
    }
}

impl Session {
    /// One in which nothing was agreed yet.
    pub fn new(place: Rc<Place>) -> Session {
        Session { place, files: BTreeMap::new(), shares: Vec::new(), most: None, data: Vec::new() }
    }

    /// How long a message may be.
    pub fn most(&self) -> u32 {
        self.most.unwrap_or(MOST)
    }

    /// Answers a message.
    pub fn answer(&mut self, message: &Message<'_>, to: &mut Vec<u8>) {
        let mut data = std::mem::take(&mut self.data);
        data.clear();
        let reply = match Request::read(message.kind, message.body) {
            Ok(request) => self.reply(&request, &mut data),
            Err(Unreadable::Unknown) => Err(Errno::OPNOTSUPP),
            Err(Unreadable::Malformed) => Err(Errno::INVAL),
        };
        reply.unwrap_or_else(|errno| Reply::Error { code: errno.raw_os_error() as u32 }).put(message.tag, to);
        self.data = data;
    }

    /// Shares may have gone: what a guest has of them goes too.
    pub fn look_again(&mut self) {
        for share in &self.shares {
            self.place.look_again(share);
        }
        let mounts = self.place.mounts();
        self.files.retain(|_, file| file.object.is_there(&mounts));
        self.shares.retain(|share| !share.is_gone.get() && Rc::strong_count(share) > 1);
    }

    fn reply<'a>(&mut self, request: &Request<'a>, data: &'a mut Vec<u8>) -> Result<Reply<'a>, Errno> {
        if let Request::Version { msize, version } = request {
            return self.begin(*msize, version.0);
        }
        let most = self.most.ok_or(Errno::PROTO)?;
        // What a reply can have of a file at most.
        let room = |count: u32| count.min(most - AROUND_DATA) as usize;
        Ok(match request {
            Request::Version { .. } => return Err(Errno::PROTO),
            // There is nothing to be shown; who may connect is decided by the machine.
            Request::Auth { .. } => return Err(Errno::OPNOTSUPP),
            Request::Attach { fid, afid, name, uid, .. } => {
                if *afid != NO_FID {
                    return Err(Errno::INVAL);
                }
                let user = if *uid == NO_USER { NOBODY } else { *uid };
                let root = Object::root(self.place.clone(), self.share(name.0)?, user)?;
                let qid = root.qid()?;
                self.add(*fid, root)?;
                Reply::Attach { qid }
            }
            Request::Flush { .. } => Reply::Flush {},
            Request::Walk { fid, new_fid, names } => self.walk(*fid, *new_fid, &names.0)?,
            Request::Clunk { fid } => {
                self.files.remove(fid).ok_or(Errno::BADF)?;
                Reply::Clunk {}
            }
            // Whoever asks removes by name when it cannot be done by number; the number is gone in any case.
            Request::Remove { fid } => {
                self.files.remove(fid);
                return Err(Errno::OPNOTSUPP);
            }
            Request::Statfs { fid } => {
                let found = self.file(*fid)?.object.file_system()?;
                Reply::Statfs {
                    kind: MAGIC,
                    block_size: found.f_bsize as u32,
                    blocks: found.f_blocks,
                    free: found.f_bfree,
                    available: found.f_bavail,
                    files: found.f_files,
                    free_files: found.f_ffree,
                    id: 0,
                    longest_name: found.f_namelen as u32,
                }
            }
            Request::Getattr { fid, .. } => {
                let Known { qid, about, valid } = self.file(*fid)?.object.known()?;
                Reply::Getattr { valid, qid, about }
            }
            Request::Setattr { fid, valid, mode, uid, gid, size, accessed, modified } => {
                let changes = Changes {
                    valid: *valid,
                    mode: *mode,
                    user: *uid,
                    group: *gid,
                    size: *size,
                    accessed: *accessed,
                    modified: *modified,
                };
                let file = self.file(*fid)?;
                file.object.change(&changes, file.opened.as_ref())?;
                Reply::Setattr {}
            }
            Request::Readlink { fid } => {
                *data = self.file(*fid)?.object.target()?;
                Reply::Readlink { target: Text(data) }
            }
            Request::Lopen { fid, flags } => {
                let file = self.files.get_mut(fid).ok_or(Errno::BADF)?;
                if file.opened.is_some() {
                    return Err(Errno::INVAL);
                }
                let opened = file.object.open(*flags)?;
                let qid = file.object.qid()?;
                file.opened = Some(opened);
                Reply::Lopen { qid, unit: 0 }
            }
            Request::Lcreate { fid, name, flags, mode, gid } => {
                let folder = self.file(*fid)?;
                if folder.opened.is_some() {
                    return Err(Errno::INVAL);
                }
                let (object, opened) = folder.object.create(name.0, *flags, *mode, *gid)?;
                let qid = object.qid()?;
                self.files.insert(*fid, File { object, opened: Some(opened) });
                Reply::Lcreate { qid, unit: 0 }
            }
            Request::Mkdir { fid, name, mode, gid } => {
                Reply::Mkdir { qid: self.file(*fid)?.object.make_folder(name.0, *mode, *gid)? }
            }
            Request::Symlink { fid, name, target, gid } => {
                Reply::Symlink { qid: self.file(*fid)?.object.make_link(name.0, target.0, *gid)? }
            }
            Request::Mknod { fid, name, mode, gid, .. } => {
                Reply::Mknod { qid: self.file(*fid)?.object.make_node(name.0, *mode, *gid)? }
            }
            Request::Link { folder, fid, name } => {
                self.file(*folder)?.object.link(&self.file(*fid)?.object, name.0)?;
                Reply::Link {}
            }
            Request::Renameat { from, old, to, new } => {
                self.file(*from)?.object.rename(old.0, &self.file(*to)?.object, new.0)?;
                Reply::Renameat {}
            }
            Request::Unlinkat { fid, name, flags } => {
                if flags & !REMOVE_FOLDER != 0 {
                    return Err(Errno::INVAL);
                }
                self.file(*fid)?.object.remove(name.0, flags & REMOVE_FOLDER != 0)?;
                Reply::Unlinkat {}
            }
            Request::Readdir { fid, offset, count } => {
                let file = self.file(*fid)?;
                listing::list(&file.object, file.opened()?, *offset, room(*count), data)?;
                Reply::Readdir { data }
            }
            Request::Read { fid, offset, count } => {
                data.resize(room(*count), 0);
                let length = rustix::io::pread(self.file(*fid)?.opened()?, &mut data[..], *offset)?;
                data.truncate(length);
                Reply::Read { data }
            }
            Request::Write { fid, offset, data } => {
                let length = rustix::io::pwrite(self.file(*fid)?.opened()?, data, *offset)?;
                Reply::Write { count: length as u32 }
            }
            Request::Fsync { fid, data_only } => {
                let opened = self.file(*fid)?.opened()?;
                match data_only {
                    0 => rustix::fs::fsync(opened)?,
                    _ => rustix::fs::fdatasync(opened)?,
                }
                Reply::Fsync {}
            }
            Request::Lock { fid, .. } => {
                self.file(*fid)?.opened()?;
                Reply::Lock { status: LOCKED }
            }
            Request::Getlock { fid, start, length, process, client, .. } => {
                self.file(*fid)?.opened()?;
                Reply::Getlock {
                    kind: UNLOCKED,
                    start: *start,
                    length: *length,
                    process: *process,
                    client: *client,
                }
            }
        })
    }

    /// Agrees on a dialect and a limit. What was before is forgotten.
    fn begin<'a>(&mut self, most: u32, version: &[u8]) -> Result<Reply<'a>, Errno> {
        self.files.clear();
        self.shares.clear();
        self.most = None;
        if most < LEAST {
            return Err(Errno::INVAL);
        }
        let most = most.min(MOST);
        if version != VERSION {
            return Ok(Reply::Version { msize: most, version: Text(UNKNOWN_VERSION) });
        }
        self.most = Some(most);
        Ok(Reply::Version { msize: most, version: Text(VERSION) })
    }

    fn file(&self, number: u32) -> Result<&File, Errno> {
        self.files.get(&number).ok_or(Errno::BADF)
    }

    /// The share of this name; each user of the guest attaches to it.
    fn share(&mut self, name: &[u8]) -> Result<Rc<Share>, Errno> {
        // One that has gone and come again is another.
        for share in &self.shares {
            self.place.look_again(share);
        }
        self.shares.retain(|share| !share.is_gone.get());
        if let Some(known) = self.shares.iter().find(|share| share.name == name) {
            return Ok(known.clone());
        }
        let share = self.place.attach(name)?;
        self.shares.push(share.clone());
        Ok(share)
    }

    /// A number is given to one file only.
    fn add(&mut self, number: u32, object: Object) -> Result<(), Errno> {
        if number == NO_FID || self.files.contains_key(&number) {
            return Err(Errno::BADF);
        }
        self.files.insert(number, File::new(object));
        Ok(())
    }

    fn walk<'a>(&mut self, from: u32, to: u32, names: &[&[u8]]) -> Result<Reply<'a>, Errno> {
        let mut at = self.file(from)?.object.again()?;
        if to == NO_FID || (to != from && self.files.contains_key(&to)) {
            return Err(Errno::BADF);
        }
        let mut qids = Vec::new();
        for name in names {
            let next = at.step(name).and_then(|next| next.qid().map(|qid| (next, qid)));
            match next {
                Ok((next, qid)) => {
                    at = next;
                    qids.push(qid);
                }
                Err(errno) if qids.is_empty() => return Err(errno),
                // How far it has come says that it has not arrived.
                Err(_) => return Ok(Reply::Walk { qids: Qids(qids) }),
            }
        }
        self.files.insert(to, File::new(at));
        Ok(Reply::Walk { qids: Qids(qids) })
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;
