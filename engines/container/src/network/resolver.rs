//! What a container's /etc/resolv.conf says.

use std::fs;

use serde::{Deserialize, Serialize};

/// Where it is in a container.
pub const FILE: &str = "/etc/resolv.conf";

/// What the file is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Who is asked.
    pub servers: Servers,
    /// What is appended to a name that is not found. Empty: what the host appends.
    pub search: Vec<String>,
}

/// Where the names of the servers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Servers {
    /// There are none.
    None,
    /// The host's.
    OfHost,
    /// The host's, but those that listen on the host's loopback only.
    OfHostFromOutside,
    /// Those that the host has for the namespace with this path, as `ip netns` does it, else the host's.
    OfNamespace(String),
}

/// The text of the file.
pub fn text(resolver: &Resolver) -> String {
    let host = || fs::read_to_string(FILE).unwrap_or_default();
    let text = match &resolver.servers {
        Servers::None => String::new(),
        Servers::OfHost => host(),
        Servers::OfNamespace(path) => of_namespace(path).unwrap_or_else(host),
        Servers::OfHostFromOutside => {
            let text = host();
            if reachable(&text).contains("nameserver") {
                reachable(&text)
            } else {
                // systemd keeps what its resolver asks itself here.
                fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(text)
            }
        }
    };
    with_search(&text, &resolver.search)
}

fn of_namespace(path: &str) -> Option<String> {
    fs::read_to_string(format!("/etc/netns/{}/resolv.conf", path.strip_prefix("/run/netns/")?)).ok()
}

/// The lines without servers on the loopback.
fn reachable(text: &str) -> String {
    let is_local = |line: &&str| {
        line.strip_prefix("nameserver")
            .map(str::trim)
            .is_some_and(|server| server.starts_with("127.") || server == "::1")
    };
    text.lines().filter(|line| !is_local(line)).flat_map(|line| [line, "\n"]).collect()
}

fn with_search(text: &str, search: &[String]) -> String {
    if search.is_empty() {
        return text.to_owned();
    }
    let is_replaced = |line: &&str| line.starts_with("search") || line.starts_with("domain");
    let kept: String = text.lines().filter(|line| !is_replaced(line)).flat_map(|line| [line, "\n"]).collect();
    format!("{kept}search {}\n", search.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_list_takes_the_place_of_the_hosts() {
        let text = "search home.example\nnameserver 192.0.2.53\n";
        assert_eq!(
            with_search(text, &["a.example".into(), "b.example".into()]),
            "nameserver 192.0.2.53\nsearch a.example b.example\n"
        );
        assert_eq!(with_search(text, &[]), text);
    }

    #[test]
    fn servers_on_the_loopback_are_left_out() {
        assert_eq!(
            reachable("nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.53\noptions edns0\n"),
            "nameserver 192.0.2.53\noptions edns0\n"
        );
    }
}
