//! What is behind network adapters: tap devices of the host, and programs that speak for the guest.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use hcs_container::{cgroup::Cgroup, network::tap};
use hcs_core::Error;

use crate::{
    helper::{self, Helper},
    plan::{Adapter, Host, Link},
};

/// A program that speaks for a guest.
pub struct Speaker {
    /// The place of the adapter that it speaks for.
    pub slot: u32,
    _program: Helper,
}

/// What QEMU is given of an adapter's link, and who speaks for it.
pub fn open(
    adapter: &Adapter,
    host: &Host,
    cgroup: &Cgroup,
) -> Result<(Option<OwnedFd>, Option<Speaker>), Error> {
    let opened = match &adapter.link {
        Link::None => return Ok((None, None)),
        Link::Bridge { name } => tap::at_bridge(name).map(|tap| (Some(tap), None)),
        Link::Tap { name, namespace } => tap::named(name, namespace.as_deref()).map(|tap| (Some(tap), None)),
        Link::User => speak(adapter, host, cgroup).map(|(socket, speaker)| (Some(socket), Some(speaker))),
    };
    opened.map_err(|error| error.or_at(format!("{}.Linux", adapter.blame)))
}

fn speak(adapter: &Adapter, host: &Host, cgroup: &Cgroup) -> Result<(OwnedFd, Speaker), Error> {
    let path = helper::find(host, "passt", "passt", &format!("{}.Linux.Mode", adapter.blame))?;
    let (ours, theirs) = helper::conversation(&path)?;
    // The host's own services are not the guest's, and nobody gets to the guest by this.
    let arguments = "passt --foreground --quiet --no-map-gw --tcp-ports none --udp-ports none --fd";
    let mut arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    arguments.push(theirs.as_raw_fd().to_string());
    let program = Helper::start(&path, &arguments, &[theirs.as_fd()], (host, None), cgroup)?;
    Ok((ours, Speaker { slot: adapter.slot, _program: program }))
}
