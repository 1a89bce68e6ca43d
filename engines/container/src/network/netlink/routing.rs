//! Addresses of interfaces, and where they lead.

use std::net::{IpAddr, Ipv4Addr};

use rustix::io::Errno;

use super::{NLM_F_CREATE, NLM_F_EXCL, Netlink, Request};

/// A way to somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: IpAddr,
    /// How many bits of that count; with none of them it leads everywhere.
    pub prefix: u8,
    /// Over whom. None: they are there themselves.
    pub gateway: Option<IpAddr>,
    /// Of two ways the one with less is gone. Zero: what the kernel takes.
    pub metric: u32,
}

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTNH_F_ONLINK: u32 = 4;

impl Netlink {
    /// Gives an interface an address.
    pub fn add_address(&self, name: &str, address: impl Into<IpAddr>, prefix: u8) -> Result<(), Errno> {
        let request = address_of(self.index(name)?, address.into(), prefix);
        self.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Takes an address away from an interface.
    pub fn remove_address(&self, name: &str, address: IpAddr, prefix: u8) -> Result<(), Errno> {
        self.ask(RTM_DELADDR, 0, address_of(self.index(name)?, address, prefix))
    }

    /// Sends everything that has no other way to a gateway.
    pub fn add_default_route(&self, gateway: Ipv4Addr) -> Result<(), Errno> {
        let mut request = route_to(Ipv4Addr::UNSPECIFIED.into(), 0, RT_SCOPE_UNIVERSE, 0);
        request.bytes(RTA_GATEWAY, &gateway.octets());
        self.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Adds a way over an interface.
    pub fn add_route(&self, name: &str, route: &Route) -> Result<(), Errno> {
        self.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, over(self.index(name)?, route))
    }

    /// Takes it away.
    pub fn remove_route(&self, name: &str, route: &Route) -> Result<(), Errno> {
        self.ask(RTM_DELROUTE, 0, over(self.index(name)?, route))
    }
}

fn address_of(index: u32, address: IpAddr, prefix: u8) -> Request {
    let mut request = Request::default();
    request.0.extend([family(address), prefix, 0, 0]);
    request.0.extend(index.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        request.bytes(kind, &octets(address));
    }
    if let IpAddr::V4(address) = address {
        let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        request.bytes(IFA_BROADCAST, &(u32::from(address) | hosts).to_be_bytes());
    }
    request
}

fn over(index: u32, route: &Route) -> Request {
    // A gateway of everything may be outside of the subnet, and is beside the interface all the same.
    let flags = if route.gateway.is_some() && route.prefix == 0 { RTNH_F_ONLINK } else { 0 };
    let scope = if route.gateway.is_some() { RT_SCOPE_UNIVERSE } else { RT_SCOPE_LINK };
    let mut request = route_to(route.to, route.prefix, scope, flags);
    request.bytes(RTA_OIF, &index.to_ne_bytes());
    if let Some(gateway) = route.gateway {
        request.bytes(RTA_GATEWAY, &octets(gateway));
    }
    if route.metric != 0 {
        request.bytes(RTA_PRIORITY, &route.metric.to_ne_bytes());
    }
    request
}

fn route_to(to: IpAddr, prefix: u8, scope: u8, flags: u32) -> Request {
    let mut request = Request::default();
    request.0.extend([family(to), prefix, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST]);
    request.0.extend(flags.to_ne_bytes());
    if prefix != 0 {
        request.bytes(RTA_DST, &octets(to));
    }
    request
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_with_its_broadcast_address_only_where_there_is_one() {
        let request = address_of(7, "192.0.2.9".parse().unwrap(), 28);
        let own = [8, 0, 2, 0, 192, 0, 2, 9, 8, 0, 1, 0, 192, 0, 2, 9];
        let all = [8, 0, 4, 0, 192, 0, 2, 15];
        assert_eq!(request.0, [&[2, 28, 0, 0, 7, 0, 0, 0], &own[..], &all[..]].concat());
        let request = address_of(7, "2001:db8::9".parse().unwrap(), 64);
        assert_eq!((request.0[..4].to_vec(), request.0.len()), (vec![10, 64, 0, 0], 8 + 2 * 20));
    }

    #[test]
    fn a_gateway_of_everything_need_not_be_in_the_subnet() {
        let to = |to: &str, prefix, gateway: Option<&str>| Route {
            to: to.parse().unwrap(),
            prefix,
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            metric: 0,
        };
        let everywhere = over(7, &to("0.0.0.0", 0, Some("169.254.1.1")));
        let oif = [8, 0, 4, 0, 7, 0, 0, 0];
        let gateway = [8, 0, 5, 0, 169, 254, 1, 1];
        assert_eq!(everywhere.0, [&[2, 0, 0, 0, 254, 4, 0, 1, 4, 0, 0, 0], &oif[..], &gateway[..]].concat());
        let beside = over(7, &Route { metric: 9, ..to("10.0.0.0", 8, None) });
        let metric = [8, 0, 6, 0, 9, 0, 0, 0];
        let dst = [8, 0, 1, 0, 10, 0, 0, 0];
        assert_eq!(
            beside.0,
            [&[2, 8, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0], &dst[..], &oif[..], &metric[..]].concat()
        );
    }
}
