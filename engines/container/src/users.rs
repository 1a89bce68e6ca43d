//! Users and groups of a container, looked up in its own files.
//!
//! The files are text of an image and not trusted: they are opened below the container's root, whatever links
//! they are, and read up to a limit.

use std::{
    io::Read,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

const LARGEST_FILE: u64 = 4 << 20;

/// Finds who `user` is: `name`, `uid`, `name:group` or `uid:gid`; empty is root.
pub fn find(root: impl AsFd, user: &str) -> Result<Identity, Error> {
    let passwd = read_below(&root, "etc/passwd");
    let group = read_below(&root, "etc/group");
    resolve(user, &passwd, &group)
}

fn read_below(root: impl AsFd, path: &str) -> String {
    let open = || -> rustix::io::Result<OwnedFd> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path_only = OFlags::PATH | OFlags::CLOEXEC;
        let found = rustix::fs::openat2(root.as_fd(), path, path_only, Mode::empty(), inside)?;
        // Opening a device or a pipe has effects; only then is it known that this is neither.
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(rustix::io::Errno::INVAL);
        }
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        rustix::fs::open(again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    };
    // A container without these files has numeric users only; that is what an empty text means.
    let Ok(fd) = open() else { return String::new() };
    let mut bytes = Vec::new();
    let _ = std::fs::File::from(fd).take(LARGEST_FILE).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn resolve(user: &str, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == user || number.is_some() && fields[2].parse().ok() == number)
    });
    let (name, uid, gid, home) = match (&entry, number) {
        (Some(fields), _) => match (fields[2].parse(), fields[3].parse()) {
            (Ok(uid), Ok(gid)) => (fields[0], uid, gid, fields[5].to_owned()),
            _ => return Err(unknown("user", user)),
        },
        (None, Some(uid)) => ("", uid, 0, "/".to_owned()),
        (None, None) => return Err(unknown("user", user)),
    };
    let gid = match wanted_group {
        Some(wanted) => find_group(wanted, group)?,
        None => gid,
    };
    let groups = if wanted_group.is_none() && !name.is_empty() { groups_of(name, group) } else { Vec::new() };
    Ok(Identity { uid, gid, groups, home })
}

fn find_group(wanted: &str, group: &str) -> Result<u32, Error> {
    group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && fields[0] == wanted)
        .and_then(|fields| fields[2].parse().ok())
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| unknown("group", wanted))
}

fn groups_of(name: &str, group: &str) -> Vec<u32> {
    group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 4 && fields[3].split(',').any(|member| member == name))
        .filter_map(|fields| fields[2].parse().ok())
        .collect()
}

fn unknown(what: &str, name: &str) -> Error {
    Error::new(Cause::NotFound, format!("the container has no {what} {name:?}"))
        .at("$.User")
        .hint("Name one of the container's /etc/passwd and /etc/group, or use numbers.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/false\nbroken:x\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\naudio:x:29:web,other\nstaff:x:50:web\n";

    #[test]
    fn users_are_found_by_name_number_and_group() {
        let find = |user| resolve(user, PASSWD, GROUP).map(|who| (who.uid, who.gid, who.groups, who.home));
        assert_eq!(find(""), Ok((0, 0, vec![], "/root".to_owned())));
        assert_eq!(find("web"), Ok((33, 34, vec![29, 50], "/srv/web".to_owned())));
        assert_eq!(find("33"), Ok((33, 34, vec![29, 50], "/srv/web".to_owned())));
        assert_eq!(find("web:audio"), Ok((33, 29, vec![], "/srv/web".to_owned())));
        assert_eq!(find("1000:1000"), Ok((1000, 1000, vec![], "/".to_owned())));
        assert_eq!(find("nobody").unwrap_err().cause, Cause::NotFound);
        assert_eq!(find("web:nogroup").unwrap_err().cause, Cause::NotFound);
    }
}
