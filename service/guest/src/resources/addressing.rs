//! What an adapter is given: addresses, and the ways that lead over it. First it is decided, then done; what cannot be
//! done to its end is undone.

use std::{net::IpAddr, path::Path};

use hcs_container::network::netlink::{Netlink, routing::Route};
use hcs_core::{Cause, Error};
use rustix::io::Errno;

use super::{
    device::{self, said},
    member,
    network::{IpConfig, Network, RouteConfig},
    refused,
};

/// What it is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    pub addresses: Vec<(IpAddr, u8)>,
    pub routes: Vec<Route>,
    /// By how much a packet must be shorter, because others put something around it.
    pub overhead: u32,
}

impl Addressing {
    /// Decides it.
    pub fn new(network: &Network) -> Result<Addressing, Error> {
        for (wanted, name) in [
            (network.policy_based_routing, "PolicyBasedRouting"),
            (network.enable_low_metric, "EnableLowMetric"),
        ] {
            if wanted {
                return Err(refused(name).at(member(name)).hint("Give routes with a Metric instead."));
            }
        }
        let mut addressing = Addressing { overhead: network.encap_overhead, ..Addressing::default() };
        for (index, IpConfig { ip_address, prefix_length }) in network.ip_configs.iter().enumerate() {
            let blame = format!("IPConfigs[{index}]");
            let address = address(ip_address, &format!("{blame}.IPAddress"))?;
            let prefix = prefix(u32::from(*prefix_length), address, &format!("{blame}.PrefixLength"))?;
            addressing.addresses.push((address, prefix));
        }
        for (index, route) in network.routes.iter().enumerate() {
            addressing.routes.extend(read_route(route, &format!("Routes[{index}]"))?);
        }
        Ok(addressing)
    }

    /// Does it, in the namespace of this conversation. `before` is how the interface is.
    pub fn give_to(&self, kernel: &Netlink, interface: &str, before: &Before) -> Result<(), Error> {
        let mut done = Done::default();
        self.attempt(kernel, interface, before, &mut done).inspect_err(|_| {
            // In the reverse order. What cannot be undone is gone with the adapter.
            for route in self.routes[..done.routes].iter().rev() {
                let _ = kernel.remove_route(interface, route);
            }
            for (address, prefix) in self.addresses[..done.addresses].iter().rev() {
                let _ = kernel.remove_address(interface, *address, *prefix);
            }
            if !before.is_up {
                let _ = kernel.take_down(interface);
            }
            if let Some(mtu) = before.mtu.filter(|_| self.overhead != 0) {
                let _ = kernel.set_mtu(interface, mtu);
            }
        })
    }

    fn attempt(
        &self,
        kernel: &Netlink,
        interface: &str,
        before: &Before,
        done: &mut Done,
    ) -> Result<(), Error> {
        let failed = |doing: String| {
            move |errno: Errno| Error::from_errno(errno.raw_os_error(), format!("{doing} {interface}"))
        };
        if let Some(mtu) = before.mtu.filter(|_| self.overhead != 0) {
            let shorter = mtu.saturating_sub(self.overhead);
            kernel
                .set_mtu(interface, shorter)
                .map_err(failed(format!("setting {shorter} as the longest packet of")))?;
        }
        kernel.bring_up(interface).map_err(failed("bringing up".to_owned()))?;
        for (address, prefix) in &self.addresses {
            kernel
                .add_address(interface, *address, *prefix)
                .map_err(failed(format!("giving {address}/{prefix} to")))?;
            done.addresses += 1;
        }
        for route in &self.routes {
            let way = format!("making a route to {}/{} over", route.to, route.prefix);
            kernel.add_route(interface, route).map_err(|errno| {
                let error = failed(way)(errno).at(member("Routes"));
                match errno {
                    Errno::NETUNREACH => {
                        error.hint("A gateway must be in the subnet of an address in IPConfigs, unless it is for everything.")
                    }
                    _ => error,
                }
            })?;
            done.routes += 1;
        }
        Ok(())
    }
}

/// How much was done.
#[derive(Default)]
struct Done {
    addresses: usize,
    routes: usize,
}

/// How an interface is before it is set up.
pub struct Before {
    is_up: bool,
    mtu: Option<u32>,
}

impl Before {
    /// How it is once it has been moved to another namespace: down.
    pub fn moved(self) -> Before {
        Before { is_up: false, ..self }
    }

    /// One of the machine's own namespace, which is the one that is shown in files.
    pub fn of(interface: &str) -> Before {
        let folder = Path::new(device::SYS).join("class/net").join(interface);
        let flags = said(&folder.join("flags"));
        let flags = flags.and_then(|text| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        Before {
            is_up: flags.unwrap_or(0) & 1 != 0,
            mtu: said(&folder.join("mtu")).and_then(|text| text.parse().ok()),
        }
    }
}

/// A route; none if it leads everywhere over nobody, as hosts say that there is none.
fn read_route(route: &RouteConfig, blame: &str) -> Result<Option<Route>, Error> {
    let at = format!("{blame}.DestinationPrefix");
    let (to, bits) = route.destination_prefix.split_once('/').ok_or_else(|| {
        invalid(&at, &route.destination_prefix, "Say an address, a slash and how many bits of it count.")
    })?;
    let to = address(to, &at)?;
    let bits = bits.parse().map_err(|_| invalid(&at, bits, "Say how many bits of the address count."))?;
    let prefix = prefix(bits, to, &at)?;
    let at = format!("{blame}.NextHop");
    let next_hop = match route.next_hop.as_str() {
        "" => None,
        text => Some(address(text, &at)?),
    };
    if next_hop.is_some_and(|hop| hop.is_ipv4() != to.is_ipv4()) {
        return Err(invalid(
            &at,
            &route.next_hop,
            "Say an address of the same family as that of the destination.",
        ));
    }
    if prefix == 0 && next_hop.is_some_and(|hop| hop.is_unspecified()) {
        return Ok(None);
    }
    let gateway = next_hop.filter(|hop| !hop.is_unspecified());
    Ok(Some(Route { to, prefix, gateway, metric: route.metric }))
}

fn address(text: &str, blame: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| invalid(blame, text, "Say an IP address."))
}

fn prefix(bits: u32, address: IpAddr, blame: &str) -> Result<u8, Error> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    u8::try_from(bits)
        .ok()
        .filter(|bits| *bits <= most)
        .ok_or_else(|| invalid(blame, &bits.to_string(), &format!("{address} has {most} bits.")))
}

fn invalid(blame: &str, found: &str, hint: &str) -> Error {
    Error::new(Cause::InvalidArgument, format!("found {found:?}")).at(member(blame)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(text: &str) -> Result<Addressing, Error> {
        Addressing::new(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn addresses_and_routes_are_read() {
        let addressing = decided(
            r#"{"IPConfigs":[{"IPAddress":"192.0.2.9","PrefixLength":24},{"IPAddress":"2001:db8::9","PrefixLength":64}],
                "Routes":[{"NextHop":"192.0.2.1","DestinationPrefix":"0.0.0.0/0"},
                          {"NextHop":"0.0.0.0","DestinationPrefix":"0.0.0.0/0"},
                          {"NextHop":"::","DestinationPrefix":"::/0"},
                          {"DestinationPrefix":"10.0.0.0/8","Metric":7}],
                "EncapOverhead":50}"#,
        )
        .unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(addressing.addresses, [(ip("192.0.2.9"), 24), (ip("2001:db8::9"), 64)]);
        let everywhere = Route { to: ip("0.0.0.0"), prefix: 0, gateway: Some(ip("192.0.2.1")), metric: 0 };
        let beside = Route { to: ip("10.0.0.0"), prefix: 8, gateway: None, metric: 7 };
        assert_eq!((addressing.routes, addressing.overhead), (vec![everywhere, beside], 50));
    }

    #[test]
    fn what_makes_no_sense_is_blamed_on_its_member() {
        for (text, blame) in [
            (r#"{"IPConfigs":[{"IPAddress":"192.0.2","PrefixLength":24}]}"#, "IPConfigs[0].IPAddress"),
            (r#"{"IPConfigs":[{"IPAddress":"192.0.2.9","PrefixLength":33}]}"#, "IPConfigs[0].PrefixLength"),
            (r#"{"Routes":[{"DestinationPrefix":"10.0.0.0"}]}"#, "Routes[0].DestinationPrefix"),
            (r#"{"Routes":[{"DestinationPrefix":"10.0.0.0/x"}]}"#, "Routes[0].DestinationPrefix"),
            (r#"{"Routes":[{"DestinationPrefix":"::/129"}]}"#, "Routes[0].DestinationPrefix"),
            (r#"{"Routes":[{"DestinationPrefix":"::/0","NextHop":"192.0.2.1"}]}"#, "Routes[0].NextHop"),
        ] {
            let error = decided(text).unwrap_err();
            assert_eq!((error.cause, error.path), (Cause::InvalidArgument, Some(member(blame))), "{text}");
        }
    }

    #[test]
    fn other_rules_of_routing_are_refused_by_name() {
        for name in ["PolicyBasedRouting", "EnableLowMetric"] {
            let error = decided(&format!("{{{name:?}:true}}")).unwrap_err();
            assert_eq!((error.cause, error.path), (Cause::NotSupported, Some(member(name))));
        }
    }
}
