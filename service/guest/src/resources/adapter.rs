//! Where a network adapter is. Under Hyper-V it is a device of vmbus with the adapter's id; our own hosts have virtio-net,
//! which is known by its address.

use std::path::Path;

use hcs_schema::{Guid, MacAddress};

use super::device::{names, said};

/// The name of its interface.
pub fn interface(sys: &Path, id: &str, address: Option<MacAddress>) -> Option<String> {
    by_id(sys, id).or_else(|| by_address(sys, address?))
}

fn by_id(sys: &Path, id: &str) -> Option<String> {
    let id: Guid = id.parse().ok()?;
    names(&sys.join(format!("bus/vmbus/devices/{id}/net"))).into_iter().next()
}

fn by_address(sys: &Path, address: MacAddress) -> Option<String> {
    let interfaces = sys.join("class/net");
    // A bridge has the address of an adapter at it, but no device.
    let is_it = |name: &String| {
        let interface = interfaces.join(name);
        let own = said(&interface.join("address")).and_then(|text| text.parse().ok());
        own == Some(address) && interface.join("device").exists()
    };
    names(&interfaces).into_iter().find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    const ID: &str = "2F2A3B4C-0000-0000-0000-00000000000A";

    #[test]
    fn an_adapter_is_known_by_its_id_or_by_its_address() {
        let sys = Recorded::new("adapters");
        for (name, address) in
            [("br0", "00:15:5d:01:02:ff"), ("eth0", "00:15:5d:01:02:03"), ("eth1", "00:15:5d:01:02:ff")]
        {
            sys.file(&format!("class/net/{name}/address"), &format!("{address}\n"));
        }
        sys.folder("class/net/eth0/device").folder("class/net/eth1/device");
        let found = |id, address: &str| interface(sys.path(), id, address.parse().ok());
        assert_eq!(found(ID, "00-15-5D-01-02-FF").as_deref(), Some("eth1"));
        assert_eq!(found("", "00:15:5d:01:02:03").as_deref(), Some("eth0"));
        assert_eq!(found(ID, "00-15-5D-01-02-04"), None);
        assert_eq!(found(ID, ""), None);
        sys.folder(&format!("bus/vmbus/devices/{}/net/eth7", ID.to_lowercase()));
        assert_eq!(found(ID, "00-15-5D-01-02-FF").as_deref(), Some("eth7"));
        // Something that is no id is no way elsewhere.
        assert_eq!(found("../devices", ""), None);
    }
}
