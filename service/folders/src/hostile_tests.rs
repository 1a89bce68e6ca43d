//! A guest that wants what is not shared, or wants the server to stand still.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
};

use hcs_p9::{Names, Reply, Request, Text, open};
use rustix::io::Errno;

use super::*;
use crate::guest_for_tests::{Guest, ROOT, Shares};

/// Names that lead elsewhere, or are none.
const NO_NAMES: &[&[u8]] =
    &[b"..", b".", b"", b"/", b"/etc", b"../secret", b"folder/../../secret", b"folder/file", b"a\0b", b"\0"];

/// A share beside which there is a secret.
fn shares(test: &str) -> Shares {
    let shares = Shares::new(test);
    fs::write(shares.path().join("secret"), "secret").unwrap();
    fs::create_dir(shares.inside("folder")).unwrap();
    fs::write(shares.inside("folder/file"), "text").unwrap();
    shares
}

#[test]
fn no_name_leads_out() {
    let shares = shares("names");
    let mut guest = shares.guest();
    let folder = guest.walk("folder").unwrap();
    let file = guest.walk("folder/file").unwrap();
    let gid = rustix::process::getegid().as_raw();
    let before = fs::read_dir(shares.path()).unwrap().count();
    for name in NO_NAMES.iter().copied().map(Text) {
        assert_eq!(guest.walk_names(&[name.0]), Err(Errno::INVAL), "{name:?}");
        assert_eq!(guest.walk_names(&[b"folder", name.0]), Err(Errno::NOENT), "it does not arrive: {name:?}");
        let target = Text(b"target");
        for request in [
            Request::Lcreate { fid: folder, name, flags: 1, mode: 0o600, gid },
            Request::Mkdir { fid: folder, name, mode: 0o700, gid },
            Request::Symlink { fid: folder, name, target, gid },
            Request::Mknod { fid: folder, name, mode: 0o100600, major: 0, minor: 0, gid },
            Request::Link { folder, fid: file, name },
            Request::Renameat { from: folder, old: Text(b"file"), to: folder, new: name },
            Request::Renameat { from: folder, old: name, to: folder, new: Text(b"new") },
            Request::Unlinkat { fid: folder, name, flags: 0 },
            Request::Unlinkat { fid: folder, name, flags: REMOVE_FOLDER },
        ] {
            assert_eq!(guest.does(&request), Err(Errno::INVAL), "{request:?}");
        }
        assert_eq!(guest.attach(90, name.0), Err(Errno::NOENT), "{name:?}");
    }
    let long = [b'n'; 256];
    assert_eq!(guest.walk_names(&[&long]), Err(Errno::NAMETOOLONG));
    assert_eq!(fs::read_dir(shares.path()).unwrap().count(), before);
    assert_eq!(fs::read_dir(shares.inside("folder")).unwrap().count(), 1);
}

#[test]
fn no_link_is_followed() {
    let shares = shares("links");
    let secret = shares.path().join("secret");
    symlink(&secret, shares.inside("absolute")).unwrap();
    symlink("../secret", shares.inside("relative")).unwrap();
    symlink("..", shares.inside("up")).unwrap();
    symlink("folder", shares.inside("within")).unwrap();
    symlink("/proc/self/root", shares.inside("magic")).unwrap();
    symlink(shares.path(), shares.path().join("linked share")).unwrap();
    let mut guest = shares.guest();
    for link in ["absolute", "relative", "up", "within", "magic"] {
        for flags in [0, 1, 2, 1 | open::TRUNCATE] {
            assert_eq!(guest.open(link, flags), Err(Errno::LOOP), "{link}");
        }
        let fid = guest.walk("").unwrap();
        assert_eq!(guest.create(fid, link, 1, 0o600), Err(Errno::LOOP), "{link}");
        assert_eq!(guest.create(fid, link, 1 | open::EXCLUSIVE, 0o600), Err(Errno::EXIST), "{link}");
        let below = guest.walk_names(&[link.as_bytes(), b"secret"]);
        assert_eq!(below, Err(Errno::NOENT), "it does not arrive: {link}");
        let at = guest.walk(link).unwrap();
        let gid = rustix::process::getegid().as_raw();
        let make = Request::Mkdir { fid: at, name: Text(b"made"), mode: 0o700, gid };
        assert_eq!(guest.does(&make), Err(Errno::NOTDIR), "{link}");
    }
    assert_eq!(guest.attach(90, b"linked share"), Err(Errno::NOTDIR));
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

/// What the kernel makes between two looks, the guest cannot use: the one that is opened is the one that was walked to.
#[test]
fn what_has_been_walked_to_stays_what_it_is() {
    let shares = shares("exchanged");
    let mut guest = shares.guest();
    let file = guest.walk("folder/file").unwrap();
    let folder = guest.walk("folder").unwrap();
    fs::rename(shares.inside("folder"), shares.inside("moved")).unwrap();
    symlink(shares.path(), shares.inside("folder")).unwrap();
    guest.does(&Request::Lopen { fid: file, flags: 0 }).unwrap();
    assert_eq!(guest.read(file, 0, 10).unwrap(), b"text");
    let gid = rustix::process::getegid().as_raw();
    guest.does(&Request::Mkdir { fid: folder, name: Text(b"made"), mode: 0o700, gid }).unwrap();
    assert!(shares.inside("moved/made").is_dir());
    assert_eq!(guest.walk("folder/secret"), Err(Errno::NOENT));
}

#[test]
fn nothing_that_is_no_file_and_no_folder_is_opened() {
    let shares = shares("nodes");
    let gid = rustix::process::getegid().as_raw();
    let mut guest = shares.guest();
    let make = |mode: u32, name: &'static [u8]| Request::Mknod {
        fid: ROOT,
        name: Text(name),
        mode,
        major: 1,
        minor: 3,
        gid,
    };
    guest.does(&make(0o010666, b"pipe")).unwrap();
    guest.does(&make(0o140666, b"socket")).unwrap();
    let _listener = UnixListener::bind(shares.inside("listened to")).unwrap();
    for name in ["pipe", "socket", "listened to"] {
        for flags in [0, 1, 2] {
            assert_eq!(guest.open(name, flags), Err(Errno::NXIO), "{name}");
        }
    }
    // A pipe that is in the way is not waited for.
    let fid = guest.walk("").unwrap();
    assert_eq!(guest.create(fid, "pipe", 1, 0o600), Err(Errno::NXIO));
    for mode in [0o020666, 0o060666, 0o120777, 0o040777, 0] {
        assert_eq!(guest.does(&make(mode, b"device")), Err(Errno::PERM), "{mode:o}");
    }
    assert!(!shares.inside("device").exists());
}

#[test]
fn the_frame_of_the_shares_is_not_to_be_changed() {
    let shares = shares("frame");
    let gid = rustix::process::getegid().as_raw();
    let mut guest = Guest::at(Rc::new(Place::of_shares(shares.path()).unwrap()));
    guest.attach(ROOT, b"share").unwrap();
    let file = guest.walk("folder/file").unwrap();
    for request in [
        Request::Mkdir { fid: ROOT, name: Text(b"new"), mode: 0o700, gid },
        Request::Symlink { fid: ROOT, name: Text(b"new"), target: Text(b"x"), gid },
        Request::Mknod { fid: ROOT, name: Text(b"new"), mode: 0o100600, major: 0, minor: 0, gid },
        Request::Link { folder: ROOT, fid: file, name: Text(b"new") },
        Request::Renameat { from: ROOT, old: Text(b"folder"), to: ROOT, new: Text(b"new") },
        Request::Unlinkat { fid: ROOT, name: Text(b"folder"), flags: REMOVE_FOLDER },
        Request::Setattr {
            fid: ROOT,
            valid: 1,
            mode: 0,
            uid: 0,
            gid,
            size: 0,
            accessed: [0; 2],
            modified: [0; 2],
        },
        Request::Lcreate { fid: ROOT, name: Text(b"new"), flags: 1, mode: 0o600, gid },
    ] {
        assert_eq!(guest.does(&request), Err(Errno::ROFS), "{request:?}");
    }
    let opened = guest.open("", 0).unwrap();
    let names: Vec<String> = guest.names(opened, 4096).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".", "..", "folder"]);
}

#[test]
fn too_many_names_and_other_nonsense_are_refused_and_change_nothing() {
    let shares = shares("nonsense");
    let mut guest = shares.guest();
    let names = vec![b"folder".as_slice(); 17];
    assert_eq!(guest.does(&Request::Walk { fid: ROOT, new_fid: 60, names: Names(names) }), Err(Errno::INVAL));
    assert_eq!(guest.about(60), Err(Errno::BADF));
    for kind in 0..=255u8 {
        for body in [&[][..], &[0; 3], &[0xff; 4], &[0xff; 40]] {
            let mut message = vec![(7 + body.len()) as u8, 0, 0, 0, kind, 1, 0];
            message.extend_from_slice(body);
            assert!(guest.say(&message).is_err(), "{kind}: {body:?}");
        }
    }
    assert_eq!(guest.attach(ROOT, b"share"), Err(Errno::BADF), "it is still there");
    assert_eq!(guest.said("folder/file").unwrap(), "text");
}

#[test]
fn names_need_not_be_text() {
    let shares = shares("bytes");
    let name: &[u8] = b"\xff\xfe\n,=\\";
    let mut guest = shares.guest();
    let fid = guest.walk("").unwrap();
    let gid = rustix::process::getegid().as_raw();
    guest.does(&Request::Lcreate { fid, name: Text(name), flags: 1, mode: 0o600, gid }).unwrap();
    assert!(shares.inside("").join(std::ffi::OsStr::from_bytes(name)).exists());
    let found = guest.walk_names(&[name]).unwrap();
    guest.does(&Request::Lopen { fid: found, flags: 0 }).unwrap();
    let link = Request::Symlink { fid: ROOT, name: Text(b"link"), target: Text(name), gid };
    guest.does(&link).unwrap();
    let link = guest.walk("link").unwrap();
    assert_eq!(guest.ask(&Request::Readlink { fid: link }), Ok(Reply::Readlink { target: Text(name) }));
    let nothing = Request::Symlink { fid: ROOT, name: Text(b"empty"), target: Text(b"a\0b"), gid };
    assert_eq!(guest.does(&nothing), Err(Errno::INVAL));
}
