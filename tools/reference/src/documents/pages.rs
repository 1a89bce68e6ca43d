//! Which type is on which page: that of the first topic from which it is reached.

use std::collections::BTreeSet;

use hcs_schema::Shape;

use super::{Policies, shape, within};

/// A page of types.
pub struct Topic {
    /// The name of its file.
    pub page: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Whether the service reads none of these.
    pub is_only_written: bool,
    roots: &'static [&'static str],
}

const READ: &str = "`Since` is the level of the schema that brought a member: a version of Windows' schema, `client` for what \
     only clients are known to send, `linux` for additions of ours, `oci` for those of the OCI runtime specification.\n\n\
     `Here` says what becomes of a member. One that is *accepted without effect* is told as a warning (`hcs create`; the query \
     `Warnings`). One that is *refused* fails the call with ERROR_NOT_SUPPORTED and its path. A member that holds what its absence \
     means (false, 0, an empty text or list) asks for nothing and passes. An *honoured* member does what it says, or the call fails \
     by name where a value of it cannot be had here.";

/// The topics, the more special first, as they claim their types.
const TOPICS: &[Topic] = &[
    Topic {
        page: "documents-oci.md",
        title: "Documents: OCI runtime specification",
        about: READ,
        is_only_written: false,
        roots: &["OciSpecification", "OciProcess"],
    },
    Topic {
        page: "documents-processes.md",
        title: "Documents: processes",
        about: READ,
        is_only_written: false,
        roots: &["ProcessParameters", "ProcessModifyRequest", "SignalProcessOptions"],
    },
    Topic {
        page: "documents-containers.md",
        title: "Documents: systems and containers",
        about: READ,
        is_only_written: false,
        roots: &["ComputeSystem", "Container", "HostedSystem"],
    },
    Topic {
        page: "documents-machines.md",
        title: "Documents: virtual machines",
        about: READ,
        is_only_written: false,
        roots: &["VirtualMachine", "ProcessorLimits", "IdleProcessorsRequest", "CpuGroup"],
    },
    Topic {
        page: "documents-calls.md",
        title: "Documents: options, queries and changes",
        about: READ,
        is_only_written: false,
        roots: &[
            "StartOptions",
            "ShutdownOptions",
            "CrashOptions",
            "PauseOptions",
            "SaveOptions",
            "System_PropertyQuery",
            "ConsoleImageQuery",
            "SystemQuery",
            "ModifySettingRequest",
            "GuestModifySettingRequest",
        ],
    },
    Topic {
        page: "documents-service.md",
        title: "Documents: the host service",
        about: READ,
        is_only_written: false,
        roots: &[
            "Service_PropertyQuery",
            "ModificationRequest",
            "HostProcessorModificationRequest",
            "CreateGroupOperation",
            "DeleteGroupOperation",
            "SetPropertyOperation",
        ],
    },
    Topic {
        page: "documents-storage.md",
        title: "Documents: storage",
        about: READ,
        is_only_written: false,
        roots: &["LayerData", "ExportLayerOptions", "OsLayerOptions"],
    },
    Topic {
        page: "documents-results.md",
        title: "Documents: results and events",
        about: "What the service writes: results of calls, data of events, errors. Members that have nothing to tell are left \
                out. CrashReport is read too, by HcsSubmitWerReport, which keeps it as it is.",
        is_only_written: true,
        roots: &[
            "Properties",
            "SystemExitStatus",
            "ProcessStatus",
            "ResultError",
            "CrashReport",
            "ServiceProperties",
            "BasicInformation",
            "ProcessorTopology",
            "CpuGroupConfigurations",
            "QoSCapabilities",
            "ProcessorCapabilitiesInfo",
            "VmProcessorRequirements",
            "ConsoleImage",
            "OperationInfo",
            "IntegrationComponentStatus",
        ],
    },
];

/// Everything else.
const REST: Topic = Topic {
    page: "documents-other.md",
    title: "Documents: types that nothing here looks into",
    about: "These types are read, and a mistake in them is told with its place, because programs send them and Windows has them. \
            What holds them is accepted without effect or refused as a whole, on the page of what holds them; a few belong to \
            calls that are not provided.",
    is_only_written: true,
    roots: &[],
};

/// The topics with their types, in the order in which they are reached.
pub fn place(policies: &Policies) -> Vec<(&'static Topic, Vec<&'static Shape>)> {
    let mut taken = BTreeSet::new();
    let mut placed = Vec::new();
    for topic in TOPICS {
        let mut shapes = Vec::new();
        for root in topic.roots {
            visit(shape(root), topic, policies, &mut taken, &mut shapes);
        }
        placed.push((topic, shapes));
    }
    let rest = hcs_schema::shapes().iter().copied().filter(|shape| !taken.contains(shape.name)).collect();
    placed.push((&REST, rest));
    placed
}

/// Whether a type begins a topic, and so is no other topic's.
fn is_root_of_another(name: &str, topic: &Topic) -> bool {
    !topic.roots.contains(&name) && TOPICS.iter().any(|other| other.roots.contains(&name))
}

fn visit(
    shape: &'static Shape,
    topic: &Topic,
    policies: &Policies,
    taken: &mut BTreeSet<&'static str>,
    shapes: &mut Vec<&'static Shape>,
) {
    if is_root_of_another(shape.name, topic) || !taken.insert(shape.name) {
        return;
    }
    shapes.push(shape);
    for member in shape.members.iter().filter(|member| policies.leads_on(shape, member)) {
        for inner in within((member.kind)()) {
            visit(inner, topic, policies, taken, shapes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_on_one_page() {
        let placed = place(&Policies::new());
        let mut names: Vec<&str> =
            placed.iter().flat_map(|(_, shapes)| shapes.iter().map(|shape| shape.name)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), all), (hcs_schema::shapes().len(), all));
    }
}
