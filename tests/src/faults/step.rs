//! A step of an operation: who makes which system call, and about what. The same in every run, so that what was recorded
//! in one is found again in another.

use std::{
    fmt, fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    calls::{About, Call},
    listener::Waiting,
};
use crate::processes;

/// What a worker is called.
const WORKER: &str = "hcs-worker";

/// Programs of the host that run for a machine, in namespaces of their own.
const OF_MACHINES: &[&str] =
    &["qemu-system-x86_64", "virtiofsd", "swtpm", "passt", "hcs-sockets", "hcs-folders"];

/// A step. Two of one run that look alike are told apart by their number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Who: `hcsd`, `worker`, `spare`, `init`, `child`, or the name of a program, such as QEMU's.
    pub role: String,
    /// The call.
    pub call: &'static str,
    /// What it is about, without what differs from run to run.
    pub about: String,
    /// The how manieth of its like.
    pub occurrence: usize,
}

impl Step {
    /// Whether a program of the host makes it for a machine.
    pub fn is_of_machine(&self) -> bool {
        OF_MACHINES.contains(&self.role.as_str())
    }

    /// Whether it is what a worker says to the agent in its machine, by the port of that.
    pub fn speaks_to_agent(&self) -> bool {
        self.role == "worker" && self.call == "write" && !self.about.starts_with('/')
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.role, self.call, self.about)?;
        if self.occurrence > 1 { write!(f, " ({})", self.occurrence) } else { Ok(()) }
    }
}

/// A step that is about to be made.
#[derive(Debug)]
pub struct Made {
    /// Which; the occurrence is not counted yet.
    pub step: Step,
    /// Whether it changes what others can see.
    pub has_effect: bool,
    /// How it can fail.
    pub errors: &'static [i32],
    /// Whether it sends something through a socket.
    pub sends: bool,
}

impl Made {
    /// Understands a call that waits; none if it is no step of the product, or of no interest.
    pub fn of(waiting: &Waiting, root: &Path) -> Option<Made> {
        let call = Call::of(waiting.number).filter(|call| !call.is_idle(&waiting.arguments))?;
        let thread = Thread { id: waiting.thread, arguments: waiting.arguments };
        let file = match call.about {
            About::File(at) => Some(thread.file(at)),
            _ => None,
        };
        let writes = matches!(call.name, "write" | "pwrite64");
        // A worker speaks to the agent in its machine by what is written to a port.
        let says = call.name == "write" && file.as_deref().is_some_and(|file| file.starts_with("socket:"));
        if writes && !says && !file.as_deref().is_some_and(is_in_file_system) {
            return None;
        }
        let role = thread.role()?;
        if says && role != "worker" {
            return None;
        }
        let about = match call.about {
            About::Itself => String::new(),
            _ if says => thread.said(waiting.arguments[1], waiting.arguments[2]),
            About::File(_) => file.clone().unwrap_or_default(),
            About::Path(at) => thread.text(at),
            About::PathBelow(folder, at) => thread.path(folder, at),
            About::Message => thread.message(),
        };
        let is_control = call.name == "write" && about.starts_with("/sys/fs/cgroup");
        let about = without_what_differs(&about, root);
        Some(Made {
            step: Step { role, call: call.name, about, occurrence: 0 },
            has_effect: call.has_effect(&waiting.arguments),
            errors: if says { &[] } else { call.errors(&waiting.arguments, is_control) },
            sends: says || call.name == "sendmsg",
        })
    }
}

/// Files that have a path. Others are known by what they are: `socket:[…]`, `anon_inode:…`.
fn is_in_file_system(file: &str) -> bool {
    file.starts_with('/') && !file.starts_with("/dev/") && !file.starts_with("/memfd:")
}

/// Who has made a call, and with what.
struct Thread {
    id: u32,
    arguments: [u64; 6],
}

impl Thread {
    /// What it is within the product; none if it is a program within a container.
    fn role(&self) -> Option<String> {
        let status = processes::read(self.id, "status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let program = program(self.id)?;
        let inner: Vec<&str> = field("NSpid:")?.split_whitespace().skip(1).collect();
        if program != WORKER {
            return (inner.is_empty() || OF_MACHINES.contains(&program.as_str())).then_some(program);
        }
        let parent: u32 = field("PPid:")?.parse().ok()?;
        let role = match inner.last() {
            Some(&"1") => "init",
            Some(_) => "child",
            None if self::program(parent).as_deref() == Some(WORKER) => "child",
            None if is_spare(self.id) => "spare",
            None => "worker",
        };
        Some(role.to_owned())
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/{name}", self.id)).ok()
    }

    /// The file that an argument is a descriptor of.
    fn file(&self, at: usize) -> String {
        let file = self.link(&format!("fd/{}", self.arguments[at] as i32));
        file.map(|file| file.display().to_string()).unwrap_or_default()
    }

    /// The text that an argument points to.
    fn text(&self, at: usize) -> String {
        let bytes = self.memory(self.arguments[at], 512);
        String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    }

    /// A path below a folder.
    fn path(&self, folder: usize, at: usize) -> String {
        let path = self.text(at);
        if path.starts_with('/') || self.arguments[folder] as i32 == libc::AT_FDCWD {
            return path;
        }
        format!("{}/{path}", self.file(folder))
    }

    /// How a message begins: the name of a method or of a request.
    fn message(&self) -> String {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        // Where the list of pieces is in a message, and what is in a piece: an address and a length.
        let (pieces, piece) = (number(&self.memory(self.arguments[1] + 16, 8)), 16);
        let first = self.memory(pieces, piece);
        if first.len() < piece {
            return String::new();
        }
        self.said(number(&first[..8]), number(&first[8..]))
    }

    /// How that begins.
    fn said(&self, address: u64, length: u64) -> String {
        let text = self.memory(address, length.min(160) as usize);
        // What is before and behind the words, or stands for none, is another in each run, as the mark of a session is.
        let text = String::from_utf8_lossy(&text);
        let Some(begin) = text.find("{\"") else { return String::new() };
        let words = &text[begin..];
        heading(words.rfind('}').map_or(words, |end| &words[..end]))
    }

    fn memory(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = fs::File::open(format!("/proc/{}/mem", self.id))
            .and_then(|file| file.read_at(&mut bytes, address));
        bytes.truncate(read.unwrap_or(0));
        bytes
    }
}

/// The name of the program that a process runs. A worker's has no path: it is executed from a mount that is nowhere.
pub fn program(pid: u32) -> Option<String> {
    match processes::read(pid, "comm").trim() {
        WORKER | "hcs-init" => return Some(WORKER.to_owned()),
        // The worker's program in other roles.
        role @ ("hcs-sockets" | "hcs-folders") => return Some(role.to_owned()),
        _ => {}
    }
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Whether a worker has no system.
pub fn is_spare(pid: u32) -> bool {
    processes::read(pid, "cmdline").contains("00000000-0000-0000-0000-000000000000")
}

/// The words of a message before its particulars.
fn heading(text: &str) -> String {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '.');
    let words = words.filter(|word| word.chars().next().is_some_and(|first| first.is_ascii_alphabetic()));
    words.take(4).collect::<Vec<_>>().join(" ")
}

/// Replaces what is another one in each run: the root of the service, numbers, GUIDs.
fn without_what_differs(text: &str, root: &Path) -> String {
    let text = text.replace(&root.display().to_string(), "");
    let mut plain = String::new();
    let mut word = String::new();
    let end = |word: &mut String, plain: &mut String| {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let is_hash = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.push_str(if is_number || is_hash { "*" } else { word });
        word.clear();
    };
    for sign in without_disks(&without_guids(&text)).chars() {
        if sign.is_ascii_alphanumeric() {
            word.push(sign);
        } else {
            end(&mut word, &mut plain);
            plain.push(sign);
        }
    }
    end(&mut word, &mut plain);
    plain
}

/// The places of mounted disks are named after which file each is.
fn without_disks(text: &str) -> String {
    const PLACES: &str = "/run/disks/";
    let Some((before, place)) = text.split_once(PLACES) else { return text.to_owned() };
    format!("{before}{PLACES}*{}", place.find('/').map_or("", |end| &place[end..]))
}

fn without_guids(text: &str) -> String {
    const LENGTH: usize = 36;
    let is_guid = |part: &[u8]| {
        part.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let mut rest = text.as_bytes();
    let mut plain = Vec::new();
    while let Some((first, behind)) = rest.split_first() {
        if rest.len() >= LENGTH && is_guid(&rest[..LENGTH]) {
            plain.push(b'*');
            rest = &rest[LENGTH..];
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
