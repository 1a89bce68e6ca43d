//! The resource Network: an adapter for the machine itself, or for a container in it.
//!
//! An adapter belongs to a network namespace that the host has named; without a name it is the machine's own. It is moved there
//! and set up at once. A namespace is made when it is first named, by an adapter or by a container, and named as `ip netns`
//! does it, so a container finds it by its path; it goes with its last adapter and its last container. Who asks for addresses
//! by DHCP (by giving none) gets an adapter that is up, and the rest is left to the programs of the machine.

use std::{os::fd::AsFd, path::Path};

use hcs_container::network::{
    namespace::{self, Name},
    netlink::Netlink,
};
use hcs_core::{Cause, Error};
use hcs_gcs::records::NULL_ID;
use hcs_schema::MacAddress;
use rustix::io::Errno;
use serde::Deserialize;

use super::{
    adapter,
    addressing::{Addressing, Before},
    device, member, refused, resolver,
};

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    #[serde(rename = "NamespaceID")]
    pub namespace_id: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub mac_address: String,
    #[serde(rename = "IPConfigs")]
    pub ip_configs: Vec<IpConfig>,
    pub routes: Vec<RouteConfig>,
    #[serde(rename = "DNSSuffix")]
    pub dns_suffix: String,
    #[serde(rename = "DNSServerList")]
    pub dns_server_list: String,
    pub encap_overhead: u32,
    pub policy_based_routing: bool,
    pub enable_low_metric: bool,
    #[serde(rename = "VPCIAssigned")]
    pub vpci_assigned: bool,
}

/// An address.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpConfig {
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    pub prefix_length: u8,
}

/// A route.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteConfig {
    pub next_hop: String,
    pub destination_prefix: String,
    pub metric: u32,
}

/// The adapters that the host has added. Another agent begins without them.
#[derive(Default)]
pub struct Adapters {
    known: Vec<Adapter>,
    /// The namespaces that containers are in, one for each container.
    containers: Vec<Name>,
}

/// One of them: in which namespace, none being the machine's own, and who, in lower case.
#[derive(Debug, PartialEq, Eq)]
struct Adapter {
    namespace: Option<Name>,
    id: String,
}

impl Adapter {
    fn of(network: &Network) -> Result<Adapter, Error> {
        let id = if network.id.is_empty() { &network.mac_address } else { &network.id };
        let namespace = match network.namespace_id.as_str() {
            "" | NULL_ID => None,
            name => Some(Name::new(name).map_err(|error| error.at(member("NamespaceID")))?),
        };
        Ok(Adapter { namespace, id: id.to_lowercase() })
    }
}

impl Adapters {
    /// Waits for an adapter and sets it up.
    pub fn add(&mut self, network: &Network) -> Result<(), Error> {
        let adapter = Adapter::of(network)?;
        if self.known.contains(&adapter) {
            let detail = format!("the adapter {} is in that namespace already", adapter.id);
            return Err(Error::new(Cause::AlreadyExists, detail).at(member("ID")));
        }
        if network.vpci_assigned {
            return Err(refused("VPCIAssigned").at(member("VPCIAssigned")));
        }
        let address = read_address(&network.mac_address)?;
        if network.id.is_empty() && address.is_none() {
            return Err(Error::new(Cause::InvalidArgument, "nothing says which adapter is meant")
                .at(member("MacAddress"))
                .hint("Say MacAddress, or ID under Hyper-V."));
        }
        let addressing = Addressing::new(network)?;
        let names = resolver::text(network)?;
        let what = format!("the adapter {} with the address {:?}", network.id, network.mac_address);
        let interface =
            device::wait(&what, || adapter::interface(Path::new(device::SYS), &network.id, address))?;
        if let Some(names) = names {
            resolver::write(adapter.namespace.as_ref(), &names)?;
        }
        match &adapter.namespace {
            None => {
                let kernel = Netlink::open().map_err(failed("beginning to set up the adapter"))?;
                addressing.give_to(&kernel, &interface, &Before::of(&interface))?;
            }
            Some(name) => {
                move_into(name, &interface, &addressing).inspect_err(|_| self.tidy(name))?;
            }
        }
        self.known.push(adapter);
        Ok(())
    }

    /// Forgets an adapter, which the host is about to unplug. One that is not known is forgotten already.
    pub fn remove(&mut self, network: &Network) -> Result<(), Error> {
        let adapter = Adapter::of(network)?;
        self.known.retain(|known| *known != adapter);
        adapter.namespace.iter().for_each(|name| self.tidy(name));
        Ok(())
    }

    /// A container is about to be made in this namespace.
    pub fn enter(&mut self, name: &Name) -> Result<(), Error> {
        namespace::named(name)?;
        self.containers.push(name.clone());
        Ok(())
    }

    /// One that was is gone.
    pub fn leave(&mut self, name: &Name) {
        if let Some(place) = self.containers.iter().position(|other| other == name) {
            self.containers.swap_remove(place);
        }
        self.tidy(name);
    }

    /// Removes a namespace of nobody.
    fn tidy(&self, name: &Name) {
        let is_of_an_adapter = self.known.iter().any(|known| known.namespace.as_ref() == Some(name));
        if !is_of_an_adapter && !self.containers.contains(name) {
            namespace::remove(name);
        }
    }
}

/// Moves an adapter of the machine into a namespace and sets it up there. What fails leaves it where it was.
fn move_into(name: &Name, interface: &str, addressing: &Addressing) -> Result<(), Error> {
    let doing = format!("moving {interface} into a network namespace");
    let moving = || failed(&doing);
    let there = namespace::named(name)?;
    let home = namespace::here().map_err(moving())?;
    let before = Before::of(interface).moved();
    let inside = namespace::within(there.as_fd(), Netlink::open).map_err(moving())?;
    let new_name = free_name(&inside);
    let own = Netlink::open().map_err(moving())?;
    own.move_to(interface, there.as_fd(), &new_name).map_err(moving())?;
    addressing.give_to(&inside, &new_name, &before).inspect_err(|_| {
        // Where it cannot go back it stays, and is gone with the namespace: the kernel returns it then.
        let _ = inside.move_to(&new_name, home.as_fd(), interface);
    })
}

/// The name of the next interface, as programs in containers expect it.
fn free_name(inside: &Netlink) -> String {
    let mut number = 0;
    loop {
        let name = format!("eth{number}");
        if inside.index(&name) == Err(Errno::NODEV) {
            return name;
        }
        number += 1;
    }
}

fn failed(doing: &str) -> impl Fn(Errno) -> Error + use<'_> {
    move |errno| Error::from_errno(errno.raw_os_error(), doing)
}

fn read_address(text: &str) -> Result<Option<MacAddress>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| {
        Error::new(Cause::InvalidArgument, format!("found {text:?}, which is {error}"))
            .at(member("MacAddress"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Network {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_adapter_is_the_same_however_its_ids_are_written() {
        let of = |text| Adapter::of(&read(text)).unwrap();
        let own = of(r#"{"ID":"2F2A3B4C-0000-0000-0000-00000000000A"}"#);
        let nil = format!(r#"{{"NamespaceID":"{NULL_ID}","ID":"2f2a3b4c-0000-0000-0000-00000000000a"}}"#);
        assert_eq!(own, of(&nil));
        assert_ne!(own, of(r#"{"NamespaceID":"x","ID":"2f2a3b4c-0000-0000-0000-00000000000a"}"#));
        assert_eq!(of(r#"{"MacAddress":"00-15-5D-01-02-03"}"#).id, "00-15-5d-01-02-03");
    }

    #[test]
    fn twice_the_same_adapter_is_an_error_until_it_is_removed() {
        let network = read(r#"{"NamespaceID":"A","ID":"B"}"#);
        let mut adapters = Adapters { known: vec![Adapter::of(&network).unwrap()], ..Adapters::default() };
        let again = read(r#"{"NamespaceID":"a","ID":"b"}"#);
        assert_eq!(adapters.add(&again).unwrap_err().cause, Cause::AlreadyExists);
        adapters.remove(&again).unwrap();
        assert!(adapters.known.is_empty());
        adapters.remove(&again).unwrap();
    }

    #[test]
    fn what_cannot_be_found_is_refused_before_anybody_waits() {
        for (text, cause, name) in [
            (r#"{"ID":"b","VPCIAssigned":true}"#, Cause::NotSupported, "VPCIAssigned"),
            (r#"{"MacAddress":"00155D010203"}"#, Cause::InvalidArgument, "MacAddress"),
            ("{}", Cause::InvalidArgument, "MacAddress"),
        ] {
            let error = Adapters::default().add(&read(text)).unwrap_err();
            assert_eq!((error.cause, error.path), (cause, Some(member(name))), "{text}");
        }
    }
}
