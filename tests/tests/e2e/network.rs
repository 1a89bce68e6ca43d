//! Networks: none, the host's, one that is there, a bridge, and user mode.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hcs::{
    Cause, System,
    schema::{ComputeSystem, NetworkLinux, NetworkMode, Networking, SystemPropertyQuery, SystemPropertyType},
};
use hcs_tests::{Service, host, processes};
use rustix::process::Signal;

use crate::{output, refused};

fn document(service: &Service, networking: Networking) -> ComputeSystem {
    service.document_with(|container| container.networking(networking))
}

fn by(mode: NetworkMode) -> Networking {
    Networking::default().linux(NetworkLinux::default().mode(mode))
}

/// Runs a program of the host and returns what it says.
fn interface_is_there(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// A machine elsewhere: a namespace that the host reaches and that knows no way back to any container. It serves the
/// file `greeting`.
struct World {
    name: String,
    server: Child,
    folder: PathBuf,
}

/// Where the machine elsewhere is.
const ELSEWHERE: &str = "198.51.100.2";

impl World {
    fn new(service: &Service) -> World {
        let name = format!("hcs-test-{}", std::process::id());
        let folder = service.root().join("world");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("greeting"), "hello from elsewhere\n").unwrap();
        // One that was cut off has left it.
        let _ = Command::new("ip").args(["link", "del", "hcsworld"]).stderr(Stdio::null()).status();
        host("ip", &["netns", "add", &name]);
        host("ip", &["link", "add", "hcsworld", "type", "veth", "peer", "name", "world0", "netns", &name]);
        host("ip", &["addr", "add", "198.51.100.1/24", "dev", "hcsworld"]);
        host("ip", &["link", "set", "hcsworld", "up"]);
        host("ip", &["-n", &name, "addr", "add", &format!("{ELSEWHERE}/24"), "dev", "world0"]);
        host("ip", &["-n", &name, "link", "set", "world0", "up"]);
        let server = Command::new("ip")
            .args(["netns", "exec", &name, "busybox", "httpd", "-f", "-p", "80", "-h"])
            .arg(&folder)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        World { name, server, folder }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        // The server keeps the namespace; with it goes the pair of interfaces.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        let _ = Command::new("ip").args(["link", "del", "hcsworld"]).status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What the machine elsewhere says to a container.
fn greeting(system: &System) -> String {
    // The server may still be starting.
    output(
        system,
        &format!(
            "i=0; until wget -q -O - http://{ELSEWHERE}/greeting; do
                 i=$((i+1)); [ $i -lt 50 ] || exit 1; usleep 100000;
             done"
        ),
    )
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn without_a_word_there_is_the_loopback_and_nothing_else() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    assert_eq!(output(&system, "ls /sys/class/net"), "lo\n");
    assert_eq!(output(&system, "ip -o addr show dev lo | grep -o 127.0.0.1/8"), "127.0.0.1/8\n");
    assert_eq!(
        output(
            &system,
            "(echo heard | nc -l -p 9) & until nc 127.0.0.1 9 2>/dev/null; do usleep 20000; done"
        ),
        "heard\n"
    );
}

#[test]
fn the_network_of_the_host_is_that_of_the_host() {
    let service = Service::start();
    let system = service.running_from("web", &document(&service, by(NetworkMode::Host)));
    let namespace = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(output(&system, "readlink /proc/self/ns/net").trim(), namespace.to_str().unwrap());
    assert_eq!(output(&system, "cat /etc/resolv.conf"), fs::read_to_string("/etc/resolv.conf").unwrap());
    // It can be used, but not changed.
    output(&system, "! ip link add dummy7 type dummy 2>/dev/null && ! ip link set lo down 2>/dev/null");
}

#[test]
fn a_namespace_that_is_there_is_used_by_path_and_by_name() {
    let service = Service::start();
    let mut holder = Command::new("unshare")
        .args(["-n", "sh", "-c", "ip link set lo up; ip link add marker type veth peer name other; read x"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    eventually("no namespace", || fs::read_link(&path).is_ok_and(|found| found != own));
    let name = format!("hcs-named-{}", std::process::id());
    host("ip", &["netns", "attach", &name, &holder.id().to_string()]);
    for (id, namespace) in [("path", path.as_str()), ("name", name.as_str())] {
        let networking =
            Networking::default().namespace(namespace.to_owned()).dns_search_list("a.example".to_owned());
        let system = service.running_from(id, &document(&service, networking));
        eventually("no marker", || output(&system, "ls /sys/class/net").contains("marker"));
        assert!(output(&system, "cat /etc/resolv.conf").contains("search a.example\n"));
        system.terminate().wait().unwrap();
    }
    let linux = NetworkLinux::default().namespace(name.clone());
    let system = service.running_from("linux", &document(&service, Networking::default().linux(linux)));
    assert!(output(&system, "ls /sys/class/net").contains("marker"));
    drop(system);
    host("ip", &["netns", "del", &name]);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn what_is_no_network_is_refused_where_it_stands() {
    let service = Service::start();
    let plain = service.root().join("plain");
    fs::write(&plain, "").unwrap();
    let by_name = |name: &str| Networking::default().namespace(name.to_owned());
    let named = |mode, name: &str| {
        Networking::default().linux(NetworkLinux::default().mode(mode).name(name.to_owned()))
    };
    for (networking, cause, place) in [
        (by_name("no-such-namespace"), Cause::FileNotFound, "Networking.Namespace"),
        (by_name(plain.to_str().unwrap()), Cause::InvalidData, "Networking.Namespace"),
        (by_name("/proc/self/ns/uts"), Cause::InvalidData, "Networking.Namespace"),
        (named(NetworkMode::Bridge, "nobridge"), Cause::NotFound, "Networking.Linux.Name"),
        (named(NetworkMode::Bridge, "lo"), Cause::NotFound, "Networking.Linux.Name"),
        (by(NetworkMode::Tap), Cause::NotSupported, "Networking.Linux.Mode"),
    ] {
        let error = refused(service.client().create("web", &document(&service, networking)).wait(), cause);
        assert!(error.message.contains(place), "{error}");
    }
}

/// All that concerns the host's interfaces, which every service of the host shares, in one test.
#[test]
fn a_bridge_and_user_mode_reach_the_world_and_leave_nothing() {
    let service = Service::start();
    let world = World::new(&service);
    let nothing = service.running(&service.client(), "nothing");
    output(&nothing, &format!("! wget -q -T 1 -O - http://{ELSEWHERE}/greeting 2>/dev/null"));

    let on_bridge = document(&service, by(NetworkMode::Bridge).dns_search_list("corp.example".to_owned()));
    let one = service.running_from("one", &on_bridge);
    let other = service.running_from("other", &on_bridge);
    let address =
        |system: &System| output(system, "ip -o -4 addr show dev eth0 | grep -o '10\\.87\\.[0-9.]*/16'");
    let (first, second) = (address(&one), address(&other));
    assert_ne!(first, second);
    assert_eq!(greeting(&one), "hello from elsewhere\n");
    let first = first.trim().trim_end_matches("/16");
    output(&one, "echo from a neighbour > /tmp/said; httpd -p 7 -h /tmp");
    let ask = format!("until wget -q -O - http://{first}:7/said; do usleep 50000; done");
    assert_eq!(output(&other, &ask), "from a neighbour\n");
    let resolver = output(&one, "cat /etc/resolv.conf");
    assert!(
        resolver.contains("search corp.example\n") && !resolver.contains("nameserver 127."),
        "{resolver}"
    );
    // Another service has a container of the same id, and removes what is left of it.
    let neighbour = Service::start();
    let namesake = neighbour.running(&neighbour.client(), "one");
    processes::signal(neighbour.worker(&namesake), Signal::KILL);
    namesake.wait_blocking().unwrap();
    assert_eq!(greeting(&one), "hello from elsewhere\n");
    one.terminate().wait().unwrap();
    assert!(interface_is_there("hcs0"), "the other container is still there");
    // What a killed worker leaves is removed by the service.
    processes::signal(service.worker(&other), Signal::KILL);
    other.wait_blocking().unwrap();
    eventually("the bridge stays", || !interface_is_there("hcs0"));
    assert!(!host("nft", &["list", "tables"]).contains("table ip hcs"));

    // A host whose nft fails keeps the bridge, but nothing else of the container; who comes next tidies up.
    let last = service.running_from("last", &on_bridge);
    let nft = host("which", &["nft"]);
    host("mount", &["--bind", "/bin/false", nft.trim()]);
    let ended = last.terminate().wait();
    // Afterwards whoever else ends a container may remove it.
    let stays = interface_is_there("hcs0");
    // Somebody may be running it.
    host("umount", &["-l", nft.trim()]);
    ended.unwrap();
    assert!(stays, "the bridge is gone although it could not be taken down");
    let has_cgroups = || {
        service.leftovers().cgroups.iter().any(|path| path.display().to_string().contains(last.runtime_id()))
    };
    eventually("its cgroups stay", || !has_cgroups());
    service.running_from("next", &on_bridge).terminate().wait().unwrap();
    eventually("the bridge stays", || !interface_is_there("hcs0"));

    host("ip", &["link", "add", "hcstestbr", "type", "bridge"]);
    let linux = NetworkLinux::default().mode(NetworkMode::Bridge).name("hcstestbr".to_owned());
    let guest = service.running_from("guest", &document(&service, Networking::default().linux(linux)));
    // The kernel says so a moment after it is.
    let up = "until [ $(cat /sys/class/net/eth0/operstate) = up ]; do usleep 20000; done";
    assert_eq!(output(&guest, &format!("{up}; ip -o -4 addr show dev eth0")), "");
    assert_eq!(fs::read_dir("/sys/class/net/hcstestbr/brif").unwrap().count(), 1);
    guest.terminate().wait().unwrap();
    assert_eq!(fs::read_dir("/sys/class/net/hcstestbr/brif").unwrap().count(), 0);
    host("ip", &["link", "del", "hcstestbr"]);

    let user = service.running_from("user", &document(&service, by(NetworkMode::User)));
    assert_eq!(greeting(&user), "hello from elsewhere\n");
    // Who speaks for it is none of its processes, and is gone with it.
    let query = SystemPropertyQuery::default().property_types(vec![SystemPropertyType::ProcessList]);
    let listed = user.properties(Some(&query)).wait().unwrap().process_list.unwrap();
    assert_eq!(
        listed.iter().filter_map(|process| process.image_name.as_deref()).collect::<Vec<_>>(),
        ["hcs-init"]
    );
    user.pause(None).wait().unwrap();
    user.resume().wait().unwrap();
    assert_eq!(greeting(&user), "hello from elsewhere\n");
    user.terminate().wait().unwrap();
    drop(world);
}
