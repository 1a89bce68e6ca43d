//! The resource Network: an adapter for the machine itself, or for a container in it.
//!
//! An adapter belongs to a network namespace that the host has named; without a name it is the machine's own. There it is
//! set up at once. One for a container is only remembered: moving it into the container that has the namespace, and
//! setting it up there, is not done yet. Who asks for addresses by DHCP (by giving none) gets an adapter that is up, and
//! the rest is left to the programs of the machine.

use std::path::Path;

use hcs_core::{Cause, Error};
use hcs_gcs::records::NULL_ID;
use hcs_schema::MacAddress;
use serde::Deserialize;

use super::{adapter, addressing::Addressing, device, member, refused, resolver};

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
pub struct Adapters(Vec<Adapter>);

/// One of them: in which namespace, and who. Both in lower case.
#[derive(Debug, PartialEq, Eq)]
struct Adapter {
    namespace: String,
    id: String,
}

impl Adapter {
    fn of(network: &Network) -> Adapter {
        let id = if network.id.is_empty() { &network.mac_address } else { &network.id };
        let namespace = if network.namespace_id.is_empty() { NULL_ID } else { &network.namespace_id };
        Adapter { namespace: namespace.to_lowercase(), id: id.to_lowercase() }
    }
}

impl Adapters {
    /// Waits for an adapter and sets it up.
    pub fn add(&mut self, network: &Network) -> Result<(), Error> {
        let adapter = Adapter::of(network);
        if self.0.contains(&adapter) {
            let detail =
                format!("the adapter {} is in the namespace {} already", adapter.id, adapter.namespace);
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
        if adapter.namespace == NULL_ID {
            addressing.give_to(&interface)?;
            if let Some(names) = names {
                resolver::write(&names)?;
            }
        }
        self.0.push(adapter);
        Ok(())
    }

    /// Forgets an adapter, which the host is about to unplug. One that is not known is forgotten already.
    pub fn remove(&mut self, network: &Network) -> Result<(), Error> {
        let adapter = Adapter::of(network);
        self.0.retain(|known| *known != adapter);
        Ok(())
    }
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
        let of = |text| Adapter::of(&read(text));
        let own = of(r#"{"ID":"2F2A3B4C-0000-0000-0000-00000000000A"}"#);
        let nil = format!(r#"{{"NamespaceID":"{NULL_ID}","ID":"2f2a3b4c-0000-0000-0000-00000000000a"}}"#);
        assert_eq!(own, of(&nil));
        assert_ne!(own, of(r#"{"NamespaceID":"x","ID":"2f2a3b4c-0000-0000-0000-00000000000a"}"#));
        assert_eq!(of(r#"{"MacAddress":"00-15-5D-01-02-03"}"#).id, "00-15-5d-01-02-03");
    }

    #[test]
    fn twice_the_same_adapter_is_an_error_until_it_is_removed() {
        let network = read(r#"{"NamespaceID":"A","ID":"B"}"#);
        let mut adapters = Adapters(vec![Adapter::of(&network)]);
        let again = read(r#"{"NamespaceID":"a","ID":"b"}"#);
        assert_eq!(adapters.add(&again).unwrap_err().cause, Cause::AlreadyExists);
        adapters.remove(&again).unwrap();
        assert!(adapters.0.is_empty());
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
