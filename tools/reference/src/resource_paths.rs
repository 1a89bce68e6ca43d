//! The page of resource paths: what HcsModifyComputeSystem changes. A test asks the engines whether they take each path with
//! each kind of request that the page names, and none of the others.

use hcs_machine::change::REFUSED;
use hcs_schema::ModifyRequestType::{self, Add, Remove, Update};

use crate::page::Page;

/// A path that can be changed.
struct Path {
    /// With what stands for itself in capitals.
    path: &'static str,
    kinds: &'static [ModifyRequestType],
    settings: &'static str,
    limits: &'static str,
    /// What the test asks with: names in the path, settings.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test alone asks"))]
    sample: (&'static str, &'static str),
}

const CONTAINER: &[Path] = &[
    Path {
        path: "Container/Memory/SizeInMB",
        kinds: &[Update],
        settings: "a number of MiB",
        limits: "0 lifts the limit. One below what is in use is refused, and the one before holds.",
        sample: ("Container/Memory/SizeInMB", "64"),
    },
    Path {
        path: "Container/Processor",
        kinds: &[Update],
        settings: "Container_Processor",
        limits: "One of Count, Maximum and Weight; what was there before is replaced as a whole.",
        sample: ("Container/Processor", r#"{"Weight":100}"#),
    },
    Path {
        path: "Container/MappedDirectories",
        kinds: &[Add, Remove],
        settings: "MappedDirectory; to remove one its ContainerPath will do",
        limits: "The place is made in the container if it is not there. Links never lead out of the container.",
        sample: ("Container/MappedDirectories", r#"{"HostPath":"/srv","ContainerPath":"/data"}"#),
    },
    Path {
        path: "Container/MappedPipes",
        kinds: &[Add, Remove],
        settings: "MappedPipe; to remove one its ContainerPipeName will do",
        limits: "A Unix socket of the host, at `/run/NAME` in the container.",
        sample: ("Container/MappedPipes", r#"{"HostPath":"/run/a","ContainerPipeName":"a"}"#),
    },
];

const CONTAINER_REFUSED: &[(&str, &str)] = &[
    ("Container/Devices/Generic", "devices are assigned at the creation"),
    ("Container/RegistryFlushState", "there is no registry on Linux"),
];

const MACHINE: &[Path] = &[
    Path {
        path: "ComputeTopology/Memory/SizeInMB",
        kinds: &[Add, Remove, Update],
        settings: "a number of MiB",
        limits: "Even, from 32 to 1048576. Completes when the guest follows; after half a minute it is taken back and told. \
                 Machines of less than 1 GiB grow only if their document says EnableHotHint.",
        sample: ("ComputeTopology/Memory/SizeInMB", "4096"),
    },
    Path {
        path: "ComputeTopology/Processor/Limits",
        kinds: &[Update],
        settings: "ProcessorLimits",
        limits: "Limit from 0 to 100000, Weight from 1 to 10000. Reservation and MaximumFrequencyMHz are refused.",
        sample: ("ComputeTopology/Processor/Limits", r#"{"Limit":50000}"#),
    },
    Path {
        path: "ComputeTopology/Processor/IdledProcessors",
        kinds: &[Update],
        settings: "IdleProcessorsRequest",
        limits: "Fewer than the machine has. It gets as much less time of the host's processors.",
        sample: ("ComputeTopology/Processor/IdledProcessors", r#"{"IdleProcessorCount":1}"#),
    },
    Path {
        path: "Devices/Scsi/CONTROLLER/Attachments/LUN",
        kinds: &[Add, Remove, Update],
        settings: "Attachment; none to remove one",
        limits: "The controller must be in the document; LUN is 0 to 63. Update replaces the medium.",
        sample: ("Devices/Scsi/a/Attachments/7", r#"{"Type":"Iso","Path":"/d.iso"}"#),
    },
    Path {
        path: "Devices/NetworkAdapters/NAME",
        kinds: &[Add, Remove, Update],
        settings: "NetworkAdapter; none to remove one",
        limits: "At most 8. Update plugs the cable in or out (ConnectionState). Removing needs the guest's consent.",
        sample: ("Devices/NetworkAdapters/a", r#"{"ConnectionState":"Disabled"}"#),
    },
    Path {
        path: "Devices/VirtualPMem/Devices/NUMBER",
        kinds: &[Add],
        settings: "VirtualPMemDevice",
        limits: "The machine must have been made with a place. QEMU takes no persistent memory away from a guest.",
        sample: ("Devices/VirtualPMem/Devices/1", r#"{"HostPath":"/d.img","ReadOnly":true}"#),
    },
    Path {
        path: "Devices/VirtualPMem/Devices/NUMBER/Mappings/OFFSET",
        kinds: &[Add, Remove],
        settings: "VirtualPMemMapping; none to remove one",
        limits: "Whole pages of 4096 bytes. The guest only reads.",
        sample: ("Devices/VirtualPMem/Devices/1/Mappings/4096", r#"{"HostPath":"/d.img"}"#),
    },
    Path {
        path: "Devices/SharedMemory/Regions",
        kinds: &[Add, Remove],
        settings: "SharedMemoryRegion",
        limits: "At most 4; a power of two from 4096 bytes on. Removing needs the guest's consent.",
        sample: ("Devices/SharedMemory/Regions", r#"{"SectionName":"a","Length":4096}"#),
    },
    Path {
        path: "Devices/Plan9/Shares",
        kinds: &[Add, Remove],
        settings: "Plan9Share; to remove one its Name will do",
        limits: "It takes an agent in the guest. Port is where one finds it that knows only sockets (UseVsock): by 9P, under its AccessName.",
        sample: ("Devices/Plan9/Shares", r#"{"Name":"a","Path":"/srv"}"#),
    },
    Path {
        path: "Devices/FlexibleIov/INSTANCE",
        kinds: &[Add, Remove],
        settings: "FlexibleIoDevice; none to remove one",
        limits: "A program must host it. 8 if the document has FlexibleIov, otherwise 2. Windows cannot remove one.",
        sample: (
            "Devices/FlexibleIov/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            r#"{"EmulatorId":"872270e1-a899-4af6-b454-7193634435ad","HostingModel":"External"}"#,
        ),
    },
    Path {
        path: "Devices/HvSocket/HvSocketConfig/ServiceTable/SERVICE",
        kinds: &[Add, Remove, Update],
        settings: "HvSocketServiceConfig; none to remove one",
        limits: "The service is a port, XXXXXXXX-facb-11e6-bd58-64006a7986d3. Access is said by the rights of the folder of sockets.",
        sample: ("Devices/HvSocket/HvSocketConfig/ServiceTable/00000400-facb-11e6-bd58-64006a7986d3", "{}"),
    },
    Path {
        path: "Devices/MappedPipes/SOCKET",
        kinds: &[Add, Remove],
        settings: "none",
        limits: "A Unix socket of the host, which becomes a virtio port of the guest. At most 30 ports.",
        sample: ("Devices/MappedPipes//run/a", "null"),
    },
    Path {
        path: "Devices/ComPorts/NUMBER",
        kinds: &[Add, Remove, Update],
        settings: "ComPort; none to disconnect it",
        limits: "NUMBER is 0 or 1.",
        sample: ("Devices/ComPorts/0", r#"{"NamedPipe":"/run/a"}"#),
    },
];

/// The one that the service itself carries out.
const CPU_GROUP: [&str; 4] = [
    "`VirtualMachine/ComputeTopology/Processor/CpuGroup`",
    "any",
    "CpuGroup",
    "An Id of zeros leaves the group. A group with a capacity is refused: that is the machine's own Limit.",
];

/// What the agent in a machine does: the requests, and what for.
const GUEST: &[[&str; 3]] = &[
    ["MappedVirtualDisk", "Add, Remove", "Mounts a disk at a path."],
    ["MappedDirectory", "Add, Remove", "Mounts a share of Plan9 at a path."],
    ["CombinedLayers", "Add, Remove", "Unites layers to the root of a container."],
    ["VPMemDevice", "Add, Remove", "Mounts persistent memory at a path."],
    ["SCSIDevice", "Remove", "Lets a disk go before it is taken away."],
    ["Network", "Add, Remove", "Gives an adapter its addresses, routes and name servers."],
    ["SecurityPolicy", "Add", "Taken if it allows everything; no policy is enforced."],
    ["PodCgroupMemoryLimit", "Update", "Taken without effect: there is no group that all containers are in."],
];

/// The page.
pub fn page() -> Page {
    let mut page = Page::new(
        "resource-paths.md",
        "Resource paths",
        "What HcsModifyComputeSystem (`hcs modify`) can change of a system that is there: `ResourcePath` and `RequestType` of \
         a ModifySettingRequest, and what its `Settings` are. Without a RequestType Update is meant where something is always \
         there, and Add where things come and go. A change that fails has changed nothing.",
    );
    page.heading(2, "Containers");
    table(&mut page, "", CONTAINER, &[]);
    refused(&mut page, "", CONTAINER_REFUSED);
    page.heading(2, "Virtual machines");
    table(&mut page, "VirtualMachine/", MACHINE, &[CPU_GROUP]);
    refused(&mut page, "VirtualMachine/", REFUSED);
    page.heading(2, "Requests for the guest");
    page.paragraph(
        "`GuestRequest` goes to the agent in a virtual machine: alone, or beside a path, then after what the host adds and before what \
         it takes away. What the guest refuses is taken back from it.",
    );
    page.table(["ResourceType", "RequestType", "Meaning"], GUEST.iter().map(|row| row.map(str::to_owned)));
    page
}

fn table(page: &mut Page, before: &str, paths: &[Path], more: &[[&str; 4]]) {
    let rows = paths.iter().map(|path| {
        let kinds: Vec<String> = path.kinds.iter().map(ToString::to_string).collect();
        [
            format!("`{before}{}`", path.path),
            kinds.join(", "),
            path.settings.to_owned(),
            path.limits.to_owned(),
        ]
    });
    let more = more.iter().map(|row| row.map(str::to_owned));
    page.table(["Path", "Requests", "Settings", "Limits"], rows.chain(more));
}

fn refused(page: &mut Page, before: &str, paths: &[(&str, &str)]) {
    page.paragraph("Known, and refused by name:");
    let rows = paths.iter().map(|(path, why)| [format!("`{before}{path}`"), (*why).to_owned()]);
    page.table(["Path", "Why"], rows);
}

#[cfg(test)]
mod tests {
    use hcs_container::change::Change as ContainerChange;
    use hcs_core::{Error, SystemId};
    use hcs_machine::Change as MachineChange;
    use hcs_schema::Any;

    use super::*;

    fn of_container(path: &str, kind: ModifyRequestType, settings: &Any) -> Result<(), Error> {
        ContainerChange::new(path, Some(kind), Some(settings)).expect("a path of containers").map(|_| ())
    }

    fn of_machine(path: &str, kind: ModifyRequestType, settings: &Any) -> Result<(), Error> {
        let system = SystemId::new("vm").unwrap().runtime_id();
        MachineChange::new(path, Some(kind), Some(settings), system).map(|_| ())
    }

    #[test]
    fn the_engines_take_exactly_the_requests_that_the_page_names() {
        type Plan = fn(&str, ModifyRequestType, &Any) -> Result<(), Error>;
        for (paths, plan) in [(CONTAINER, of_container as Plan), (MACHINE, of_machine as Plan)] {
            for path in paths {
                let settings = Any::from_text(path.sample.1).unwrap();
                for kind in ModifyRequestType::ALL {
                    let planned = plan(path.sample.0, *kind, &settings);
                    assert_eq!(
                        planned.is_ok(),
                        path.kinds.contains(kind),
                        "{} {kind}: {planned:?}",
                        path.path
                    );
                }
            }
        }
    }
}
