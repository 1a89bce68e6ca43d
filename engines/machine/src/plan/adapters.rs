//! Network adapters, and how they are attached to the host.

use hcs_core::{Cause, Error, RuntimeId, id::device_id};
use hcs_schema::{Devices, Guid, MacAddress, NetworkAdapter, NetworkMode, StateOverride};
use serde::{Deserialize, Serialize};

/// As many as there are places for.
pub const MOST: u32 = 8;

/// A network adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// What the document calls it.
    pub key: String,
    /// The place that it is plugged into.
    pub slot: u32,
    /// Its address.
    pub mac: String,
    /// Where its packets go.
    pub link: Link,
    /// Whether it has a carrier.
    pub connected: bool,
    /// The member that describes it.
    pub blame: String,
}

/// Where the packets of an adapter go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// Nowhere.
    None,
    /// To a bridge of the host.
    Bridge {
        /// Its name.
        name: String,
    },
    /// To a tap device, which is made if it is not there.
    Tap {
        /// Its name.
        name: String,
        /// The network namespace that it is in, by the path of its file; the host's if there is none.
        namespace: Option<String>,
    },
    /// To a program that speaks for the guest with ordinary sockets.
    User,
}

/// Plans them.
pub fn plan(devices: &Devices, system: RuntimeId) -> Result<Vec<Adapter>, Error> {
    let mut adapters = Vec::new();
    for (key, adapter) in devices.network_adapters.clone().unwrap_or_default() {
        let at = format!("$.VirtualMachine.Devices.NetworkAdapters[{key:?}]");
        let slot = adapters.len() as u32;
        if slot == MOST {
            let detail = format!("found more than {MOST} adapters");
            return Err(Error::new(Cause::InvalidData, detail).at("$.VirtualMachine.Devices.NetworkAdapters"));
        }
        adapters.push(Adapter { slot, ..self::adapter(&key, &adapter, system, &at)? });
    }
    Ok(adapters)
}

/// Plans an adapter, for the first place.
pub fn adapter(key: &str, adapter: &NetworkAdapter, system: RuntimeId, at: &str) -> Result<Adapter, Error> {
    let link = link(adapter, at)?;
    Ok(Adapter {
        key: key.to_owned(),
        slot: 0,
        mac: mac(adapter.mac_address.unwrap_or_else(|| own_address(key, system))),
        connected: link != Link::None && adapter.connection_state != Some(StateOverride::Disabled),
        link,
        blame: at.to_owned(),
    })
}

fn mac(address: MacAddress) -> String {
    address.to_string().replace('-', ":").to_lowercase()
}

/// The same for the same adapter of the same machine, and for no other.
fn own_address(key: &str, system: RuntimeId) -> MacAddress {
    let id = device_id(system, key);
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&id.as_bytes()[10..]);
    // Administered locally, and of one adapter.
    bytes[0] = bytes[0] & 0xfc | 2;
    MacAddress::from_bytes(bytes)
}

fn link(adapter: &NetworkAdapter, at: &str) -> Result<Link, Error> {
    let at = format!("{at}.Linux");
    let wrong =
        |detail: String, member: &str| Error::new(Cause::InvalidData, detail).at(format!("{at}.{member}"));
    let linux = adapter.linux.clone().unwrap_or_default();
    let name = linux.name.filter(|name| !name.is_empty());
    let namespace = linux.namespace.filter(|name| !name.is_empty());
    if namespace.is_some() && linux.mode != Some(NetworkMode::Tap) {
        return Err(wrong("found a namespace without the Mode \"Tap\"".to_owned(), "Namespace"));
    }
    match linux.mode {
        None if adapter.endpoint_id.is_some_and(|id| id != Guid::NIL) => {
            Err(Error::new(Cause::NotSupported, "a host of Linux has no endpoints that an EndpointId could name")
                .at(at.replace(".Linux", ".EndpointId"))
                .hint("Say how the adapter is attached in its Linux member: {\"Mode\":\"Bridge\",\"Name\":\"br0\"}, or Tap, or User."))
        }
        None => Ok(Link::None),
        Some(NetworkMode::Bridge) => {
            let name = name.ok_or_else(|| wrong("found no name of a bridge".to_owned(), "Name"))?;
            interface(&name, &at).map(|()| Link::Bridge { name })
        }
        Some(NetworkMode::Tap) => {
            let name = name.ok_or_else(|| wrong("found no name of a tap device".to_owned(), "Name"))?;
            interface(&name, &at)?;
            let namespace = namespace
                .map(|name| hcs_container::network::namespace_path(&name, &format!("{at}.Namespace")))
                .transpose()?;
            Ok(Link::Tap { name, namespace })
        }
        Some(NetworkMode::User) if name.is_some() => {
            Err(wrong(format!("found {name:?} without a Mode that has names"), "Name"))
        }
        Some(NetworkMode::User) => Ok(Link::User),
        Some(mode) => Err(Error::new(Cause::NotSupported, format!("found the Mode {mode}, which is for containers"))
            .at(format!("{at}.Mode"))
            .hint("Use Bridge, Tap or User.")),
    }
}

fn interface(name: &str, at: &str) -> Result<(), Error> {
    hcs_container::network::interface_name(name, &format!("{at}.Name"))
}
