//! What is done when the guest has crashed: somebody is told at once, its memory is written down if the document wants
//! that, and then it is told how that went. The guest stands still meanwhile.

use std::{fs::File, os::fd::AsFd};

use hcs_container::host_process::with_rights_of;
use hcs_core::{Cause, Error, random};
use hcs_schema::{CrashReport, WindowsCrashPhase, WindowsCrashReport};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};
use serde_json::json;

use super::{Machine, Running, Told};
use crate::{
    plan::{Dump, Host},
    qmp::Event,
};

/// A crash that is being dealt with.
pub struct Crash {
    report: CrashReport,
}

impl Machine {
    /// Notes an event that tells of a crash.
    pub(super) fn note_crash(&mut self, event: &Event) -> Vec<Told> {
        match event.name.as_str() {
            "GUEST_PANICKED" if self.crash.is_none() => self.begin_report(event),
            // A kernel that is kept for this moment deals with it, and ends the guest afterwards.
            "GUEST_CRASHLOADED" => vec![Told::Crash { is_complete: false, report: self.report(event) }],
            "DUMP_COMPLETED" if self.crash.is_some() => {
                let outcome = match event.data["result"]["status"].as_str() {
                    Some("completed") => Ok(()),
                    _ => Err(Error::new(
                        Cause::Unexpected,
                        format!("writing the memory down: {}", event.data["error"]),
                    )),
                };
                self.complete_report(Some(outcome))
            }
            _ => Vec::new(),
        }
    }

    fn begin_report(&mut self, event: &Event) -> Vec<Told> {
        let report = self.report(event);
        self.parameters = report.crash_parameters.clone().unwrap_or_default();
        self.crash = Some(Crash { report: report.clone() });
        let mut told = vec![Told::Crash { is_complete: false, report }];
        match self.begin_dump() {
            None => told.extend(self.complete_report(None)),
            // DUMP_COMPLETED follows.
            Some(Ok(())) => {}
            Some(Err(error)) => told.extend(self.complete_report(Some(Err(error)))),
        }
        told
    }

    fn report(&mut self, event: &Event) -> CrashReport {
        let mut report =
            CrashReport::default().system_id(&self.plan.name).activity_id(random::guid()).status(0);
        let info = &event.data["info"];
        let codes = ["arg1", "arg2", "arg3", "arg4", "arg5"].map(|name| info[name].as_u64());
        let codes: Vec<u64> = codes.into_iter().flatten().collect();
        if !codes.is_empty() {
            report.crash_parameters = Some(codes);
        }
        let log = self.running.as_mut().map(|running| running.qmp.ears.consoles.text()).unwrap_or_default();
        if !log.is_empty() {
            report.crash_log = Some(log);
        }
        report
    }

    fn begin_dump(&mut self) -> Option<Result<(), Error>> {
        let dump = self.plan.dump.clone()?;
        let bytes = self.memory_mib() << 20;
        if dump.most_bytes.is_some_and(|most| most < bytes) {
            let detail = format!("the machine has {bytes} bytes of memory, and the dump may have fewer");
            return Some(Err(Error::new(Cause::InvalidData, detail)));
        }
        let host = self.plan.host.clone();
        let running = self.running.as_mut()?;
        Some(as_machine(&host, || create(&dump.partial())).and_then(|file| running.begin_dump(&file)))
    }

    /// Tells how it went, and ends the machine.
    fn complete_report(&mut self, dump: Option<Result<(), Error>>) -> Vec<Told> {
        let Some(Crash { mut report }) = self.crash.take() else { return Vec::new() };
        if let (Some(outcome), Some(planned)) = (dump, &self.plan.dump) {
            let host = &self.plan.host;
            let kept = outcome.and_then(|()| {
                as_machine(host, || rustix::fs::renameat(CWD, planned.partial(), CWD, &planned.path))
            });
            let (status, phase) = match &kept {
                Ok(()) => (0, WindowsCrashPhase::Complete),
                Err(error) => {
                    hcs_core::complain!("hcs-worker: the dump of a crash: {error}");
                    planned.remove_partial();
                    (error.cause.hresult().0, WindowsCrashPhase::Inactive)
                }
            };
            let info =
                WindowsCrashReport::default().dump_file(&planned.path).status(status).final_phase(phase);
            report = report.status(status).windows_crash_info(info);
        }
        if let Err(error) = self.kill() {
            hcs_core::complain!("hcs-worker: ending a crashed machine: {error}");
        }
        vec![Told::Crash { is_complete: true, report }]
    }
}

impl Running {
    fn begin_dump(&mut self, file: &File) -> Result<(), Error> {
        self.hand_over(file.as_fd())?;
        // In a form that every debugger reads.
        let arguments = json!({"paging": false, "protocol": "fd:new", "format": "elf", "detach": true});
        self.qmp.run("dump-guest-memory", arguments).map(|_| ()).inspect_err(|_| self.take_back())
    }
}

impl Dump {
    /// Removes what is not complete.
    pub fn remove_partial(&self) {
        // Mostly there is none.
        let _ = std::fs::remove_file(self.partial());
    }
}

fn create(path: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Does something that only who may write there can do.
fn as_machine<T>(host: &Host, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Error> {
    let done = with_rights_of(host.user, &[host.group], act).and_then(|done| done);
    done.map_err(|errno| Error::from_errno(errno.raw_os_error(), "writing the memory of the guest down"))
}
