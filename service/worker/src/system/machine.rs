//! What only a virtual machine is asked, and what it tells: its guest, its devices, its consoles, its saved states.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    time::Instant,
};

use hcs_core::{Cause, Error};
use hcs_ipc::worker::Phase;
use hcs_machine::{
    Change, Machine,
    machine::{Told, changes::Progress, saving::Template},
};

use super::System;
use crate::{device_hosts::Shared as DeviceHosts, engine::Engine, guest::Guest};

impl System {
    /// The guest of a machine, if an agent speaks for it.
    pub fn guest(&mut self) -> Option<&mut Guest> {
        self.guest.as_mut()
    }

    /// The same, only to be looked at.
    pub fn heard_guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }

    /// Has the start under this number wait for the agent of a machine that has begun; says whether there is one.
    pub fn await_guest(&mut self, number: u64) -> Result<bool, Error> {
        let Ok(machine) = self.machine() else { return Ok(false) };
        let port = machine.take_guest();
        let sockets = self.guest_sockets.take();
        let machine = self.machine()?;
        let guest = match (port, sockets) {
            (Some(port), _) => Guest::at_port(port, number, machine)?,
            (None, Some(sockets)) => Guest::at_sockets(sockets, number, machine),
            (None, None) => return Ok(false),
        };
        self.guest = Some(guest);
        Ok(true)
    }

    /// Changes a machine. What waits for the guest is told under this number.
    pub fn change_machine(&mut self, change: &Change, number: u64) -> Result<Progress, Error> {
        if self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        if self.phase == Phase::Paused && change.needs_guest() {
            return Err(Error::new(Cause::InvalidState, "the guest must do its part, and it is paused")
                .hint("Resume it first."));
        }
        self.machine()?.change(change, number)
    }

    /// Makes the guest of a machine crash.
    pub fn crash(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Running || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?.interrupt()
    }

    /// A picture of the screen of a machine.
    pub fn picture(&mut self) -> Result<OwnedFd, Error> {
        self.machine()?.picture()
    }

    /// Connects to a serial port of a machine that runs.
    pub fn serial_port(&mut self, number: u32) -> Result<OwnedFd, Error> {
        let is_there = matches!(self.phase, Phase::Running | Phase::Paused);
        if !is_there || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?.open_serial_port(number)
    }

    /// Keeps what the consoles of a machine have said since the last time.
    pub(super) fn hear_consoles(&mut self) {
        let machine = self.engine.as_mut().and_then(Engine::machine);
        let said = machine.map(Machine::take_consoles).unwrap_or_default();
        if !said.is_empty() {
            self.kept.consoles_said(&said);
        }
    }

    /// A channel to who hosts devices for a machine: the application's end.
    pub fn host_devices(&mut self, is_restricted: bool) -> Result<OwnedFd, Error> {
        let is_there = matches!(self.phase, Phase::Created | Phase::Running | Phase::Paused);
        if !is_there || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?;
        self.device_hosts.open(is_restricted)
    }

    /// Takes devices away from a machine whose applications are gone.
    pub fn give_up_devices(&mut self) {
        for instance in self.device_hosts.take_failed() {
            if self.machine().is_ok_and(|machine| !machine.give_up_hosted(instance)) {
                self.device_hosts.tell_again(instance);
            }
        }
    }

    /// An application that is devices of the machine has said something or has hung up.
    pub fn hear_device_host(&mut self, host: u64) {
        let ends = self.ending.is_some() || self.machine().is_ok_and(|machine| machine.is_ending());
        self.device_hosts.hear(host, ends);
    }

    /// Who is devices of a machine.
    pub fn device_hosts(&self) -> &DeviceHosts {
        &self.device_hosts
    }

    /// Saves a machine that is paused: to this file, or as a template.
    pub fn save(&mut self, path: Option<&str>) -> Result<(), Error> {
        if self.phase != Phase::Paused || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        match path {
            Some(path) => self.machine()?.save(path),
            None => {
                self.machine()?.save_as_template()?;
                self.phase = Phase::Template;
                Ok(())
            }
        }
    }

    /// What a clone of this template needs.
    pub fn template(&mut self) -> Result<Template, Error> {
        if self.phase != Phase::Template || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?.template()
    }

    /// The machine, if it is one.
    pub fn machine(&mut self) -> Result<&mut Machine, Error> {
        let is_none = || Error::new(Cause::NotSupported, "a container has no such thing");
        self.engine_mut()?.machine().ok_or_else(is_none)
    }

    /// Where a machine tells something, to be polled.
    pub fn monitors(&self) -> Vec<BorrowedFd<'_>> {
        self.heard().map(Machine::readable).unwrap_or_default()
    }

    /// When a machine is to be heard though it tells nothing.
    pub fn hears_at(&self) -> Option<Instant> {
        self.heard().and_then(Machine::deadline)
    }

    /// A machine that has begun and has not ended.
    fn heard(&self) -> Option<&Machine> {
        match (&self.phase, &self.engine) {
            (Phase::Running | Phase::Paused | Phase::Template, Some(Engine::Machine(machine))) => {
                Some(machine)
            }
            _ => None,
        }
    }

    /// What a machine tells.
    pub fn hear(&mut self) -> Vec<Told> {
        let told = self.engine.as_mut().and_then(Engine::machine).map(Machine::hear).unwrap_or_default();
        self.hear_consoles();
        told
    }
}
