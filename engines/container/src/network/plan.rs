//! How a container is attached to a network, as its document says.

use hcs_core::{Cause, Error};
use hcs_schema::{Container, NetworkMode, Networking};
use serde::{Deserialize, Serialize};

use super::resolver::{Resolver, Servers};
use crate::said::{Said, say};

const AT: &str = "$.Container.Networking";
/// The member that wants programs of the host.
pub(super) const MODE: &str = "$.Container.Networking.Linux.Mode";

/// The bridge that is made when it is needed and removed when it is not.
pub const OWN_BRIDGE: &str = "hcs0";

/// The network of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A namespace of its own with nothing but the loopback.
    #[default]
    Own,
    /// That of the host.
    Host,
    /// A namespace that is there.
    Namespace {
        /// The path of its file.
        path: String,
        /// The member of the document that names it.
        blame: String,
    },
    /// A namespace of its own, connected to a bridge of the host.
    Bridge {
        /// The bridge's name.
        name: String,
    },
    /// A namespace of its own, with a program that speaks for it with ordinary sockets.
    User,
}

impl Network {
    /// Whether the container has a namespace of its own.
    pub fn is_own(&self) -> bool {
        !matches!(self, Network::Host | Network::Namespace { .. })
    }
}

/// Plans the network and the resolver's file, if it is written.
pub fn plan(container: &Container) -> Result<(Network, Option<Resolver>), Error> {
    let Some(networking) = &container.networking else { return Ok(Default::default()) };
    let network = network(networking)?;
    let search = search_list(networking)?;
    let servers = match &network {
        Network::Own => Servers::None,
        Network::Host => Servers::OfHost,
        Network::Namespace { path, .. } => Servers::OfNamespace(path.clone()),
        Network::Bridge { .. } | Network::User => Servers::OfHostFromOutside,
    };
    // A container without a network has what its image says, unless the document says more.
    let is_written = network != Network::Own || !search.is_empty();
    Ok((network, is_written.then_some(Resolver { servers, search })))
}

fn network(networking: &Networking) -> Result<Network, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let linux = networking.linux.as_ref();
    let mut namespace = None;
    if let Some(name) = given(&networking.namespace) {
        say(&mut namespace, namespace_path(&name, &format!("{AT}.Namespace"))?, &format!("{AT}.Namespace"))?;
    }
    if let Some(name) = linux.and_then(|linux| given(&linux.namespace)) {
        let at = format!("{AT}.Linux.Namespace");
        say(&mut namespace, namespace_path(&name, &at)?, &at)?;
    }
    let mode = linux.and_then(|linux| linux.mode);
    let name = linux.and_then(|linux| given(&linux.name));
    if let Some(name) = name.as_ref().filter(|_| mode != Some(NetworkMode::Bridge)) {
        return Err(Error::new(Cause::InvalidData, format!("found {name:?} without the Mode \"Bridge\""))
            .at(format!("{AT}.Linux.Name")));
    }
    let network = match (mode, namespace) {
        (None, None) => Network::Own,
        (None | Some(NetworkMode::Namespace), Some(Said { value: path, at: blame })) => {
            return Ok(Network::Namespace { path, blame });
        }
        (Some(NetworkMode::Namespace), None) => {
            return Err(Error::new(Cause::InvalidData, "found no name of the network namespace")
                .at(format!("{AT}.Linux.Namespace")));
        }
        (Some(mode), Some(namespace)) => {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found a namespace beside the Mode \"{mode}\""),
            )
            .at(namespace.at)
            .hint("Say one of them."));
        }
        (Some(NetworkMode::Host), None) => Network::Host,
        (Some(NetworkMode::User), None) => Network::User,
        (Some(NetworkMode::Bridge), None) => Network::Bridge { name: bridge_name(name)? },
        (Some(NetworkMode::Tap), None) => {
            return Err(Error::new(Cause::NotSupported, "a tap device is for virtual machines")
                .at(format!("{AT}.Linux.Mode"))
                .hint("Use Bridge, User, Namespace or Host."));
        }
    };
    Ok(network)
}

/// The file of a network namespace; a name is that of `ip netns`.
pub fn namespace_path(name: &str, at: &str) -> Result<String, Error> {
    let is_plain = !name.contains(['/', '\0']) && name != "." && name != "..";
    match name.strip_prefix('/') {
        Some(rest) if !rest.contains('\0') => Ok(name.to_owned()),
        None if is_plain => Ok(format!("/run/netns/{name}")),
        _ => Err(Error::new(
            Cause::InvalidData,
            format!("found {name:?}, expected the name of a network namespace, or an absolute path"),
        )
        .at(at)),
    }
}

fn bridge_name(name: Option<String>) -> Result<String, Error> {
    let name = name.unwrap_or_else(|| OWN_BRIDGE.to_owned());
    interface_name(&name, &format!("{AT}.Linux.Name")).map(|()| name)
}

/// Refuses what is no name of a network interface.
pub fn interface_name(name: &str, at: &str) -> Result<(), Error> {
    /// IFNAMSIZ without the NUL.
    const LONGEST: usize = 15;
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() <= LONGEST && name.bytes().all(usable) && name != "." && name != ".." {
        return Ok(());
    }
    let detail = format!("found {name:?}, expected at most {LONGEST} letters, digits, '-', '.' or '_'");
    Err(Error::new(Cause::InvalidData, detail).at(at))
}

fn search_list(networking: &Networking) -> Result<Vec<String>, Error> {
    let list = networking.dns_search_list.as_deref().unwrap_or_default();
    let domains: Vec<String> =
        list.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match domains.iter().find(|domain| domain.len() > 253 || !domain.bytes().all(usable)) {
        None => Ok(domains),
        Some(wrong) => {
            Err(Error::new(Cause::InvalidData, format!("found {wrong:?}, expected domains between commas"))
                .at(format!("{AT}.DnsSearchList")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(networking: &str) -> Result<(Network, Option<Resolver>), Error> {
        let text = format!(r#"{{"Container":{{"Networking":{networking}}}}}"#);
        let document = hcs_schema::read::<hcs_schema::ComputeSystem>(&text).unwrap().value;
        plan(&document.container.unwrap())
    }

    #[test]
    fn a_container_without_a_word_about_it_has_the_loopback() {
        assert_eq!(planned("{}").unwrap(), (Network::Own, None));
    }

    #[test]
    fn a_namespace_is_found_by_name_and_by_path() {
        for (text, path) in [("web", "/run/netns/web"), ("/proc/7/ns/net", "/proc/7/ns/net")] {
            let (network, _) = planned(&format!(r#"{{"Namespace":{text:?}}}"#)).unwrap();
            assert_eq!(
                network,
                Network::Namespace { path: path.into(), blame: "$.Container.Networking.Namespace".into() }
            );
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_where_it_stands() {
        for (networking, path) in [
            (r#"{"Namespace":"a/b"}"#, "Namespace"),
            (r#"{"Namespace":"a","Linux":{"Mode":"Host"}}"#, "Namespace"),
            (r#"{"Namespace":"a","Linux":{"Namespace":"b"}}"#, "Linux.Namespace"),
            (r#"{"Linux":{"Mode":"Namespace"}}"#, "Linux.Namespace"),
            (r#"{"Linux":{"Mode":"Tap"}}"#, "Linux.Mode"),
            (r#"{"Linux":{"Mode":"User","Name":"br0"}}"#, "Linux.Name"),
            (r#"{"Linux":{"Mode":"Bridge","Name":"a name"}}"#, "Linux.Name"),
            (r#"{"Linux":{"Mode":"Bridge","Name":"sixteen-letters-"}}"#, "Linux.Name"),
            (r#"{"DnsSearchList":"a b"}"#, "DnsSearchList"),
        ] {
            let error = planned(networking).unwrap_err();
            assert_eq!(error.path.unwrap(), format!("$.Container.Networking.{path}"), "{networking}");
        }
    }

    #[test]
    fn the_search_list_is_split_at_commas() {
        let (_, resolver) = planned(r#"{"DnsSearchList":"corp.example, lab.example,"}"#).unwrap();
        assert_eq!(resolver.unwrap().search, ["corp.example", "lab.example"]);
    }
}
