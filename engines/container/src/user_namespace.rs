//! A container whose root is nobody on the host.
//!
//! The specification says which users and groups of the host those of the container are. Its files are those of its
//! image, shifted: who owns a file in the image by number owns it in the container. What a document maps into the
//! container is not shifted, because it belongs to the host.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use hcs_schema::{OciIdMapping, OciLinux, OciNamespaceType};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
    thread::{Gid, Uid},
};
use serde::{Deserialize, Serialize};

use crate::{
    process,
    report::Step,
    sys::{self, Clone},
};

/// Who is who.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    users: Vec<Range>,
    groups: Vec<Range>,
}

/// A range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

/// The most ranges that the kernel takes.
const MOST: usize = 340;

/// Plans it, if the specification asks for one.
pub fn plan(linux: &OciLinux, at: &str) -> Result<Option<UserNamespace>, Error> {
    let is_listed = linux.namespaces.iter().flatten().any(|one| one.type_ == Some(OciNamespaceType::User));
    let users = ranges(linux.uid_mappings.as_deref().unwrap_or_default(), &format!("{at}.uidMappings"))?;
    let groups = ranges(linux.gid_mappings.as_deref().unwrap_or_default(), &format!("{at}.gidMappings"))?;
    for (name, mapped) in [("uidMappings", !users.is_empty()), ("gidMappings", !groups.is_empty())] {
        if mapped && !is_listed {
            return Err(Error::new(
                Cause::InvalidData,
                "found a mapping, but no user namespace that it is for",
            )
            .at(format!("{at}.{name}"))
            .hint("List a namespace of the type \"user\"."));
        }
        if is_listed && !mapped {
            return Err(Error::new(Cause::InvalidData, "found a user namespace, but nobody in it")
                .at(format!("{at}.{name}"))
                .hint("Say who is who."));
        }
    }
    if !is_listed {
        return Ok(None);
    }
    let namespace = UserNamespace { users, groups };
    if namespace.user(0).is_none() || namespace.group(0).is_none() {
        return Err(Error::new(
            Cause::InvalidData,
            "found no mapping of the container's 0, which its root is",
        )
        .at(format!("{at}.uidMappings")));
    }
    Ok(Some(namespace))
}

fn ranges(mappings: &[OciIdMapping], at: &str) -> Result<Vec<Range>, Error> {
    let wrong = |detail: String, index: usize| {
        Err(Error::new(Cause::InvalidData, detail).at(format!("{at}[{index}]")))
    };
    if mappings.len() > MOST {
        return wrong(format!("found {} ranges, expected at most {MOST}", mappings.len()), MOST);
    }
    let mut ranges: Vec<Range> = Vec::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let range = Range {
            inside: mapping.container_id.unwrap_or(0),
            outside: mapping.host_id.unwrap_or(0),
            count: mapping.size.unwrap_or(0),
        };
        let fits = |first: u32| first.checked_add(range.count).is_some();
        if range.count == 0 || !fits(range.inside) || !fits(range.outside) {
            return wrong(format!("found {} numbers, expected some that exist", range.count), index);
        }
        let meet =
            |one: u32, of_one: u32, other: u32, of_other: u32| one < other + of_other && other < one + of_one;
        if let Some(other) = ranges.iter().position(|other| {
            meet(range.inside, range.count, other.inside, other.count)
                || meet(range.outside, range.count, other.outside, other.count)
        }) {
            return wrong(format!("found numbers that are in range {other}, too"), index);
        }
        ranges.push(range);
    }
    Ok(ranges)
}

fn outside(ranges: &[Range], inside: u32) -> Option<u32> {
    let found = |range: &&Range| inside.checked_sub(range.inside).is_some_and(|offset| offset < range.count);
    ranges.iter().find(found).map(|range| range.outside + (inside - range.inside))
}

fn lines(ranges: &[Range]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count)).collect()
}

impl UserNamespace {
    /// Who a user of the container is on the host.
    pub fn user(&self, inside: u32) -> Option<u32> {
        outside(&self.users, inside)
    }

    /// Who a group of the container is on the host.
    pub fn group(&self, inside: u32) -> Option<u32> {
        outside(&self.groups, inside)
    }

    /// Tells the kernel, for the namespace of a process that has just been made in it.
    pub fn settle(&self, process: u32) -> Result<(), Error> {
        for (file, ranges) in [("uid_map", &self.users), ("gid_map", &self.groups)] {
            let path = format!("/proc/{process}/{file}");
            fs::write(&path, lines(ranges))
                .map_err(|error| Error::from_io(&error, format!("writing {path}: {:?}", lines(ranges))))?;
        }
        Ok(())
    }

    /// Makes a namespace with this mapping, for mounts. Nobody lives in it.
    pub fn make(&self) -> Result<OwnedFd, Error> {
        let failed =
            |errno: Errno| Error::from_errno(errno.raw_os_error(), "making a user namespace for mounts");
        let (wait, go) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        match sys::clone_process(libc::CLONE_NEWUSER as u64, None).map_err(failed)? {
            Clone::Child => {
                sys::close_all_but(&mut [std::os::fd::AsRawFd::as_raw_fd(&wait)]);
                let _ = rustix::io::read(&wait, &mut [0u8; 1]);
                sys::exit(0)
            }
            Clone::Parent { pidfd } => {
                let make = || {
                    let process = sys::process_behind(pidfd.as_fd()).map_err(failed)?;
                    let process = process.ok_or_else(|| failed(Errno::SRCH))?;
                    self.settle(process)?;
                    let path = format!("/proc/{process}/ns/user");
                    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)
                };
                let made = make();
                drop(go);
                let _ = process::wait(pidfd.as_fd());
                made
            }
        }
    }
}

/// Becomes the container's root. Runs in the first process, when its parent has said who is who.
pub fn become_root() -> Result<(), (Step, Errno)> {
    let root = || {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
        rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
    };
    root().map_err(|errno| (Step::User, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(linux: &str) -> Result<Option<UserNamespace>, Error> {
        let text = format!(r#"{{"Container":{{"OciSpecification":{{"linux":{linux}}}}}}}"#);
        let document = hcs_schema::read::<hcs_schema::ComputeSystem>(&text).unwrap().value;
        plan(&document.container.unwrap().oci_specification.unwrap().linux.unwrap(), "$")
    }

    fn range(inside: u32, outside: u32, count: u32) -> String {
        format!(r#"{{"containerID":{inside},"hostID":{outside},"size":{count}}}"#)
    }

    #[test]
    fn who_is_who_is_found_in_every_range() {
        let both = format!("[{},{}]", range(0, 100_000, 1000), range(2000, 5, 1));
        let text =
            format!(r#"{{"namespaces":[{{"type":"user"}}],"uidMappings":{both},"gidMappings":{both}}}"#);
        let namespace = planned(&text).unwrap().unwrap();
        assert_eq!(namespace.user(999), Some(100_999));
        assert_eq!(namespace.user(1000), None);
        assert_eq!(namespace.group(2000), Some(5));
        assert_eq!(lines(&namespace.users), "0 100000 1000\n2000 5 1\n");
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused_before() {
        let with = |users: &str, groups: &str| {
            format!(
                r#"{{"namespaces":[{{"type":"user"}}],"uidMappings":[{users}],"gidMappings":[{groups}]}}"#
            )
        };
        let good = range(0, 100_000, 65_536);
        for (text, path) in [
            (format!(r#"{{"uidMappings":[{good}]}}"#), "$.uidMappings"),
            (with("", &good), "$.uidMappings"),
            (with(&good, ""), "$.gidMappings"),
            (with(&range(1, 100_000, 9), &good), "$.uidMappings"),
            (with(&good, &range(0, 4_294_967_295, 2)), "$.gidMappings[0]"),
            (with(&format!("{good},{}", range(65_535, 1, 1)), &good), "$.uidMappings[1]"),
            (with(&format!("{good},{}", range(70_000, 100_001, 1)), &good), "$.uidMappings[1]"),
            (with(&range(0, 1, 0), &good), "$.uidMappings[0]"),
        ] {
            assert_eq!(planned(&text).unwrap_err().path.as_deref(), Some(path), "{text}");
        }
    }
}
