//! Disks in files: made, formatted, mounted by the shipped program, and looked at by others.

use std::{
    fs::{self, File},
    ops::Deref,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use hcs_tests::{binaries, host, processes, random::Random, tool::Tool};
use rustix::process::Signal;

/// The formats, by the ending of the name and by what qemu-img calls them.
const FORMATS: [(&str, &str); 4] = [("raw", "raw"), ("fixed-vhd", "vpc"), ("vhd", "vpc"), ("vhdx", "vhdx")];

const SIZE: u64 = 100 << 20;

/// Images and mounts of one test. What is mounted at its end fails it.
struct Disks(Tool);

impl Deref for Disks {
    type Target = Tool;

    fn deref(&self) -> &Tool {
        &self.0
    }
}

impl Disks {
    fn new() -> Disks {
        Disks(Tool::new("disk"))
    }

    fn create(&self, format: &str) -> PathBuf {
        let image = self.join(&format!("disk.{format}"));
        self.done(&["create", text(&image), "100M", "--format", format]);
        image
    }

    /// What is left of mounted disks: folders, mounts, servers, loop devices.
    fn left(&self) -> Vec<String> {
        let root = text(self.path());
        let folders = fs::read_dir(self.join("run/disks")).into_iter().flatten().flatten();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let servers = processes::all().into_iter().map(|pid| processes::read(pid, "cmdline"));
        let devices = fs::read_dir("/sys/block").unwrap().flatten();
        let devices =
            devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
        folders
            .map(|folder| folder.path().display().to_string())
            .chain(mounts.lines().map(str::to_owned))
            .chain(servers.filter(|command| command.starts_with("/usr/bin/qemu-storage-daemon")))
            .chain(devices)
            .filter(|line| line.contains(root))
            .collect()
    }

    /// Unmounts one of which nothing is open any more. A program that another test is starting has a copy of what was, until it is
    /// that program.
    fn unmount(&self, image: &Path) {
        hcs_tests::until("nobody uses the disk", Duration::from_secs(5), || {
            self.command(&["unmount", text(image)]).output().unwrap().status.success()
        });
    }

    /// The last of a loop device goes a moment after it was unmounted.
    fn await_nothing_left(&self) {
        hcs_tests::until("nothing of the disks is left", Duration::from_secs(5), || self.left().is_empty());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The disk of an image as a file of its plain bytes.
fn plain(image: &Path, qemu: &str) -> PathBuf {
    let plain = image.with_extension("plain");
    host("qemu-img", &["convert", "-f", qemu, "-O", "raw", text(image), text(&plain)]);
    plain
}

/// What is on the partition is without fault, as e2fsck says.
fn check_file_system(plain: &Path) {
    let partition = plain.with_extension("partition");
    let argument = |name: &str, path: &Path| format!("{name}={}", path.display());
    host("dd", &[&argument("if", plain), &argument("of", &partition), "bs=1M", "skip=1", "status=none"]);
    host("fsck.ext4", &["-fn", text(&partition)]);
    fs::remove_file(partition).unwrap();
}

#[test]
fn a_disk_of_each_format_keeps_what_is_written_and_others_find_it_without_fault() {
    let disks = Disks::new();
    for (format, qemu) in FORMATS {
        let image = disks.create(format);
        let about = host("qemu-img", &["info", "--output=json", "-f", qemu, text(&image)]);
        assert!(about.contains(&format!("\"virtual-size\": {SIZE},")), "{about}");
        if qemu == "vhdx" {
            host("qemu-img", &["check", text(&image)]);
        }
        assert!(disks.refused(&["mount", text(&image)]).contains("ext4"));
        assert_eq!(disks.left(), Vec::<String>::new());

        disks.done(&["format", text(&image)]);
        assert_eq!(disks.left(), Vec::<String>::new());
        let point = disks.done(&["mount", text(&image)]);
        assert_eq!(disks.done(&["mount", text(&image)]), point, "the same disk has another place");
        assert!(disks.refused(&["format", text(&image)]).contains("is mounted at"));
        // More than fits into any cache between, and random, so that nothing of it is a hole.
        let mut noise = vec![0u8; 30 << 20];
        let mut random = Random::new();
        noise.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
        fs::write(Path::new(&point).join("noise"), &noise).unwrap();
        let user = File::open(Path::new(&point).join("noise")).unwrap();
        assert!(disks.refused(&["unmount", text(&image)]).contains("uses the disk"));
        drop(user);
        disks.unmount(&image);
        disks.done(&["unmount", text(&image)]);
        disks.await_nothing_left();

        let plain = plain(&image, qemu);
        let table = host("sfdisk", &["--dump", text(&plain)]);
        assert!(
            table.contains("label: gpt") && table.contains("0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
            "{table}"
        );
        assert!(host("sfdisk", &["--verify", text(&plain)]).contains("No errors detected"));
        check_file_system(&plain);
        if qemu == "vhdx" {
            host("qemu-img", &["check", text(&image)]);
        }
        let point = disks.done(&["mount", "--read-only", text(&image)]);
        assert!(
            fs::read(Path::new(&point).join("noise")).unwrap() == noise,
            "{format}: other bytes came back"
        );
        assert!(fs::write(Path::new(&point).join("more"), "").is_err());
        disks.unmount(&image);
        disks.await_nothing_left();
    }
}

#[test]
fn a_disk_that_others_have_made_is_mounted() {
    let disks = Disks::new();
    let (image, tree) = (disks.join("whole.raw"), disks.join("tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "from mke2fs").unwrap();
    host("mke2fs", &["-q", "-t", "ext4", "-d", text(&tree), text(&image), "32M"]);
    for (name, qemu) in [("vhdx", "vhdx"), ("vhd", "vpc")] {
        let other = disks.join(&format!("other.{name}"));
        host("qemu-img", &["convert", "-O", qemu, text(&image), text(&other)]);
        let point = disks.done(&["mount", text(&other)]);
        assert_eq!(fs::read_to_string(Path::new(&point).join("file")).unwrap(), "from mke2fs");
        disks.unmount(&other);
    }
    disks.await_nothing_left();
}

#[test]
fn what_is_no_usable_disk_is_refused_and_leaves_nothing() {
    let disks = Disks::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = disks.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let other = disks.join("other.qcow2");
    host("qemu-img", &["create", "-q", "-f", "qcow2", text(&other), "10M"]);
    let fixed = disks.create("fixed-vhd");
    let cut = disks.join("cut.vhd");
    fs::write(&cut, &fs::read(&fixed).unwrap()[SIZE as usize - 4096..]).unwrap();
    let damaged = disks.join("damaged.raw");
    fs::copy(disks.create("raw"), &damaged).unwrap();
    disks.done(&["format", text(&damaged)]);
    File::options().write(true).open(&damaged).unwrap().write_all_at(b"x", 1024 + 20).unwrap();
    let half = file("half.vhdx", b"vhdxfile and nothing behind it");
    for (verb, image, complaint) in [
        ("mount", &other, "qcow2"),
        ("format", &other, "qcow2"),
        ("mount", &cut, "cut off"),
        ("mount", &damaged, "partition table"),
        ("mount", &half, "qemu-storage-daemon"),
        ("format", &half, "qemu-storage-daemon"),
        ("format", &file("empty.raw", b""), "too few"),
        ("format", &disks.path().to_owned(), "Is a directory"),
        ("mount", &disks.join("gone"), "No such file"),
    ] {
        let said = disks.refused(&[verb, text(image)]);
        assert!(said.contains(complaint), "{verb} {}: {said}", image.display());
    }
    for (size, name) in
        [("3T", "large.vhd"), ("1000", "small.raw"), ("100T", "large.vhdx"), ("1M", "disk.fixed-vhd")]
    {
        disks.refused(&["create", text(&disks.join(name)), size]);
    }
    assert!(!disks.join("large.vhd").exists());
    disks.await_nothing_left();
}

#[test]
fn a_mount_that_is_killed_anywhere_is_finished_or_cleared_by_the_next() {
    let disks = Disks::new();
    let mut random = Random::new();
    for format in ["raw", "vhdx"] {
        let image = disks.create(format);
        disks.done(&["format", text(&image)]);
        let began = std::time::Instant::now();
        let point = disks.done(&["mount", text(&image)]);
        let duration = began.elapsed().as_micros() as u64;
        disks.unmount(&image);
        for _ in 0..25 {
            let mut child = disks.command(&["mount", text(&image)]).stdout(Stdio::null()).spawn().unwrap();
            // A random moment is what this is about.
            std::thread::sleep(Duration::from_micros(random.below(duration)));
            processes::signal(child.id(), Signal::KILL);
            child.wait().unwrap();
            assert_eq!(disks.done(&["mount", text(&image)]), point);
            fs::write(Path::new(&point).join("file"), "written").unwrap();
            disks.unmount(&image);
        }
        disks.await_nothing_left();
    }
}

#[test]
fn a_disk_whose_server_was_killed_is_released_and_mounted_again() {
    let disks = Disks::new();
    let image = disks.create("vhdx");
    disks.done(&["format", text(&image)]);
    let point = disks.done(&["mount", text(&image)]);
    let served = Path::new(&point).with_file_name("disk");
    let serves = |pid: &u32| processes::read(*pid, "cmdline").contains(text(&served));
    let server = processes::all().into_iter().find(serves).unwrap();
    processes::signal(server, Signal::KILL);
    // For a second the kernel still knows what it was told of the file.
    let long = Duration::from_secs(5);
    hcs_tests::until("nothing is learned of the file", long, || fs::symlink_metadata(&served).is_err());
    disks.unmount(&image);
    disks.await_nothing_left();
    assert_eq!(disks.done(&["mount", text(&image)]), point);
    disks.unmount(&image);
    disks.await_nothing_left();
}

#[test]
fn a_disk_with_a_system_becomes_a_base_layer_of_virtual_machines() {
    let disks = Disks::new();
    let (image, layer) = (disks.create("vhdx"), disks.join("layer"));
    disks.done(&["format", text(&image)]);
    let base = || {
        let mut command = Command::new(binaries::find("hcs"));
        command.args(["layer", "base", text(&layer), "--disk", text(&image)]);
        command.env("HCS_ROOT", disks.path()).output().unwrap()
    };
    let said = base();
    assert!(String::from_utf8_lossy(&said.stderr).contains("no init"), "{said:?}");
    assert!(!layer.join("layer.json").exists());
    disks.await_nothing_left();

    let point = PathBuf::from(disks.done(&["mount", text(&image)]));
    for folder in ["boot", "sbin", "etc"] {
        fs::create_dir(point.join(folder)).unwrap();
    }
    for (file, content) in [
        ("sbin/init", "init"),
        ("boot/vmlinuz-6.9.1", "older"),
        ("boot/vmlinuz-6.10.0", "newer"),
        ("boot/initrd.img-6.10.0", "its initrd"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef"),
    ] {
        fs::write(point.join(file), content).unwrap();
    }
    // It is mounted by somebody, and stays so.
    let said = base();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(fs::read_to_string(layer.join("kernel")).unwrap(), "newer");
    assert_eq!(fs::read_to_string(layer.join("initrd")).unwrap(), "its initrd");
    assert_eq!(fs::read_to_string(point.join("etc/machine-id")).unwrap(), "");
    assert!(point.join("proc").is_dir());
    let again = base();
    assert!(String::from_utf8_lossy(&again.stderr).contains("a layer already"), "{again:?}");
    disks.unmount(&image);
    disks.await_nothing_left();
}
