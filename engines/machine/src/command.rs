//! The command line of QEMU for a plan. Files and sockets are numbers of descriptors there.

use std::os::fd::RawFd;

use hcs_disks::image::{Format, Image};
use serde_json::json;

use crate::plan::{Boot, Disk, Plan};

/// What stands for the files of a plan, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The kernel.
    pub kernel: RawFd,
    /// The initrd.
    pub initrd: Option<RawFd>,
    /// The host's processors.
    pub kvm: Option<RawFd>,
    /// Each disk of each controller.
    pub disks: Vec<Vec<Medium>>,
    /// Each serial port's listening socket.
    pub serial_ports: Vec<RawFd>,
    /// Each virtio port's listening socket.
    pub virtio_ports: Vec<RawFd>,
}

/// An open image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Its file.
    pub file: RawFd,
    /// How its bytes are a disk.
    pub layout: Layout,
}

/// How the bytes of a file are a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Those of the file up to here.
    Plain(u64),
    /// As a format has it.
    Driver(&'static str),
}

impl Layout {
    /// That of an image.
    pub fn of(image: Image) -> Layout {
        match (image.plain, image.format) {
            (Some(length), _) => Layout::Plain(length),
            (None, Format::DynamicVhd) => Layout::Driver("vpc"),
            (None, _) => Layout::Driver("vhdx"),
        }
    }
}

/// The machine type. It has a version: a guest finds the same hardware under every release of QEMU that knows it.
const MACHINE: &str = "pc-q35-9.0";

/// The descriptor at which QEMU is spoken to: its standard input.
const MONITOR: RawFd = 0;

/// Everything after the program's name.
pub fn arguments(plan: &Plan, numbers: &Numbers) -> Vec<String> {
    let mut line = Words(Vec::new());
    line.flags(&["-nodefaults", "-no-user-config", "-S"]);
    line.pair("-display", "none");
    line.pair("-name", format!("guest={},process=hcs-vm", escaped(&plan.name)));
    line.pair("-uuid", &plan.runtime_id);
    line.pair(
        "-machine",
        format!("{MACHINE},memory-backend=ram,smbus=off,sata=off,usb=off,hpet=off,vmport=off,smm=off"),
    );
    match numbers.kvm {
        Some(kvm) => {
            line.pair("-add-fd", format!("fd={kvm},set={kvm}"));
            line.pair("-accel", format!("kvm,device=/dev/fdset/{kvm}"));
            line.pair("-cpu", "host");
        }
        None => {
            line.pair("-accel", "tcg,thread=multi");
            line.pair("-cpu", "max");
        }
    }
    line.pair("-smp", plan.processors.to_string());
    line.pair("-m", format!("size={}M", plan.memory_mib));
    // Shared, so that devices in other processes can have it.
    line.pair("-object", format!("memory-backend-memfd,id=ram,size={}M,share=on", plan.memory_mib));
    line.pair("-rtc", if plan.utc { "base=utc" } else { "base=localtime" });
    // It ends with its guest, and says why before. A guest that has crashed waits until somebody has looked.
    let reset = if plan.stop_on_reset { "shutdown" } else { "reset" };
    line.pair("-action", format!("reboot={reset},shutdown=poweroff,panic=pause"));
    line.pair("-chardev", format!("socket,id=monitor,fd={MONITOR}"));
    line.pair("-mon", "chardev=monitor,mode=control");
    line.pair("-device", "pvpanic-pci");
    let [board, chassis, tag] = &plan.serials;
    if let Some(serial) = board {
        line.pair("-smbios", format!("type=2,serial={serial}"));
    }
    let chassis = [("serial", chassis), ("asset", tag)];
    let said: Vec<String> =
        chassis.iter().filter_map(|(key, text)| Some(format!("{key}={}", text.as_ref()?))).collect();
    if !said.is_empty() {
        line.pair("-smbios", format!("type=3,{}", said.join(",")));
    }
    match &plan.boot {
        Boot::Kernel { command_line, .. } => {
            line.pair("-kernel", by_number(numbers.kernel));
            if let Some(initrd) = numbers.initrd {
                line.pair("-initrd", by_number(initrd));
            }
            line.pair("-append", command_line);
        }
    }
    for (index, (disks, media)) in plan.controllers.iter().zip(&numbers.disks).enumerate() {
        line.pair("-device", format!("virtio-scsi-pci,id=scsi{index}"));
        for (disk, medium) in disks.iter().zip(media) {
            attach(&mut line, index, disk, *medium);
        }
    }
    for (port, socket) in plan.serial_ports.iter().zip(&numbers.serial_ports) {
        let id = format!("com{}", port.number);
        line.pair("-chardev", listening(&id, *socket));
        line.pair("-device", format!("isa-serial,index={},chardev={id}", port.number));
    }
    if !plan.virtio_ports.is_empty() {
        line.pair("-device", "virtio-serial-pci,id=ports");
    }
    for (port, socket) in plan.virtio_ports.iter().zip(&numbers.virtio_ports) {
        let id = format!("port{}", port.number);
        line.pair("-chardev", listening(&id, *socket));
        let name = port.name.as_ref().map(|name| format!(",name={name}")).unwrap_or_default();
        line.pair("-device", format!("virtserialport,bus=ports.0,nr={},chardev={id}{name}", port.number));
    }
    // Nothing is opened or started that is not there by now.
    line.pair("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    line.0
}

fn attach(line: &mut Words, controller: usize, disk: &Disk, medium: Medium) {
    let (id, set) = (format!("disk{controller}-{}", disk.lun), medium.file);
    line.pair("-add-fd", format!("fd={},set={set}", medium.file));
    let file = json!({
        "driver": "file",
        "filename": format!("/dev/fdset/{set}"),
        "read-only": disk.read_only,
        "discard": "unmap",
    });
    let node = match medium.layout {
        Layout::Plain(size) => json!({"driver": "raw", "offset": 0, "size": size, "file": file}),
        Layout::Driver(driver) => json!({"driver": driver, "file": file}),
    };
    let mut node = node;
    node["node-name"] = json!(id);
    node["read-only"] = json!(disk.read_only);
    node["discard"] = json!("unmap");
    line.pair("-blockdev", node.to_string());
    let kind = if disk.optical { "scsi-cd" } else { "scsi-hd" };
    line.pair(
        "-device",
        format!("{kind},id={id},drive={id},bus=scsi{controller}.0,channel=0,scsi-id=0,lun={}", disk.lun),
    );
}

/// One who connects at a time; nobody is waited for.
fn listening(id: &str, socket: RawFd) -> String {
    format!("socket,id={id},fd={socket},server=on,wait=off")
}

fn by_number(file: RawFd) -> String {
    format!("/proc/self/fd/{file}")
}

/// A comma within a value is written twice.
fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

/// Arguments, one after the other.
struct Words(Vec<String>);

impl Words {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    fn pair(&mut self, option: &str, value: impl Into<String>) {
        self.0.push(option.to_owned());
        self.0.push(value.into());
    }
}

#[cfg(test)]
mod tests {
    use hcs_core::SystemId;
    use hcs_schema::ComputeSystem;

    use super::*;

    fn plan(text: &str) -> Plan {
        let reading = hcs_schema::read::<ComputeSystem>(text).unwrap();
        let id = SystemId::new("a,b").unwrap();
        Plan::new(&reading, id.as_str(), id.runtime_id(), "hcs").unwrap().0
    }

    #[test]
    fn a_document_becomes_this_command_line() {
        let plan = plan(
            r#"{"SchemaVersion":{"Major":2,"Minor":1},"VirtualMachine":{
                "StopOnReset":true,
                "Chipset":{"UseUtc":true,"BaseBoardSerialNumber":"B1","ChassisAssetTag":"T",
                    "LinuxKernelDirect":{"KernelFilePath":"/k","InitRdPath":"/i","KernelCmdLine":"console=ttyS0, quiet"}},
                "ComputeTopology":{"Memory":{"SizeInMB":256},"Processor":{"Count":2,"Limit":50000,"Weight":200}},
                "Devices":{
                    "Scsi":{"one":{"Attachments":{"10":{"Type":"Iso","Path":"/c"},"2":{"Type":"VirtualDisk","Path":"/d"}}}},
                    "ComPorts":{"0":{"NamedPipe":"/s"},"1":{}},
                    "VirtioSerial":{"Ports":{"3":{"NamedPipe":"/p","Name":"agent"}}}}}}"#,
        );
        assert_eq!(plan.limits.cpu_quota, Some([100_000, 100_000]));
        assert_eq!(plan.limits.cpu_weight, Some(200));
        assert_eq!(plan.sockets().collect::<Vec<_>>(), ["/s", "/p"]);
        let numbers = Numbers {
            kernel: 10,
            initrd: Some(11),
            kvm: None,
            disks: vec![vec![
                Medium { file: 12, layout: Layout::Driver("vhdx") },
                Medium { file: 13, layout: Layout::Plain(4096) },
            ]],
            serial_ports: vec![14],
            virtio_ports: vec![15],
        };
        let expected = "\
-nodefaults
-no-user-config
-S
-display none
-name guest=a,,b,process=hcs-vm
-uuid 2467be9f-cbf2-5d8a-8eab-f5d9c0e18a4d
-machine pc-q35-9.0,memory-backend=ram,smbus=off,sata=off,usb=off,hpet=off,vmport=off,smm=off
-accel tcg,thread=multi
-cpu max
-smp 2
-m size=256M
-object memory-backend-memfd,id=ram,size=256M,share=on
-rtc base=utc
-action reboot=shutdown,shutdown=poweroff,panic=pause
-chardev socket,id=monitor,fd=0
-mon chardev=monitor,mode=control
-device pvpanic-pci
-smbios type=2,serial=B1
-smbios type=3,asset=T
-kernel /proc/self/fd/10
-initrd /proc/self/fd/11
-append console=ttyS0, quiet
-device virtio-scsi-pci,id=scsi0
-add-fd fd=12,set=12
-blockdev {\"discard\":\"unmap\",\"driver\":\"vhdx\",\"file\":{\"discard\":\"unmap\",\"driver\":\"file\",\"filename\":\"/dev/fdset/12\",\"read-only\":false},\"node-name\":\"disk0-2\",\"read-only\":false}
-device scsi-hd,id=disk0-2,drive=disk0-2,bus=scsi0.0,channel=0,scsi-id=0,lun=2
-add-fd fd=13,set=13
-blockdev {\"discard\":\"unmap\",\"driver\":\"raw\",\"file\":{\"discard\":\"unmap\",\"driver\":\"file\",\"filename\":\"/dev/fdset/13\",\"read-only\":true},\"node-name\":\"disk0-10\",\"offset\":0,\"read-only\":true,\"size\":4096}
-device scsi-cd,id=disk0-10,drive=disk0-10,bus=scsi0.0,channel=0,scsi-id=0,lun=10
-chardev socket,id=com0,fd=14,server=on,wait=off
-device isa-serial,index=0,chardev=com0
-device virtio-serial-pci,id=ports
-chardev socket,id=port3,fd=15,server=on,wait=off
-device virtserialport,bus=ports.0,nr=3,chardev=port3,name=agent
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
        let lines = arguments(&plan, &numbers);
        let mut text = String::new();
        for word in &lines {
            let joint = if text.is_empty() {
                ""
            } else if word.starts_with('-') {
                "\n"
            } else {
                " "
            };
            text += &format!("{joint}{word}");
        }
        assert_eq!(text.replace(&plan.runtime_id, "2467be9f-cbf2-5d8a-8eab-f5d9c0e18a4d"), expected);
    }

    fn refusal(text: &str) -> (String, Option<String>) {
        let text = format!(r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},"VirtualMachine":{text}}}"#);
        let reading = hcs_schema::read::<ComputeSystem>(&text).unwrap();
        let id = SystemId::new("vm").unwrap();
        let error = Plan::new(&reading, id.as_str(), id.runtime_id(), "hcs").unwrap_err();
        (error.detail, error.path)
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        let with = |rest: &str| {
            format!(
                r#"{{"Chipset":{{"LinuxKernelDirect":{{"KernelFilePath":"/k"}}}},"ComputeTopology":{{"Memory":{{"SizeInMB":64}}}}{rest}}}"#
            )
        };
        for (text, at) in [
            (r#"{"ComputeTopology":{"Memory":{"SizeInMB":64}}}"#.to_owned(), "$.VirtualMachine.Chipset"),
            (r#"{"Chipset":{"Uefi":{"StopOnBootFailure":true}}}"#.to_owned(), "$.VirtualMachine.Chipset.Uefi"),
            (
                r#"{"Chipset":{"LinuxKernelDirect":{"KernelFilePath":"k"}},"ComputeTopology":{"Memory":{"SizeInMB":64}}}"#.to_owned(),
                "$.VirtualMachine.Chipset.LinuxKernelDirect.KernelFilePath",
            ),
            (r#"{}"#.to_owned(), "$.VirtualMachine.ComputeTopology.Memory.SizeInMB"),
            (
                r#"{"ComputeTopology":{"Memory":{"SizeInMB":65}}}"#.to_owned(),
                "$.VirtualMachine.ComputeTopology.Memory.SizeInMB",
            ),
            (
                r#"{"ComputeTopology":{"Memory":{"SizeInMB":64},"Processor":{"Limit":100001}}}"#.to_owned(),
                "$.VirtualMachine.ComputeTopology.Processor.Limit",
            ),
            (with(r#","GuestConnection":{"UseVsock":true}"#), "$.VirtualMachine.GuestConnection"),
            (
                with(r#","Devices":{"Scsi":{"x":{"Attachments":{"0":{"Type":"PassThru","Path":"/d"}}}}}"#),
                "$.VirtualMachine.Devices.Scsi[\"x\"].Attachments[\"0\"].Type",
            ),
            (
                with(r#","Devices":{"ComPorts":{"0":{"NamedPipe":"\\\\.\\pipe\\x"}}}"#),
                "$.VirtualMachine.Devices.ComPorts[\"0\"].NamedPipe",
            ),
        ] {
            let (detail, path) = refusal(&text);
            assert_eq!(path.as_deref(), Some(at), "{detail}");
        }
    }
}
