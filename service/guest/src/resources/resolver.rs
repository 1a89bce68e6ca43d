//! Whom the machine asks for names, and the containers in a namespace: /etc/resolv.conf, or a file beside, as `ip netns` has it. What
//! the last adapter says counts.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use hcs_container::network::namespace::Name;
use hcs_core::{Cause, Error};

use super::{member, network::Network};

const FILE: &str = "/etc/resolv.conf";

/// What the file is to say. None: it stays.
pub fn text(network: &Network) -> Result<Option<String>, Error> {
    let mut text = String::new();
    let suffixes: Vec<&str> = list(&network.dns_suffix).collect();
    if !suffixes.is_empty() {
        if let Some(found) = suffixes.iter().find(|suffix| suffix.contains(char::is_whitespace)) {
            return Err(invalid("DNSSuffix", found, "Say names of domains, with commas between them."));
        }
        text += &format!("search {}\n", suffixes.join(" "));
    }
    for server in list(&network.dns_server_list) {
        let server: IpAddr = server
            .parse()
            .map_err(|_| invalid("DNSServerList", server, "Say IP addresses, with commas between them."))?;
        text += &format!("nameserver {server}\n");
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Writes it, for the machine or for a namespace. A container reads it when it is made.
pub fn write(namespace: Option<&Name>, text: &str) -> Result<(), Error> {
    let file = namespace.map_or_else(|| PathBuf::from(FILE), |name| name.settings().join("resolv.conf"));
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, text))
        .map_err(|error| Error::from_io(&error, format!("writing {}", file.display())))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn invalid(name: &str, found: &str, hint: &str) -> Error {
    Error::new(Cause::InvalidArgument, format!("found {found:?}")).at(member(name)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(suffix: &str, servers: &str) -> Result<Option<String>, Error> {
        text(&Network {
            dns_suffix: suffix.to_owned(),
            dns_server_list: servers.to_owned(),
            ..Network::default()
        })
    }

    #[test]
    fn servers_and_suffixes_are_lists() {
        let text = "search a.example b.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n";
        let found = of("a.example,b.example", "192.0.2.53, 2001:db8::53").unwrap();
        assert_eq!(found.as_deref(), Some(text));
        assert_eq!(of("", ",").unwrap(), None);
    }

    #[test]
    fn nothing_else_gets_into_the_file() {
        for (suffix, servers, blame) in
            [("", "dns.example", "DNSServerList"), ("a\nnameserver 192.0.2.66", "", "DNSSuffix")]
        {
            let error = of(suffix, servers).unwrap_err();
            assert_eq!((error.cause, error.path), (Cause::InvalidArgument, Some(member(blame))));
        }
    }
}
