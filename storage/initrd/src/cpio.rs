//! Archives of the kind `newc`, which kernels unpack at their start. Nothing of the time or place of the build is in them.

use std::collections::BTreeSet;

/// An archive that grows.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;

impl Archive {
    /// Adds a folder, and those that it is in.
    pub fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let folder = &path[..end];
            if !folder.is_empty() && self.folders.insert(folder.to_owned()) {
                self.entry(folder, FOLDER, b"");
            }
        }
    }

    /// Adds a file with these rights, and the folders that it is in.
    pub fn file(&mut self, path: &str, rights: u32, content: &[u8]) {
        self.entry_in_folder(path, FILE | rights, content);
    }

    /// Adds a symbolic link, and the folders that it is in.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry_in_folder(path, LINK, target.as_bytes());
    }

    fn entry_in_folder(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_matches('/');
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.entry(path, mode, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // Inode, mode, user, group, links, time, size, device and that of a node twice, length of the name, checksum.
        let fields =
            [self.entries, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"");
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_there_before_what_is_in_them_and_once() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/one", 0o755, b"1");
        archive.link("usr/bin/two", "one");
        archive.folder("usr/lib");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(&format!("{name}\0")).unwrap();
        assert!(at("usr") < at("usr/bin") && at("usr/bin") < at("usr/bin/one"));
        assert!(at("usr/bin/one") < at("usr/bin/two") && at("usr/bin/two") < at("usr/lib"));
        assert_eq!(text.matches("070701").count(), 6);
        assert_eq!(bytes.len() % 4, 0);
    }
}
