//! What the demo shows, one function per act.

use std::{path::Path, time::Instant};

use super::{lspci, stage::Stage};
use crate::Outcome;

const GREETING: &str =
    r#"'echo "Hello from $(hostname), on $(uname -sr). My only network is $(ls /sys/class/net)."'"#;

/// What no document has before it is made.
const INSTANCE: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
/// The class by which the sensor knows itself.
const CLASS: &str = "872270e1-a899-4af6-b454-7193634435ad";

/// How many clones are made.
const CLONES: usize = 10;

/// A container with limits, and what it uses.
pub fn container(stage: &Stage) -> Outcome {
    stage.caption("A container with limits: 64 MB, half a processor. It computes for nothing.");
    stage.run("hcs run -d --name first --hostname first-container -m 64M --cpus 0.5 ./root sh -c 'while :; do :; done'")?;
    stage.run(&format!("hcs exec first -- sh -c {GREETING}"))?;
    stage.run("hcs ps first")?;
    stage.run("hcs top --once first")?;
    stage.run("hcs kill first")
}

/// A change of a layered root file system, written as a layer of its own.
pub fn layers(stage: &Stage) -> Outcome {
    stage
        .caption("Layers: a container writes over a layer that it cannot change. What it wrote is exported.");
    stage.run("hcs layer import base ./root")?;
    stage.run("hcs layer init scratch")?;
    stage.run("union=$(hcs layer attach scratch base); hcs run $union sh -c 'echo changed > /etc/motd; rm /bin/wget'; hcs layer detach scratch")?;
    stage.run("mkdir change; hcs layer export --writable scratch change; tar -tf change/layer.tar")
}

/// A virtual machine, and a process in it.
pub fn boot(stage: &Stage, machines: &Path) -> Outcome {
    stage.caption(
        "A virtual machine: its image is a kernel of Debian, the agent, and what is put beside them.",
    );
    lspci::put(&stage.path("root"))?;
    let (kernel, modules) = (
        first(&machines.join("kernel/boot"), "vmlinuz")?,
        first(&machines.join("kernel/usr/lib/modules"), "")?,
    );
    stage.run(&format!("hcs vm image build vm --kernel {kernel} --modules {modules} --add root"))?;
    let folder = stage.path("vm").display().to_string();
    let document = DOCUMENT.replace("FOLDER", &folder);
    stage.write("vm.json", &document)?;
    stage.run("cat vm.json")?;
    stage.run("hcs create vm vm.json")?;
    let began = Instant::now();
    stage.run("hcs start vm")?;
    stage.say(&format!("    booted to its agent in {:.1} s", began.elapsed().as_secs_f64()));
    stage.run("hcs exec vm -- uname -a")
}

/// A machine saved, and ten that go on from there.
pub fn clones(stage: &Stage) -> Outcome {
    stage.caption(
        "The machine is saved as a template. Clones go on where it stood, each with an identity of its own.",
    );
    stage.run("hcs exec vm -- sh -c 'echo remembered > /tmp/note'")?;
    stage.run("hcs pause vm")?;
    stage.run("hcs save --template vm")?;
    let began = Instant::now();
    let line = format!("for n in $(seq {CLONES}); do hcs restore clone-$n vm.json --template vm; done");
    stage.run(&line)?;
    stage.say(&format!(
        "    {CLONES} clones run, {:.1} s after the first was asked for",
        began.elapsed().as_secs_f64()
    ));
    stage.run("hcs exec clone-7 -- sh -c 'cat /tmp/note /proc/sys/kernel/random/uuid'")?;
    stage.run("hcs list")?;
    stage.run("hcs kill $(hcs list -q)")
}

/// A device that a program is.
pub fn device(stage: &mut Stage) -> Outcome {
    stage.caption("A program is a PCI device: a sensor, which the guest finds on its bus while it runs.");
    stage.run("hcs create vm vm.json; hcs start vm")?;
    stage.host("sensor_device", &["--machine", "vm", INSTANCE])?;
    stage.run(&format!("hcs device add vm hosted {INSTANCE} {CLASS}"))?;
    stage.run("hcs exec vm -- lspci -nn")?;
    stage.run("hcs kill vm")
}

const DOCUMENT: &str = r#"{
  "SchemaVersion": { "Major": 2, "Minor": 1 },
  "VirtualMachine": {
    "Chipset": {
      "LinuxKernelDirect": {
        "KernelFilePath": "FOLDER/kernel",
        "InitRdPath": "FOLDER/initrd"
      }
    },
    "ComputeTopology": {
      "Memory": { "SizeInMB": 256 },
      "Processor": { "Count": 1 }
    },
    "GuestConnection": {}
  }
}
"#;

/// The first in a folder whose name begins so.
fn first(folder: &Path, begins: &str) -> Outcome<String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names = entries.flatten().map(|entry| entry.path());
    let found =
        names.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begins)));
    found.map(|path| path.display().to_string()).ok_or_else(|| format!("{} is empty", folder.display()))
}
