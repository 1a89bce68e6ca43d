//! A root file system of one program: busybox, under all its names.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use crate::{Outcome, command::Line, host};

const FOLDERS: &[&str] = &["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/// Makes it in a new folder.
pub fn make(root: &Path) -> Outcome {
    let busybox = host::static_busybox().ok_or("there is no static busybox")?;
    let names = Line::new([busybox.display().to_string().as_str(), "--list"]).output(Path::new("/"))?;
    fill(root, &busybox, &names).map_err(|error| format!("{}: {error}", root.display()))
}

fn fill(root: &Path, busybox: &Path, names: &str) -> io::Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    for name in names.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    Ok(())
}
