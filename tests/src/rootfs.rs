//! A small root file system for containers, made of busybox.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

/// Accounts: root, and web, who is also in the group audio.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/home/web:/bin/sh\n";
const GROUP: &str = "root:x:0:\nweb:x:1001:\naudio:x:29:web\n";

const BUSYBOX: &str = "/bin/busybox";

/// Copies a program that is run at once. Another process writes it: a descriptor of ours that is open for writing
/// would be inherited by whatever another test starts at this moment, and the program could not be run meanwhile.
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().expect("running cp");
    assert!(status.success(), "copying {}", from.display());
}

/// Makes it at `folder`.
pub fn make(folder: &Path) {
    for name in ["bin", "dev", "etc", "home/web", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(folder.join(name)).expect("a folder of the root file system");
    }
    assert!(Path::new(BUSYBOX).exists(), "{BUSYBOX} is needed (package busybox-static)");
    copy_program(Path::new(BUSYBOX), &folder.join("bin/busybox"));
    let list = Command::new(BUSYBOX).arg("--list").output().expect("running busybox");
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", folder.join("bin").join(name)).expect("a link to busybox");
    }
    fs::write(folder.join("etc/passwd"), PASSWD).expect("writing passwd");
    fs::write(folder.join("etc/group"), GROUP).expect("writing group");
}
