//! What a machine is restored from, and whether its document describes the machine that was saved: what the guest sees must
//! be the same, what is behind it may be something else.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::VirtualMachine;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Boot, Plan};

/// What a machine is restored from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restore {
    /// A file.
    File {
        /// Its path.
        path: String,
    },
    /// A machine that was saved as a template; what is needed of it comes beside the plan.
    Template {
        /// The id of its system.
        id: String,
    },
}

/// The member that names the file.
pub const FILE: &str = "$.VirtualMachine.RestoreState.SaveStateFilePath";
/// The member that names the template.
pub const TEMPLATE: &str = "$.VirtualMachine.RestoreState.TemplateSystemId";

/// Plans it.
pub fn plan(machine: &VirtualMachine) -> Result<Option<Restore>, Error> {
    let Some(restore) = &machine.restore_state else { return Ok(None) };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (given(&restore.save_state_file_path), given(&restore.template_system_id)) {
        (None, None) => Ok(None),
        (Some(path), None) => absolute(&path, FILE).map(|()| Some(Restore::File { path })),
        (None, Some(id)) => Ok(Some(Restore::Template { id })),
        (Some(_), Some(_)) => {
            let detail = "found both SaveStateFilePath and TemplateSystemId";
            Err(Error::new(Cause::InvalidData, detail)
                .at("$.VirtualMachine.RestoreState")
                .hint("Say one of them."))
        }
    }
}

impl Plan {
    /// Takes over from a machine that was saved what no document says; fails if the document describes another machine.
    pub fn continue_as(&mut self, saved: &Plan, at: &str) -> Result<(), Error> {
        self.host.memory_mib = saved.host.memory_mib;
        self.memory.mib = saved.memory.mib;
        let (ours, theirs) = (self.seen(), saved.seen());
        for (name, found) in theirs {
            let expected = ours.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
            if expected != Some(&found) {
                let detail = format!(
                    "the machine that was saved has the {name} {found}, and the document says {}",
                    expected.unwrap_or(&Value::Null)
                );
                return Err(Error::new(Cause::InvalidData, detail).at(at).hint(
                    "Restore with the document of the machine that was saved; its files may be others.",
                ));
            }
        }
        Ok(())
    }

    /// What the guest sees of the machine, each under a name for people.
    fn seen(&self) -> Vec<(&'static str, Value)> {
        let boot = match &self.boot {
            Boot::Kernel(_) => "a kernel",
            Boot::Uefi { secure: false, .. } => "UEFI",
            Boot::Uefi { secure: true, .. } => "UEFI that starts what is signed",
        };
        let disks = |controller: &super::Controller| {
            let each = controller.disks.iter().map(|disk| json!([disk.lun, disk.medium, disk.read_only]));
            let mut each: Vec<Value> = each.collect();
            each.sort_by_key(|disk| disk[0].as_u64());
            each
        };
        let mut slots: Vec<u32> = self.adapters.iter().map(|adapter| adapter.slot).collect();
        slots.sort_unstable();
        let ports = self.virtio_ports.iter().map(|port| json!([port.number, port.name, port.console]));
        let persistent = self.persistent.as_ref().map(|memory| {
            let devices = memory.devices.iter().map(|device| json!([device.number, device.read_only]));
            json!([memory.most, memory.most_bytes, devices.collect::<Vec<_>>()])
        });
        let shared = self.shared.iter().map(|region| json!([region.slot, region.length, region.writable]));
        let display = self.display.as_ref();
        let screen =
            display.map(|screen| json!([screen.width, screen.height, screen.keyboard, screen.mouse]));
        vec![
            ("accelerator", json!(if self.host.kvm { "KVM" } else { "TCG" })),
            ("memory in MiB", json!(self.memory.boot_mib)),
            ("room for memory in MiB", json!(self.growth_mib())),
            ("number of processors", json!(self.processors.count)),
            ("nested virtualisation", json!(self.processors.nested)),
            ("boot", json!(boot)),
            ("disks of its controllers", json!(self.controllers.iter().map(disks).collect::<Vec<_>>())),
            ("places of adapters", json!(slots)),
            ("agent", json!(self.guest)),
            ("sockets", json!(self.has_sockets)),
            ("places for devices of applications", json!(self.has_places_for_hosted)),
            ("ports", json!(ports.collect::<Vec<_>>())),
            ("mapped pipes", json!(self.pipes.iter().map(|pipe| pipe.number).collect::<Vec<_>>())),
            ("persistent memory", json!(persistent)),
            ("shared memory", json!(shared.collect::<Vec<_>>())),
            ("screen", json!(screen)),
            ("trusted platform module", json!(self.tpm)),
        ]
    }
}
