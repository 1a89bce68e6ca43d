//! How a child tells its parent what became of it, between clone3 and execve.
//!
//! The child writes records of eight bytes into a pipe that closes on exec: first its own process id in the
//! container, and on failure the step that failed with the error number. The end of the pipe without a failure
//! is success. Nothing is allocated.

use std::{
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::{io::Errno, pipe::PipeFlags};

macro_rules! steps {
    ($( $name:ident = $number:literal, $text:literal; )+) => {
        /// What a child does before it runs the user's program, or becomes init.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Step { $( #[doc = $text] $name = $number, )+ }

        impl Step {
            fn from_number(number: u32) -> Option<Step> {
                match number { $( $number => Some(Step::$name), )+ _ => None }
            }

            /// The step in words.
            pub fn text(self) -> &'static str {
                match self { $( Step::$name => $text, )+ }
            }
        }
    };
}

steps! {
    JoinCgroup = 1, "joining the cgroup";
    EnterNamespaces = 2, "entering the container";
    CgroupNamespace = 3, "making the cgroup namespace";
    Propagation = 4, "detaching the mount tree from the host's";
    Root = 5, "mounting the root file system";
    Pivot = 6, "changing to the root file system";
    Proc = 7, "mounting /proc";
    Sys = 8, "mounting /sys";
    Dev = 9, "mounting /dev";
    DevNodes = 10, "making the nodes of /dev";
    DevPts = 11, "mounting /dev/pts";
    DevShm = 12, "mounting /dev/shm";
    DevMqueue = 13, "mounting /dev/mqueue";
    Mask = 14, "hiding a path";
    ReadOnly = 15, "making a path read-only";
    HostName = 16, "setting the host name";
    Loopback = 17, "bringing the loopback interface up";
    Session = 18, "starting a session";
    Streams = 19, "connecting the standard streams";
    WorkingDirectory = 20, "changing to the working directory";
    Capabilities = 21, "giving up capabilities";
    User = 22, "changing to the user";
    NoNewPrivileges = 23, "forbidding new privileges";
    Execute = 24, "running the program";
    Signals = 25, "taking over the signals";
    Console = 26, "taking the console";
    Map = 40, "mapping what the document maps";
    Unmap = 41, "taking a mapping away";
    Filter = 27, "filtering system calls";
    OomScore = 28, "setting the OOM score";
    Processors = 29, "choosing the processors";
    Scheduling = 30, "setting the scheduling policy";
    IoPriority = 31, "setting the priority of input and output";
    Limits = 32, "limiting resources";
    Settings = 33, "changing a setting of the kernel";
    Profile = 35, "choosing the AppArmor profile";
    Network = 34, "entering the network namespace";
    View = 36, "hiding the files of the host";
}

const PROCESS_ID: u32 = 0;

/// The child's end.
pub struct Reporter(OwnedFd);

/// The parent's end.
pub struct Listener(OwnedFd);

/// What the parent heard.
pub struct Outcome {
    /// The child's process id in the container, if it got so far.
    pub process_id: Option<u32>,
    /// The step that failed.
    pub failure: Option<(Step, Errno)>,
}

/// Makes both ends.
pub fn channel() -> Result<(Reporter, Listener), Error> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| Error::from_errno(error.raw_os_error(), "making a pipe"))?;
    Ok((Reporter(write), Listener(read)))
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Reporter {
    /// Says who this is.
    pub fn process_id(&self) {
        self.write(PROCESS_ID, rustix::process::getpid().as_raw_nonzero().get());
    }

    /// Says what failed.
    pub fn failed(&self, step: Step, errno: Errno) {
        self.write(step as u32, errno.raw_os_error());
    }

    fn write(&self, kind: u32, value: i32) {
        let mut record = [0; 8];
        record[..4].copy_from_slice(&kind.to_ne_bytes());
        record[4..].copy_from_slice(&value.to_ne_bytes());
        // The parent sees a missing record as the death of the child, which is what it is.
        let _ = rustix::io::write(&self.0, &record);
    }
}

impl Listener {
    /// Reads until the child has exec'd, failed or died.
    pub fn until_closed(self) -> Outcome {
        let mut outcome = Outcome { process_id: None, failure: None };
        let mut pipe = std::fs::File::from(self.0);
        while let Some((kind, value)) = read_record(&mut pipe) {
            match Step::from_number(kind) {
                None => outcome.process_id = u32::try_from(value).ok(),
                Some(step) => outcome.failure = Some((step, Errno::from_raw_os_error(value))),
            }
        }
        outcome
    }

    /// Reads until the child has said who it is, which it does when it is ready, or has failed or died.
    pub fn until_ready(self) -> Outcome {
        let mut outcome = Outcome { process_id: None, failure: None };
        let mut pipe = std::fs::File::from(self.0);
        if let Some((kind, value)) = read_record(&mut pipe) {
            match Step::from_number(kind) {
                None => outcome.process_id = u32::try_from(value).ok(),
                Some(step) => outcome.failure = Some((step, Errno::from_raw_os_error(value))),
            }
        }
        outcome
    }
}

fn read_record(pipe: &mut std::fs::File) -> Option<(u32, i32)> {
    let mut record = [0; 8];
    pipe.read_exact(&mut record).ok()?;
    let (kind, value) = record.split_at(4);
    Some((u32::from_ne_bytes(kind.try_into().ok()?), i32::from_ne_bytes(value.try_into().ok()?)))
}

impl Outcome {
    /// The child's process id, or what failed. `doing` says what all this was for.
    pub fn into_result(self, doing: &str) -> Result<u32, Error> {
        match (self.failure, self.process_id) {
            (Some((step, errno)), _) => {
                Err(Error::from_errno(errno.raw_os_error(), format!("{doing}: {}", step.text())))
            }
            (None, Some(process_id)) => Ok(process_id),
            (None, None) => {
                Err(Error::new(Cause::ProcessAlreadyStopped, format!("{doing}: the new process died")))
            }
        }
    }

    /// Whether the child has died without a word, because somebody has killed it.
    pub fn is_silence(&self) -> bool {
        self.failure.is_none() && self.process_id.is_none()
    }
}
