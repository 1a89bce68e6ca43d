//! Containers in a virtual machine: their document is a HostedSystem, and becomes the plan of a container like any other.
//! The service plans to see whether it can be; the agent in the machine plans and carries it out.

use hcs_core::{Cause, Error, RuntimeId};
use hcs_schema::{Any, ComputeSystem, Container, HostedSystem, Version};

use crate::{plan::Plan, policy::Notice};

/// Plans a container from a HostedSystem document. The paths in errors and notices begin at that.
pub fn plan(
    text: &str,
    id: &str,
    runtime_id: RuntimeId,
    cgroup_parent: &str,
) -> Result<(Plan, Vec<Notice>), Error> {
    let reading = hcs_schema::read::<HostedSystem>(text)?;
    let mut notices: Vec<Notice> = reading.unknown.iter().map(Notice::from).collect();
    let HostedSystem { schema_version, container, oci_specification, .. } = reading.value;
    check_version(schema_version.as_ref())?;
    let mut container = container.unwrap_or_default();
    let is_beside = oci_specification.is_some();
    if is_beside && container.oci_specification.is_some() {
        return Err(Error::new(
            Cause::InvalidData,
            "found both OciSpecification and Container.OciSpecification",
        )
        .at("$.OciSpecification")
        .hint("Send one of them."));
    }
    container.oci_specification = container.oci_specification.or(oci_specification);
    // Where it was said.
    let place = |path: String| match path.strip_prefix("$.Container.OciSpecification") {
        Some(rest) if is_beside => format!("$.OciSpecification{rest}"),
        _ => path,
    };
    let blamed = |error: Error| Error { path: error.path.clone().map(place), ..error };
    enter_network(&mut container).map_err(blamed)?;
    let document = ComputeSystem::default()
        .schema_version(Version::default().major(2u32).minor(1u32))
        .container(container);
    let text = serde_json::to_string(&document).map_err(|error| {
        Error::new(Cause::Unexpected, format!("writing the container's document: {error}"))
    })?;
    let (plan, more) = Plan::new(&hcs_schema::read(&text)?, id, runtime_id, cgroup_parent).map_err(blamed)?;
    notices.extend(more.into_iter().map(|notice| Notice { path: place(notice.path), ..notice }));
    Ok((plan, notices))
}

/// Has the container enter the network namespace of which the host has said the id: in `Networking`, or where those hosts say it
/// that make a specification as for Windows. Adapters for it are there under the same id, in lower case.
fn enter_network(container: &mut Container) -> Result<(), Error> {
    let of_windows = container.oci_specification.as_mut().and_then(|oci| {
        let name = names_network(oci.windows.as_ref()?)?;
        oci.windows = None;
        Some(name)
    });
    let own = container.networking.as_mut().and_then(|networking| networking.namespace.as_mut());
    match (own, of_windows) {
        (Some(own), Some(other)) if !own.eq_ignore_ascii_case(&other) => {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found {other:?} beside {own:?} in Networking.Namespace"),
            )
            .at("$.Container.OciSpecification.windows.network.networkNamespace"));
        }
        (Some(own), _) if own.starts_with('/') => {}
        (Some(own), _) => own.make_ascii_lowercase(),
        (None, Some(other)) => {
            container.networking.get_or_insert_default().namespace = Some(other.to_lowercase());
        }
        (None, None) => {}
    }
    Ok(())
}

/// The namespace that a section names which says nothing else.
fn names_network(windows: &Any) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Section {
        network: Network,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Network {
        network_namespace: String,
    }
    let section: Section = serde_json::from_str(windows.get()).ok()?;
    Some(section.network.network_namespace).filter(|name| !name.is_empty())
}

fn check_version(version: Option<&Version>) -> Result<(), Error> {
    match version.and_then(|version| version.major) {
        Some(2) => Ok(()),
        found => {
            let found = found.map_or("none".to_owned(), |major| major.to_string());
            // As the bridge says it, which this text goes over.
            Err(Error::new(Cause::InvalidJson, format!("found the schema version {found}, expected 2"))
                .at("$.SchemaVersion")
                .hint("Write it in version 2 of the schema."))
        }
    }
}

#[cfg(test)]
mod tests {
    use hcs_core::SystemId;

    use super::*;
    use crate::network::Network;

    fn planned(text: &str) -> Result<(Plan, Vec<Notice>), Error> {
        let id = SystemId::new("web").unwrap();
        plan(text, id.as_str(), id.runtime_id(), "hcs")
    }

    #[test]
    fn a_hosted_container_is_planned_as_any_other_from_either_form() {
        let (plan, notices) = planned(
            r#"{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"GuestOs":{"HostName":"one"},"Storage":{"Path":"/r"}}}"#,
        )
        .unwrap();
        assert_eq!((plan.host_name.as_str(), plan.root.path.as_str(), notices.len()), ("one", "/r", 0));
        let (plan, notices) = planned(
            r#"{"SchemaVersion":{"Major":2,"Minor":1},"OciBundlePath":"/b","ScratchDirPath":"/b","Strange":1,
                "OciSpecification":{"hostname":"two","root":{"path":"/b/rootfs"},"process":{"args":["sh"],"cwd":"/"}}}"#,
        )
        .unwrap();
        assert_eq!((plan.host_name.as_str(), plan.root.path.as_str()), ("two", "/b/rootfs"));
        assert_eq!(plan.process.unwrap().arguments, ["sh"]);
        assert!(notices.iter().any(|notice| notice.path == "$.Strange"));
    }

    #[test]
    fn the_network_namespace_is_the_same_however_it_is_said() {
        let named =
            |path: &str, blame: &str| Network::Namespace { path: path.to_owned(), blame: blame.to_owned() };
        let with = |more: &str| format!(r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},{more}}}"#);
        let windows =
            r#""OciSpecification":{"root":{"path":"/r"},"windows":{"network":{"networkNamespace":"A-B"}}}"#;
        let own = r#""Container":{"Storage":{"Path":"/r"},"Networking":{"Namespace":"A-B"}}"#;
        for said in [windows, own] {
            let (plan, _) = planned(&with(said)).unwrap();
            assert_eq!(plan.network, named("/run/netns/a-b", "$.Container.Networking.Namespace"), "{said}");
        }
        let both = r#""OciSpecification":{"root":{"path":"/r"},"windows":{"network":{"networkNamespace":"A-B"}}},
                      "Container":{"Networking":{"Namespace":"c"}}"#;
        let error = planned(&with(both)).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("$.OciSpecification.windows.network.networkNamespace"));
        let more = r#""OciSpecification":{"root":{"path":"/r"},"windows":{"network":{"networkNamespace":"A"},"hyperv":{}}}"#;
        let error = planned(&with(more)).unwrap_err();
        assert_eq!(
            (error.cause, error.path.as_deref()),
            (Cause::NotSupported, Some("$.OciSpecification.windows"))
        );
    }

    #[test]
    fn what_is_wrong_is_told_where_it_was_said() {
        for (text, cause, path) in [
            ("{", Cause::InvalidJson, "$"),
            (r#"{"Container":{}}"#, Cause::InvalidJson, "$.SchemaVersion"),
            (
                r#"{"SchemaVersion":{"Major":2,"Minor":1},"OciSpecification":{"root":{"path":"r"}}}"#,
                Cause::InvalidData,
                "$.OciSpecification.root.path",
            ),
            (
                r#"{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Path":"r"}}}"#,
                Cause::InvalidData,
                "$.Container.Storage.Path",
            ),
            (
                r#"{"SchemaVersion":{"Major":2,"Minor":1},"OciSpecification":{},"Container":{"OciSpecification":{}}}"#,
                Cause::InvalidData,
                "$.OciSpecification",
            ),
        ] {
            let error = planned(text).unwrap_err();
            assert_eq!((error.cause, error.path.as_deref()), (cause, Some(path)), "{text}: {error}");
        }
    }
}
