use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
};

use hcs_p9::{LEAST, LOCKED, NO_FID, Names, Reply, Request, Text, UNLOCKED, VERSION, kind, open, set};
use rustix::io::Errno;

use super::*;
use crate::guest_for_tests::{Guest, ROOT, Shares};

fn own_group() -> u32 {
    rustix::process::getegid().as_raw()
}

#[test]
fn a_file_is_made_written_read_and_removed() {
    let shares = Shares::new("file");
    let mut guest = shares.guest();
    let fid = guest.walk("").unwrap();
    guest.create(fid, "new", 2 | open::EXCLUSIVE, 0o640).unwrap();
    assert_eq!(guest.write(fid, 3, b"text"), Ok(4));
    assert_eq!(guest.read(fid, 0, 100).unwrap(), b"\0\0\0text");
    assert_eq!(guest.read(fid, 5, 1).unwrap(), b"x");
    assert_eq!(guest.read(fid, 100, 1).unwrap(), b"");
    guest.does(&Request::Fsync { fid, data_only: 0 }).unwrap();
    guest.does(&Request::Fsync { fid, data_only: 1 }).unwrap();
    let about = fs::metadata(shares.inside("new")).unwrap();
    assert_eq!((about.len(), about.permissions().mode() & 0o7777 & !0o022), (7, 0o640));
    guest.does(&Request::Clunk { fid }).unwrap();
    assert_eq!(guest.read(fid, 0, 1), Err(Errno::BADF));

    let added = guest.open("new", 1 | open::APPEND).unwrap();
    guest.write(added, 0, b"more").unwrap();
    assert_eq!(fs::read(shares.inside("new")).unwrap(), b"\0\0\0textmore");
    let cut = guest.open("new", 1 | open::TRUNCATE).unwrap();
    assert_eq!(guest.about(cut).unwrap().1.size, 0);
    assert_eq!(guest.read(cut, 0, 1), Err(Errno::BADF), "it is open for writing only");

    let fid = guest.walk("").unwrap();
    assert_eq!(guest.create(fid, "new", open::EXCLUSIVE, 0o600), Err(Errno::EXIST));
    guest.create(fid, "new", 0, 0o600).unwrap();
    guest.does(&Request::Unlinkat { fid: ROOT, name: Text(b"new"), flags: 0 }).unwrap();
    assert!(!shares.inside("new").exists());
    assert_eq!(guest.about(fid).unwrap().1.links, 0, "what is open is there until it is closed");
}

#[test]
fn folders_links_and_pipes_are_made_moved_and_removed() {
    let shares = Shares::new("folders");
    let mut guest = shares.guest();
    let gid = own_group();
    let made = guest.ask(&Request::Mkdir { fid: ROOT, name: Text(b"folder"), mode: 0o755, gid }).unwrap();
    assert!(matches!(made, Reply::Mkdir { qid } if qid.kind == kind::FOLDER), "{made:?}");
    let folder = guest.walk("folder").unwrap();
    let link = Request::Symlink { fid: folder, name: Text(b"link"), target: Text(b"/etc/passwd"), gid };
    assert!(matches!(guest.ask(&link), Ok(Reply::Symlink { qid }) if qid.kind == kind::LINK));
    let fid = guest.walk("folder/link").unwrap();
    assert_eq!(guest.ask(&Request::Readlink { fid }), Ok(Reply::Readlink { target: Text(b"/etc/passwd") }));
    assert_eq!(guest.does(&Request::Readlink { fid: folder }), Err(Errno::INVAL));
    let pipe = 0o010644;
    guest
        .does(&Request::Mknod { fid: folder, name: Text(b"pipe"), mode: pipe, major: 0, minor: 0, gid })
        .unwrap();
    assert!(fs::metadata(shares.inside("folder/pipe")).unwrap().file_type().is_fifo());
    fs::write(shares.inside("file"), "text").unwrap();
    let file = guest.walk("file").unwrap();
    guest.does(&Request::Link { folder, fid: file, name: Text(b"again") }).unwrap();
    assert_eq!(fs::metadata(shares.inside("file")).unwrap().nlink(), 2);
    // A name of a link, and not of where it leads.
    guest.does(&Request::Link { folder, fid, name: Text(b"link too") }).unwrap();
    assert!(fs::symlink_metadata(shares.inside("folder/link too")).unwrap().is_symlink());

    let moved = Request::Renameat { from: folder, old: Text(b"again"), to: ROOT, new: Text(b"file") };
    guest.does(&moved).unwrap();
    let moved = Request::Renameat { from: ROOT, old: Text(b"file"), to: folder, new: Text(b"moved") };
    guest.does(&moved).unwrap();
    assert_eq!(guest.said("folder/moved").unwrap(), "text");

    let mut remove =
        |name: &[u8], flags: u32| guest.does(&Request::Unlinkat { fid: folder, name: Text(name), flags });
    for name in ["link", "link too", "pipe", "moved", "again"] {
        remove(name.as_bytes(), 0).unwrap();
    }
    assert_eq!(remove(b"link", 0), Err(Errno::NOENT));
    assert_eq!(remove(b"link", 1), Err(Errno::INVAL));
    let remove = |flags: u32| Request::Unlinkat { fid: ROOT, name: Text(b"folder"), flags };
    assert_eq!(guest.does(&remove(0)), Err(Errno::ISDIR));
    guest.does(&remove(REMOVE_FOLDER)).unwrap();
    assert_eq!(guest.walk("folder"), Err(Errno::NOENT));
}

#[test]
fn a_folder_is_listed_whole_in_whatever_pieces() {
    let shares = Shares::new("listing");
    let mut expected =
        vec![(".".to_owned(), 4), ("..".to_owned(), 4), ("folder".to_owned(), 4), ("link".to_owned(), 10)];
    fs::create_dir(shares.inside("folder")).unwrap();
    symlink("nowhere", shares.inside("link")).unwrap();
    for number in 0..2000 {
        let name = format!("a file with the number {number}");
        fs::write(shares.inside(&name), "").unwrap();
        expected.push((name, 8));
    }
    expected.sort();
    let mut guest = shares.guest();
    let fid = guest.open("", 0).unwrap();
    assert_eq!(guest.names(fid, u32::MAX).unwrap(), expected);
    assert_eq!(guest.names(fid, 200).unwrap(), expected);
    assert_eq!(guest.names(fid, 20), Err(Errno::INVAL));
    fs::write(shares.inside("one more"), "").unwrap();
    assert_eq!(guest.names(fid, 4096).unwrap().len(), expected.len() + 1);
    let file = guest.open("one more", 0).unwrap();
    assert_eq!(guest.names(file, 4096), Err(Errno::NOTDIR));
    assert_eq!(guest.read(fid, 0, 10), Err(Errno::ISDIR));
}

#[test]
fn what_is_known_of_a_file_is_what_the_host_knows_and_is_changed_there() {
    let shares = Shares::new("about");
    fs::write(shares.inside("file"), "text").unwrap();
    symlink("file", shares.inside("link")).unwrap();
    let mut guest = shares.guest();
    let fid = guest.walk("file").unwrap();
    let host = fs::metadata(shares.inside("file")).unwrap();
    let (qid, about) = guest.about(fid).unwrap();
    assert_eq!((about.mode, about.size, about.links), (host.mode(), 4, 1));
    assert_eq!((about.user, about.group), (host.uid(), host.gid()));
    assert_eq!(about.modified, [host.mtime() as u64, host.mtime_nsec() as u64]);
    assert_eq!(qid.path & 0xffff_ffff, host.ino() & 0xffff_ffff);

    let nothing = Request::Setattr {
        fid,
        valid: 0,
        mode: 0,
        uid: u32::MAX,
        gid: u32::MAX,
        size: 0,
        accessed: [0; 2],
        modified: [0; 2],
    };
    let change = |guest: &mut Guest, add: &dyn Fn(&mut Request<'_>)| {
        let mut request = nothing.clone();
        add(&mut request);
        guest.does(&request)
    };
    change(&mut guest, &|request| {
        if let Request::Setattr { valid, mode, size, modified, .. } = request {
            (*valid, *mode, *size) = (set::MODE | set::SIZE | set::MODIFIED | set::MODIFIED_AT, 0o4711, 2);
            *modified = [1_000_000_000, 5];
        }
    })
    .unwrap();
    let host = fs::metadata(shares.inside("file")).unwrap();
    assert_eq!((host.mode() & 0o7777, host.len()), (0o4711, 2));
    assert_eq!((host.mtime(), host.mtime_nsec()), (1_000_000_000, 5));
    change(&mut guest, &|request| {
        if let Request::Setattr { valid, .. } = request {
            *valid = set::ACCESSED | set::MODIFIED;
        }
    })
    .unwrap();
    assert!(fs::metadata(shares.inside("file")).unwrap().mtime() > 1_500_000_000);
    let error = change(&mut guest, &|request| {
        if let Request::Setattr { valid, modified, .. } = request {
            (*valid, *modified) = (set::MODIFIED | set::MODIFIED_AT, [0, u64::MAX]);
        }
    });
    assert_eq!(error, Err(Errno::INVAL));
    let error = change(&mut guest, &|request| {
        if let Request::Setattr { valid, .. } = request {
            *valid = set::USER;
        }
    });
    assert_eq!(error, Err(Errno::INVAL));

    // A link has times of its own, and no length that could be changed.
    let link = guest.walk("link").unwrap();
    assert_eq!(guest.about(link).unwrap().0.kind, kind::LINK);
    let mut on_link = |new_valid: u32| {
        let mut request = nothing.clone();
        if let Request::Setattr { fid, valid, modified, .. } = &mut request {
            (*fid, *valid, *modified) = (link, new_valid, [77, 0]);
        }
        guest.does(&request)
    };
    on_link(set::MODIFIED | set::MODIFIED_AT).unwrap();
    assert_eq!(on_link(set::SIZE), Err(Errno::LOOP));
    assert_eq!(fs::symlink_metadata(shares.inside("link")).unwrap().mtime(), 77);
    assert_ne!(fs::metadata(shares.inside("file")).unwrap().mtime(), 77);

    let Ok(Reply::Statfs { longest_name, blocks, .. }) = guest.ask(&Request::Statfs { fid }) else {
        panic!("nothing is known of the file system")
    };
    assert!(longest_name == 255 && blocks > 0);
}

#[test]
fn locks_are_left_to_the_guest_and_what_is_not_there_is_said_so() {
    let shares = Shares::new("locks");
    fs::write(shares.inside("file"), "text").unwrap();
    let mut guest = shares.guest();
    let lock =
        |fid| Request::Lock { fid, kind: 1, flags: 1, start: 0, length: 0, process: 9, client: Text(b"vm") };
    let closed = guest.walk("file").unwrap();
    assert_eq!(guest.does(&lock(closed)), Err(Errno::BADF));
    let fid = guest.open("file", 0).unwrap();
    assert_eq!(guest.ask(&lock(fid)), Ok(Reply::Lock { status: LOCKED }));
    let who = Request::Getlock { fid, kind: 1, start: 0, length: 5, process: 9, client: Text(b"vm") };
    let nobody = Reply::Getlock { kind: UNLOCKED, start: 0, length: 5, process: 9, client: Text(b"vm") };
    assert_eq!(guest.ask(&who), Ok(nobody));

    let auth = Request::Auth { afid: 9, user: Text(b"root"), name: Text(b"share"), uid: 0 };
    assert_eq!(guest.does(&auth), Err(Errno::OPNOTSUPP));
    // Extended attributes.
    for kind in [30, 32] {
        assert_eq!(guest.say(&[7, 0, 0, 0, kind, 1, 0]), Err(Errno::OPNOTSUPP));
    }
    assert_eq!(guest.does(&Request::Remove { fid }), Err(Errno::OPNOTSUPP));
    assert_eq!(guest.about(fid), Err(Errno::BADF), "the number is given back all the same");
    assert_eq!(guest.ask(&Request::Flush { tag: 1 }), Ok(Reply::Flush {}));
}

#[test]
fn a_version_is_agreed_on_first_and_again_forgets_everything() {
    let shares = Shares::new("version");
    let place = Rc::new(Place::of_folder(shares.path()).unwrap());
    let mut session = Session::new(place.clone());
    let (mut asked, mut replies) = (Vec::new(), Vec::new());
    Request::Clunk { fid: 1 }.put(5, &mut asked);
    session.answer(&Message { kind: asked[4], tag: 5, body: &asked[7..] }, &mut replies);
    assert_eq!(
        Reply::read(replies[4], &replies[7..]),
        Ok(Reply::Error { code: Errno::PROTO.raw_os_error() as u32 })
    );

    let mut guest = shares.guest();
    let fid = guest.walk("").unwrap();
    guest.begin();
    assert_eq!(guest.about(fid), Err(Errno::BADF));
    assert_eq!(guest.about(ROOT), Err(Errno::BADF));
    guest.attach(ROOT, b"share").unwrap();
    let other = Request::Version { msize: 8192, version: Text(b"9P2000.u") };
    assert_eq!(guest.ask(&other), Ok(Reply::Version { msize: 8192, version: Text(b"unknown") }));
    assert_eq!(guest.attach(ROOT, b"share"), Err(Errno::PROTO));
    let small = Request::Version { msize: LEAST - 1, version: Text(VERSION) };
    assert_eq!(guest.does(&small), Err(Errno::INVAL));
    let least = Request::Version { msize: LEAST, version: Text(VERSION) };
    assert_eq!(guest.ask(&least), Ok(Reply::Version { msize: LEAST, version: Text(VERSION) }));
    guest.attach(ROOT, b"share").unwrap();
    fs::write(shares.inside("long"), [7; 10_000]).unwrap();
    let fid = guest.open("long", 0).unwrap();
    assert_eq!(guest.read(fid, 0, u32::MAX).unwrap().len(), (LEAST - AROUND_DATA) as usize);
}

#[test]
fn numbers_are_given_once() {
    let shares = Shares::new("numbers");
    fs::create_dir(shares.inside("folder")).unwrap();
    fs::write(shares.inside("file"), "text").unwrap();
    let mut guest = shares.guest();
    let fid = guest.walk("file").unwrap();
    let to =
        |fid, new_fid, names: &[&'static [u8]]| Request::Walk { fid, new_fid, names: Names(names.to_vec()) };
    assert_eq!(guest.does(&to(ROOT, fid, &[b"folder"])), Err(Errno::BADF));
    assert_eq!(guest.does(&to(ROOT, NO_FID, &[b"folder"])), Err(Errno::BADF));
    assert_eq!(guest.does(&to(77, 78, &[])), Err(Errno::BADF));
    assert_eq!(guest.attach(fid, b"share"), Err(Errno::BADF));
    assert_eq!(guest.attach(NO_FID, b"share"), Err(Errno::BADF));
    let auth = Request::Attach { fid: 90, afid: 4, user: Text(b""), name: Text(b"share"), uid: 0 };
    assert_eq!(guest.does(&auth), Err(Errno::INVAL));
    // It may go on by its own number, if it arrives.
    guest.does(&to(ROOT, 50, &[])).unwrap();
    let Ok(Reply::Walk { qids }) = guest.ask(&to(50, 50, &[b"folder", b"nothing"])) else {
        panic!("it is refused")
    };
    assert_eq!(qids.0.len(), 1);
    assert_eq!(guest.about(50).unwrap().0, guest.about(ROOT).unwrap().0, "it has not arrived, so it stays");
    guest.does(&to(50, 50, &[b"folder"])).unwrap();
    assert_ne!(guest.about(50).unwrap().0, guest.about(ROOT).unwrap().0);

    guest.does(&Request::Lopen { fid, flags: 0 }).unwrap();
    assert_eq!(guest.does(&Request::Lopen { fid, flags: 0 }), Err(Errno::INVAL));
    assert_eq!(guest.create(fid, "x", 0, 0o600), Err(Errno::INVAL));
    assert_eq!(guest.create(50, "x", 3, 0o600), Err(Errno::INVAL));
}

#[test]
fn a_share_that_is_taken_away_is_gone_with_all_that_the_guest_had_of_it() {
    let shares = Shares::new("gone");
    fs::create_dir_all(shares.path().join("other/inner")).unwrap();
    fs::write(shares.inside("file"), "text").unwrap();
    let mut guest = shares.guest();
    assert_eq!(guest.attach(90, b"none"), Err(Errno::NOENT));
    guest.attach(90, b"other").unwrap();
    let fid = guest.open("file", 0).unwrap();
    fs::rename(shares.path().join("share"), shares.path().join("elsewhere")).unwrap();
    assert_eq!(guest.read(fid, 0, 4).unwrap(), b"text");
    guest.look_again();
    assert_eq!(guest.read(fid, 0, 4), Err(Errno::BADF));
    assert_eq!(guest.walk("file"), Err(Errno::BADF));
    guest.about(90).unwrap();
    // Another of its name is not the same.
    fs::create_dir(shares.path().join("share")).unwrap();
    guest.look_again();
    assert_eq!(guest.about(ROOT), Err(Errno::BADF));
    guest.attach(ROOT, b"share").unwrap();
    assert_eq!(guest.walk("file"), Err(Errno::NOENT));
}
