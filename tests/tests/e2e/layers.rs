//! Layers: imported, exported, united under a container, removed; and what hostile archives get.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::Write,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use hcs::{
    Cause,
    schema::{ExportLayerOptions, Layer, LayerData, Storage},
    storage::{self, Compression},
};
use hcs_tests::{Service, folder::Folder, host};
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::{output, refused};

/// All that can be known of a tree, by path.
fn picture(root: &Path) -> BTreeMap<OsString, String> {
    let mut seen = BTreeMap::new();
    let mut links: BTreeMap<u64, OsString> = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
        let mut list = vec![0; 1 << 16];
        let length = rustix::fs::llistxattr(&path, &mut list[..]).unwrap();
        let mut attributes = Vec::new();
        for attribute in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(&path, attribute, &mut value[..]).unwrap();
            attributes.push((String::from_utf8_lossy(attribute).into_owned(), value[..length].to_vec()));
        }
        attributes.sort();
        let kind = about.file_type();
        let content = if kind.is_file() {
            format!("{} bytes in {} blocks", about.size(), about.blocks())
        } else if kind.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            format!("{:?}", about.rdev())
        };
        let bytes = if kind.is_file() {
            fs::read(&path)
                .unwrap()
                .iter()
                .fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
        } else {
            0
        };
        let first = if about.nlink() > 1 && !kind.is_dir() {
            format!("{:?}", links.entry(about.ino()).or_insert_with(|| name.clone()))
        } else {
            String::new()
        };
        let what = format!(
            "{:o} {}:{} {}.{:09} {content} {bytes} {attributes:?} {first}",
            about.mode(),
            about.uid(),
            about.gid(),
            about.mtime(),
            about.mtime_nsec()
        );
        seen.insert(name, what);
        if kind.is_dir() {
            let mut inner: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            inner.sort();
            left.extend(inner.into_iter().rev());
        }
    }
    seen
}

fn dress(path: &Path, mode: u32, owner: (u32, u32), time: (i64, i64)) {
    let (uid, gid) = owner;
    rustix::fs::chownat(
        CWD,
        path,
        Some(rustix::fs::Uid::from_raw(uid)),
        Some(rustix::fs::Gid::from_raw(gid)),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    if !path.is_symlink() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let time = Timespec { tv_sec: time.0, tv_nsec: time.1 };
    rustix::fs::utimensat(
        CWD,
        path,
        &Timestamps { last_access: time, last_modification: time },
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

/// A tree with everything that is hard to keep.
fn hostile_tree(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("usr/bin")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("usr/bin/tool"), vec![b'x'; 70_000]).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fs::hard_link(at("usr/bin/tool"), at("usr/bin/again")).unwrap();
    symlink("usr/bin", at("bin")).unwrap();
    symlink("/nowhere/../../..", at("out")).unwrap();
    symlink("y".repeat(300), at("long-link")).unwrap();
    let odd = root.join(OsString::from_vec(b"not-utf8-\xff\xfe".to_vec()));
    fs::write(&odd, "odd").unwrap();
    fs::write(at("with\nnewline and =sign"), "").unwrap();
    let deep = at(&vec!["d".repeat(60); 5].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("n".repeat(250)), "deep").unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"in the middle", 5 << 20).unwrap();
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let device = rustix::fs::makedev(7, 300);
    rustix::fs::mknodat(CWD, at("disk"), FileType::BlockDevice, Mode::from_raw_mode(0o660), device).unwrap();
    dress(&at("usr/bin/tool"), 0o4755, (0, 0), (1_700_000_000, 123_456_789));
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap()
    };
    set(&at("usr/bin/tool"), "security.capability", &capability);
    set(&at("empty"), "trusted.note", b"with a \0 in it\n");
    dress(&odd, 0o000, (3_000_000, 4_000_000_000), (-5, 250_000_000));
    dress(&at("out"), 0, (12, 13), (1_600_000_000, 1));
    dress(&at("disk"), 0o660, (0, 6), (9_999_999_999, 999_999_999));
    dress(&at("empty"), 0o1777, (5, 6), (1_500_000_000, 5));
    dress(&at("usr"), 0o500, (7, 8), (1_400_000_000, 6));
    dress(root, 0o751, (1, 2), (1_300_000_000, 7));
}

#[test]
fn a_hostile_tree_comes_back_from_every_form_of_transport() {
    let folder = Folder::new();
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    hostile_tree(&source);
    let expected = picture(&source);
    let compare = |layer: &Path, how: &str| {
        let found = picture(&layer.join("fs"));
        for (path, what) in &expected {
            assert_eq!(found.get(path), Some(what), "{path:?} {how}");
        }
        assert_eq!(found.len(), expected.len(), "{how}");
    };
    storage::import_layer(&folder.join("one"), &source).unwrap();
    compare(&folder.join("one"), "from a tree");
    let transport = folder.join("transport");
    fs::create_dir(&transport).unwrap();
    let digest = storage::export_layer(
        &folder.join("one"),
        &transport,
        &ExportLayerOptions::default(),
        Compression::None,
    )
    .unwrap();
    let tar = transport.join("layer.tar");
    assert_eq!(
        digest,
        format!("sha256:{}", host("sha256sum", &[tar.to_str().unwrap()]).split(' ').next().unwrap())
    );
    storage::import_layer(&folder.join("two"), &transport).unwrap();
    compare(&folder.join("two"), "from our tar");
    host("gzip", &[tar.to_str().unwrap()]);
    storage::import_layer(&folder.join("three"), &transport).unwrap();
    compare(&folder.join("three"), "from gzip");
    // The same layer gives the same bytes.
    let again = folder.join("again");
    fs::create_dir(&again).unwrap();
    let same = storage::export_layer(
        &folder.join("three"),
        &again,
        &ExportLayerOptions::default(),
        Compression::Gzip,
    )
    .unwrap();
    assert_eq!(digest, same);
    let mark = fs::read_to_string(folder.join("three/layer.json")).unwrap();
    assert!(mark.contains(&digest), "{mark}");

    // What others write is read, and what we write is read by others.
    let theirs = folder.join("theirs.tar");
    host(
        "tar",
        &[
            "--xattrs",
            "--xattrs-include=*",
            "--format=pax",
            "--numeric-owner",
            "-C",
            source.to_str().unwrap(),
            "-cf",
            theirs.to_str().unwrap(),
            ".",
        ],
    );
    storage::import_layer(&folder.join("four"), &theirs).unwrap();
    compare(&folder.join("four"), "from the tar of GNU");
    let unpacked = folder.join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    host(
        "tar",
        &[
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--same-owner",
            "-p",
            "-S",
            "-C",
            unpacked.to_str().unwrap(),
            "-xf",
            again.join("layer.tar.gz").to_str().unwrap(),
        ],
    );
    assert_eq!(picture(&unpacked).len(), expected.len());
    for name in ["one", "two", "three", "four"] {
        storage::destroy_layer(&folder.join(name)).unwrap();
    }
    assert_eq!(folder.names(), ["again", "source", "theirs.tar", "transport", "unpacked"]);
}

fn data(paths: &[PathBuf]) -> LayerData {
    let layers = paths.iter().map(|path| Layer::default().path(path.display().to_string()));
    LayerData::default().layers(layers.collect::<Vec<_>>())
}

#[test]
fn layers_are_united_under_a_container_and_its_changes_become_a_layer() {
    let service = Service::start();
    let folder = Folder::new();
    storage::import_layer(&folder.join("base"), &service.rootfs()).unwrap();
    let above = folder.join("above");
    fs::create_dir_all(above.join("etc")).unwrap();
    fs::write(above.join("etc/.wh.group"), "").unwrap();
    fs::create_dir(above.join("home")).unwrap();
    fs::write(above.join("home/.wh..wh..opq"), "").unwrap();
    fs::write(above.join("home/new"), "new").unwrap();
    storage::import_layer(&folder.join("app"), &above).unwrap();
    let scratch = folder.join("scratch");
    storage::initialize_writable_layer(&scratch).unwrap();
    let parents = data(&[folder.join("app"), folder.join("base")]);
    storage::attach_layers(&scratch, &parents).unwrap();
    refused(storage::attach_layers(&scratch, &parents), Cause::AlreadyExists);
    refused(storage::destroy_layer(&scratch), Cause::InUse);
    // A parent of what is attached is in use, and so is one of a container that unites them by itself.
    refused(storage::destroy_layer(&folder.join("app")), Cause::InUse);
    let own = Storage::default()
        .path(folder.join("own").display().to_string())
        .layers(parents.layers.clone().unwrap());
    fs::create_dir(folder.join("own")).unwrap();
    let united = service.running_from("own", &service.document_with(|container| container.storage(own)));

    let storage = Storage::default().path(scratch.join("rootfs").display().to_string());
    let system = service.running_from("web", &service.document_with(|container| container.storage(storage)));
    assert_eq!(output(&system, "ls /home; cat /home/new; ls /etc/group 2>/dev/null; true"), "new\nnew");
    output(&system, "echo written > /etc/written; rm /etc/passwd; mkdir /made");
    system.terminate().wait().unwrap();
    storage::detach_layers(&scratch).unwrap();
    refused(storage::detach_layers(&scratch), Cause::NotFound);
    refused(storage::destroy_layer(&folder.join("base")), Cause::InUse);
    united.terminate().wait().unwrap();
    storage::destroy_layer(&folder.join("base")).unwrap();

    let out = folder.join("out");
    fs::create_dir(&out).unwrap();
    refused(
        storage::export_layer(&scratch, &out, &ExportLayerOptions::default(), Compression::None),
        Cause::InvalidData,
    );
    storage::export_layer(
        &scratch,
        &out,
        &ExportLayerOptions::default().is_writable_layer(true),
        Compression::Gzip,
    )
    .unwrap();
    let listed = host("tar", &["-tf", out.join("layer.tar.gz").to_str().unwrap()]);
    assert!(listed.contains("etc/.wh.passwd\n") && listed.contains("etc/written\n"), "{listed}");
    storage::import_layer(&folder.join("changes"), &out).unwrap();
    let whiteout = fs::symlink_metadata(folder.join("changes/fs/etc/passwd")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert_eq!(fs::read_to_string(folder.join("changes/fs/etc/written")).unwrap(), "written\n");
}

/// A tar of entries: kind, name, link.
fn archive(path: &Path, entries: &[(u8, &str, &str)]) {
    let mut bytes = Vec::new();
    for (kind, name, link) in entries {
        let content: &[u8] = if *kind == b'0' { b"content" } else { b"" };
        let mut header = vec![0; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644\x000000000\x000000000\x00");
        put(124, &format!("{:011o}\x0000000000000\x00        ", content.len()));
        put(157, link);
        put(257, "ustar\x0000");
        header[156] = *kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    File::create(path).unwrap().write_all(&bytes).unwrap();
}

#[test]
fn a_hostile_archive_is_an_error_and_touches_nothing() {
    let folder = Folder::new();
    let outside = folder.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    let out = format!("{}/file", outside.display());
    let cases: &[&[(u8, &str, &str)]] = &[
        &[(b'0', "../outside/file", "")],
        &[(b'0', "a/../../outside/file", "")],
        &[(b'0', &out, "")],
        &[(b'1', "link", "../outside/file")],
        &[(b'1', "link", &out)],
        &[(b'1', "link", "nothing-before")],
        &[(b'0', "twice", ""), (b'0', "twice", "")],
        &[(b'0', "file", ""), (b'5', "file", "")],
        &[(b'0', "file", ""), (b'0', "file/inside", "")],
        &[(b'2', "link", "x"), (b'0', "link", "")],
        &[(b'0', ".wh.", "")],
        &[(b'0', "a/.wh...", "")],
        &[(b'Z', "unknown", "")],
        &[(b'0', ".", "")],
    ];
    for (index, entries) in cases.iter().enumerate() {
        let tar = folder.join("bad.tar");
        archive(&tar, entries);
        let target = folder.join("layer");
        let Err(error) = storage::import_layer(&target, &tar) else { panic!("{entries:?} was imported") };
        println!("{index}: {error}");
        assert_eq!(folder.names(), ["bad.tar", "outside"], "{entries:?}");
    }
    // A link that leads out is kept as it is, and what is written through it stays inside.
    let tar = folder.join("bad.tar");
    let (absolute, below) =
        (outside.display().to_string(), outside.strip_prefix("/").unwrap().display().to_string());
    archive(&tar, &[(b'2', "way", &absolute), (b'0', "way/file", "")]);
    refused(storage::import_layer(&folder.join("layer"), &tar), Cause::FileNotFound);
    archive(&tar, &[(b'5', &below, ""), (b'2', "way", &absolute), (b'0', "way/file", "")]);
    storage::import_layer(&folder.join("layer"), &tar).unwrap();
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
    let inside = folder.join("layer/fs").join(outside.strip_prefix("/").unwrap()).join("file");
    assert_eq!(fs::read_to_string(inside).unwrap(), "content");
    storage::destroy_layer(&folder.join("layer")).unwrap();

    // Cut off anywhere, and changed anywhere.
    archive(&tar, &[(b'5', "a", ""), (b'0', "a/b", ""), (b'0', "c", "")]);
    host("gzip", &["-f", tar.to_str().unwrap()]);
    let whole = fs::read(folder.join("bad.tar.gz")).unwrap();
    let bad = folder.join("bad.tar");
    for length in 0..whole.len() {
        fs::write(&bad, &whole[..length]).unwrap();
        assert!(storage::import_layer(&folder.join("layer"), &bad).is_err(), "cut off at {length}");
        let mut changed = whole.clone();
        // The time and the system in the header of gzip mean nothing.
        if !(4..10).contains(&length) && !(10..18).contains(&length) {
            changed[length] ^= 0x55;
            fs::write(&bad, &changed).unwrap();
            let _ =
                storage::import_layer(&folder.join("layer"), &bad).map(|()| panic!("changed at {length}"));
        }
        assert_eq!(folder.names(), ["bad.tar", "bad.tar.gz", "outside"]);
    }
}

#[test]
fn as_many_layers_are_united_as_are_promised_and_no_more() {
    const MOST: usize = 128;
    let folder = Folder::new();
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    let mut parents = Vec::new();
    for number in 0..=MOST {
        fs::write(source.join("same"), number.to_string()).unwrap();
        fs::write(source.join(format!("only-{number}")), "").unwrap();
        let layer = folder.join(&format!("layer-{number}"));
        storage::import_layer(&layer, &source).unwrap();
        fs::remove_file(source.join(format!("only-{number}"))).unwrap();
        parents.push(layer);
    }
    let scratch = folder.join("scratch");
    storage::initialize_writable_layer(&scratch).unwrap();
    refused(storage::attach_layers(&scratch, &data(&parents)), Cause::InvalidData);
    for _ in 0..3 {
        let began = std::time::Instant::now();
        storage::attach_layers(&scratch, &data(&parents[..MOST])).unwrap();
        println!("attached after {:?}", began.elapsed());
        let union = scratch.join("rootfs");
        assert_eq!(fs::read_dir(&union).unwrap().count(), MOST + 1);
        assert_eq!(
            fs::read_to_string(union.join("same")).unwrap(),
            "0",
            "the nearest parent is not the first"
        );
        storage::detach_layers(&scratch).unwrap();
    }
}

/// Begins the command again and again, kills it at a moment of its whole time each, and has it looked at afterwards. What is
/// made is `result`; `check` says of one that is there that it is whole.
fn kill_anywhere(
    begin: impl Fn() -> std::process::Child,
    result: &Path,
    check: impl Fn(),
    remove: impl Fn(),
) {
    const ROUNDS: u32 = 100;
    let began = std::time::Instant::now();
    assert!(begin().wait().unwrap().success());
    let whole = began.elapsed();
    check();
    let (mut before, mut after) = (0, 0);
    for round in 0..ROUNDS {
        if result.exists() {
            remove();
        }
        let mut child = begin();
        // A moment is what this is about; the last ones come after the end.
        std::thread::sleep(whole * round / (ROUNDS * 4 / 5));
        child.kill().unwrap();
        child.wait().unwrap();
        if result.exists() {
            check();
            after += 1;
        } else {
            before += 1;
        }
    }
    println!("killed before {before} times, after {after} times; the whole takes {whole:?}");
    if result.exists() {
        remove();
    }
    // What is beside it is removed by the next.
    assert!(begin().wait().unwrap().success());
    check();
}

fn hcs_layer(arguments: &[&std::ffi::OsStr]) -> std::process::Child {
    let mut command = Command::new(hcs_tests::binaries::find("hcs"));
    command.arg("layer").args(arguments).stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn an_import_or_an_export_that_is_killed_anywhere_leaves_nothing_or_the_whole() {
    let folder = Folder::new();
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    for number in 0..100 {
        fs::write(source.join(format!("file-{number}")), vec![number as u8; 20_000]).unwrap();
    }
    let (layer, out) = (folder.join("layer"), folder.join("out"));
    let expected = std::cell::OnceCell::new();
    kill_anywhere(
        || hcs_layer(&["import".as_ref(), layer.as_ref(), source.as_ref()]),
        &layer,
        || {
            let found = picture(&layer.join("fs"));
            assert_eq!(found.len(), 101);
            assert!(*expected.get_or_init(|| found.clone()) == found && layer.join("layer.json").exists());
        },
        || storage::destroy_layer(&layer).unwrap(),
    );
    assert_eq!(folder.names(), ["layer", "source"]);

    fs::create_dir(&out).unwrap();
    let archive = out.join("layer.tar.gz");
    let export = ["export".as_ref(), layer.as_ref(), out.as_ref(), "--compression".as_ref(), "gzip".as_ref()];
    let whole = std::cell::RefCell::new(Vec::new());
    kill_anywhere(
        || hcs_layer(&export),
        &archive,
        || {
            // The same layer gives the same bytes.
            let bytes = fs::read(&archive).unwrap();
            let mut whole = whole.borrow_mut();
            if whole.is_empty() {
                whole.clone_from(&bytes);
            }
            assert!(*whole == bytes);
        },
        || fs::remove_file(&archive).unwrap(),
    );
    let entries = fs::read_dir(&out).unwrap().count();
    assert_eq!(entries, 1, "something is left beside the archive");
}

#[test]
fn on_a_full_disk_nothing_is_left_of_an_import_and_an_export() {
    let folder = Folder::new();
    let (image, disk) = (folder.join("disk"), folder.join("mnt"));
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    host("mke2fs", &["-q", "-t", "ext4", "-m", "0", image.to_str().unwrap()]);
    fs::create_dir(&disk).unwrap();
    host("mount", &["-o", "loop", image.to_str().unwrap(), disk.to_str().unwrap()]);
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    let mut random = hcs_tests::random::Random::new();
    for number in 0..30u32 {
        // Bytes that no compression makes fewer.
        let noise = (0..500_000u32).map(|_| random.below(256) as u8);
        fs::write(source.join(format!("file-{number}")), noise.collect::<Vec<u8>>()).unwrap();
    }
    let tar = folder.join("layer.tar");
    host("tar", &["-cf", tar.to_str().unwrap(), "-C", source.to_str().unwrap(), "."]);
    let empty = |names: Vec<String>| names == ["lost+found"];
    let names = || {
        let entries = fs::read_dir(&disk).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    for from in [&source, &tar] {
        let error = storage::import_layer(&disk.join("layer"), from).unwrap_err();
        assert!(error.message.contains("No space left"), "{error}");
        assert!(empty(names()), "{:?}", names());
    }
    storage::import_layer(&folder.join("layer"), &tar).unwrap();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let exported =
            storage::export_layer(&folder.join("layer"), &disk, &ExportLayerOptions::default(), compression);
        let error = exported.unwrap_err();
        assert!(error.message.contains("No space left"), "{error}");
        assert!(empty(names()), "{:?}", names());
    }
}

#[test]
fn what_is_no_layer_is_not_destroyed_and_what_is_there_not_overwritten() {
    let folder = Folder::new();
    let precious = folder.join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "kept").unwrap();
    refused(storage::destroy_layer(&precious), Cause::InvalidLayer);
    refused(storage::import_layer(&precious, &precious), Cause::AlreadyExists);
    refused(storage::initialize_writable_layer(&precious), Cause::AlreadyExists);
    let scratch = folder.join("scratch");
    storage::initialize_writable_layer(&scratch).unwrap();
    symlink(&scratch, folder.join("link")).unwrap();
    assert!(storage::destroy_layer(&folder.join("link")).is_err(), "a link was followed");
    symlink(&precious, scratch.join("upper/way-out")).unwrap();
    refused(storage::attach_layers(&scratch, &data(&[])), Cause::InvalidData);
    refused(storage::attach_layers(&scratch, &data(std::slice::from_ref(&precious))), Cause::InvalidLayer);
    storage::destroy_layer(&scratch).unwrap();
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");
}
