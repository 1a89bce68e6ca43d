//! How a machine starts: those who speak for it and what it remembers, then a QEMU with everything opened for it, then what is
//! to be said to that before the guest runs. A start that fails leaves nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_container::{
    host_process::{self, Program},
    host_view::View,
    process,
};
use hcs_core::{Cause, Error};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    thread::CapabilitySet,
};
use serde_json::Value;

use super::{
    Machine, Running, hosted_devices, last_words, memory,
    screen::Viewers,
    sharing::{self, Ports},
};
use crate::{
    command,
    device_hosts::DeviceHosts,
    devices,
    files::{self, Conversations, Files},
    host_socket, links,
    plan::Plan,
    prefix,
    qmp::Qmp,
    remembered::Remembered,
    shares::Server,
    sockets::Sockets,
    tail::{Ears, Tail},
    tpm,
};

/// The oldest QEMU that can do what is asked of it.
const OLDEST: u64 = 9;

impl Machine {
    /// Starts QEMU and lets the guest run.
    pub fn start(&mut self) -> Result<(), Error> {
        let (mut sockets, mut speakers) = (Vec::new(), Vec::new());
        for adapter in &self.plan.adapters {
            let (socket, speaker) = links::open(adapter, &self.plan.host, &self.cgroup)?;
            sockets.push(socket);
            speakers.extend(speaker);
        }
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting QEMU");
        let ((errors, say), (consoles, log)) = (Tail::new().map_err(failed)?, Tail::heard().map_err(failed)?);
        let host = &self.plan.host;
        let firmware = files::firmware(&self.plan)?;
        let variables = firmware.as_ref().map(|[_, variables]| variables.try_clone()).transpose();
        let variables =
            variables.map_err(|error| Error::from_io(&error, "holding the firmware's variables"))?;
        let module = self.plan.tpm.then(|| tpm::memory(host)).transpose()?;
        let remembered = Remembered::begin(self.plan.guest_state.as_ref(), host, variables, module)?;
        let module =
            remembered.tpm.as_ref().map(|memory| tpm::start(host, &self.cgroup, memory)).transpose()?;
        let (socket, tpm) = module.unzip();
        let (memory, state) = self.beginning()?;
        let has_port = self.plan.guest && !self.plan.guest_by_sockets;
        let (ours, theirs) = has_port.then(conversation).transpose().map_err(failed)?.unzip();
        let (folders, server) = self.serve_folders()?.unzip();
        let ports = self.serve_ports()?;
        let (carried, carrier) = self.carry_sockets()?.unzip();
        let conversations = Conversations {
            adapters: sockets,
            tpm: socket,
            folders,
            sockets: carried,
            guest: theirs,
            log,
            memory,
            firmware,
        };
        let mut files = Files::open(&self.plan, conversations)?;
        let viewers = files.viewers().map(Viewers::new);
        let spawned = self.spawn(&files, Ears { errors, consoles }, say);
        let started = spawned.and_then(|mut running| {
            let remembered = Some(remembered);
            running = Running {
                viewers,
                guest: ours,
                server,
                ports,
                sockets: carrier,
                speakers,
                tpm,
                remembered,
                ..running
            };
            match running.begin(&self.plan, state.as_ref(), &mut *self.hosts) {
                Ok(()) => Ok(running),
                Err(mut error) => {
                    for device in &self.plan.hosted {
                        self.hosts.remove(device.instance);
                    }
                    process::end(running.pidfd.as_fd());
                    let words = last_words(&mut running.qmp.ears.errors);
                    if !words.is_empty() {
                        error.detail += &format!("; QEMU said: {words}");
                    }
                    Err(error)
                }
            }
        });
        match started {
            Ok(running) => {
                self.running = Some(running);
                if self.plan.is_clone() {
                    self.replace_adapters().inspect_err(|_| self.undo_start())?;
                }
                Ok(())
            }
            Err(error) => {
                self.undo_start();
                Err(error)
            }
        }
    }

    /// What has not started has nothing that runs, and no sockets.
    fn undo_start(&mut self) {
        if let Some(running) = self.running.take() {
            process::end(running.pidfd.as_fd());
        }
        self.waits.clear();
        host_socket::remove(self.plan.sockets());
    }

    /// Who carries its sockets, and what QEMU speaks to it by.
    fn carry_sockets(&self) -> Result<Option<(OwnedFd, Sockets)>, Error> {
        if !self.plan.has_sockets {
            return Ok(None);
        }
        Sockets::start(&self.cgroup, &self.plan.host.sockets).map(Some)
    }

    /// Who serves the folders that the machine begins with, and what QEMU speaks to it by.
    fn serve_folders(&self) -> Result<Option<(OwnedFd, Server)>, Error> {
        let shares = self.plan.shares.iter().flatten();
        let mut shares = shares.filter(|share| self.plan.port_of(share).is_none()).peekable();
        if shares.peek().is_none() {
            return Ok(None);
        }
        if self.plan.restore.is_some() {
            return Err(Error::new(
                Cause::NotSupported,
                "a machine that goes on has no shares when it begins",
            )
            .at("$.VirtualMachine.Devices.Plan9.Shares")
            .hint("Add them when it has started."));
        }
        let (socket, mut server) = Server::start(&self.plan.host, &self.cgroup)?;
        shares.try_for_each(|share| server.add(&share.folder))?;
        Ok(Some((socket, server)))
    }

    /// Who serves folders at ports. They are there before the guest can call.
    fn serve_ports(&self) -> Result<Ports, Error> {
        let mut ports = Ports::new();
        for (index, share) in self.plan.shares.iter().flatten().enumerate() {
            if let Some(port) = self.plan.port_of(share) {
                let served = sharing::serve(&mut ports, (&self.plan.host, &self.cgroup), port, share);
                served.map_err(|error| {
                    error.or_at(format!("$.VirtualMachine.Devices.Plan9.Shares[{index}].Port"))
                })?;
            }
        }
        Ok(ports)
    }

    fn spawn(&self, files: &Files, ears: Ears, say: OwnedFd) -> Result<Running, Error> {
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting QEMU");
        let (ours, theirs) = conversation().map_err(failed)?;
        let path = PathBuf::from(&self.plan.host.qemu);
        let mut arguments = vec!["qemu".to_owned()];
        // Firmware that lies beside a QEMU is its own; by itself it looks where it was built for.
        for folder in ["share/qemu", "share/seabios"].map(|name| prefix(&path).join(name)) {
            if folder.is_dir() {
                arguments.extend(["-L".to_owned(), folder.display().to_string()]);
            }
        }
        let (numbers, memory) = (files.numbers(), files.memory()?);
        arguments.extend(command::arguments(&self.plan, &numbers));
        let view = View::open(&[prefix(&path).to_owned()])?.with_open_folder(hosted_devices::PLACE)?;
        let pidfd = host_process::start(
            &Program {
                path: &path,
                arguments: &arguments,
                environment: &environment(&path),
                stdin: theirs.as_fd(),
                stderr: say.as_fd(),
                keep: &files.descriptors(),
                user: self.plan.host.user,
                capabilities: CapabilitySet::empty(),
                groups: &[self.plan.host.group],
                view: Some(&view),
            },
            &self.cgroup,
        )?;
        drop((theirs, say));
        let mut sets = BTreeMap::new();
        for (index, (controller, media)) in self.plan.controllers.iter().zip(&numbers.disks).enumerate() {
            for (disk, medium) in controller.disks.iter().zip(media) {
                sets.insert(devices::disk_id(index, disk.lun), i64::from(medium.file));
            }
        }
        let numbered =
            self.plan.persistent.iter().flat_map(|memory| &memory.devices).map(|device| device.number);
        let persistent = numbered.zip(files.persistent()?).collect();
        let sizes = memory::Sizes::new(&self.plan.memory, self.plan.restore.is_some());
        let log = i64::from(numbers.log);
        let mut running = Running {
            pidfd,
            qmp: Qmp::new(ours, ears),
            speakers: Vec::new(),
            server: None,
            ports: BTreeMap::new(),
            sockets: None,
            tpm: None,
            remembered: None,
            sets,
            persistent,
            log,
            sizes,
            memory,
            state: None,
            version: [0; 2],
            has_shown_memory: false,
            doubtful: BTreeSet::new(),
            guest: None,
            viewers: None,
            is_lost: false,
        };
        match running.qmp.begin() {
            Ok(version) => {
                running.version = ["major", "minor"].map(|part| version[part].as_u64().unwrap_or(0));
                let [major, minor] = running.version;
                if major >= OLDEST {
                    return Ok(running);
                }
                process::end(running.pidfd.as_fd());
                let detail = format!("found QEMU {major}.{minor}, expected {OLDEST}.0 or newer");
                Err(Error::new(Cause::NotSupported, detail)
                    .hint("Install a newer one, or say where it is: hcsd --qemu."))
            }
            Err(error) => {
                let code = process::end(running.pidfd.as_fd()).unwrap_or_default();
                let words = last_words(&mut running.qmp.ears.errors);
                Err(match error {
                    None => {
                        Error::new(Cause::Unexpected, format!("QEMU has ended at once ({code}): {words}"))
                    }
                    Some(mut error) => {
                        if !words.is_empty() {
                            error.detail += &format!("; QEMU said: {words}");
                        }
                        error
                    }
                })
            }
        }
    }
}

impl Running {
    /// What is done before the guest runs.
    fn begin(&mut self, plan: &Plan, state: Option<&File>, hosts: &mut dyn DeviceHosts) -> Result<(), Error> {
        self.prepare_to_move()?;
        if let Some(state) = state {
            self.take_over(state)?;
        }
        for adapter in plan.adapters.iter().filter(|adapter| plan.is_clone() || !adapter.connected) {
            self.connect(adapter.slot, false)?;
        }
        self.sizes.want(&mut self.qmp, plan.memory.mib)?;
        if let Some(processors) = &plan.processors.of_host {
            self.run_on(Some(processors))?;
        }
        self.begin_hosted(plan, hosts)?;
        self.qmp.run("cont", Value::Null).map(|_| ())
    }
}

/// Two ends, one for us and one for QEMU.
pub(super) fn conversation() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Modules that lie beside a QEMU of a prefix are its own.
fn environment(qemu: &Path) -> Vec<String> {
    let modules = prefix(qemu).join(format!("lib/{}-linux-gnu/qemu", std::env::consts::ARCH));
    match modules.is_dir() {
        true => vec![format!("QEMU_MODULE_DIR={}", modules.display())],
        false => Vec::new(),
    }
}
