//! Identifiers: the id of a system, which compares without case, and the GUIDs derived from names.

use std::fmt;

use hcs_schema::Guid;
use sha1_smol::Sha1;

use crate::{cause::Cause, error::Error};

/// Namespace of RuntimeIds that are derived from ids which are no GUIDs.
const RUNTIME_ID_NAMESPACE: &str = "cab70344-facb-41e4-b5e5-ab6592283e6e";
/// Namespace of SCSI controller ids that are derived from names.
const SCSI_CONTROLLER_NAMESPACE: &str = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";

/// The longest id that is accepted. Windows' limit is not documented; clients use at most 70 characters.
pub const MAX_ID_LENGTH: usize = 256;

/// The id of a compute system: any text without control characters, compared without case.
#[derive(Clone, Debug)]
pub struct SystemId {
    text: String,
    key: String,
}

impl SystemId {
    /// Checks an id.
    pub fn new(text: &str) -> Result<SystemId, Error> {
        let wrong = |what: String| Err(Error::new(Cause::InvalidArgument, what));
        if text.is_empty() {
            return wrong("the id is empty".to_owned());
        }
        if text.chars().count() > MAX_ID_LENGTH {
            return wrong(format!("the id is longer than {MAX_ID_LENGTH} characters"));
        }
        if text.chars().any(char::is_control) {
            return wrong("the id contains a control character".to_owned());
        }
        Ok(SystemId { text: text.to_owned(), key: text.to_uppercase() })
    }

    /// The id as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form that is equal for all spellings of one id.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The RuntimeId of the system with this id.
    pub fn runtime_id(&self) -> RuntimeId {
        RuntimeId(self.text.parse().unwrap_or_else(|_| derive(RUNTIME_ID_NAMESPACE, &self.key)))
    }
}

impl PartialEq for SystemId {
    fn eq(&self, other: &SystemId) -> bool {
        self.key == other.key
    }
}

impl Eq for SystemId {}

impl std::hash::Hash for SystemId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The GUID of a system: the id itself when it is a GUID, otherwise derived from it. It names the system's
/// folder, cgroup and accounts, because it is always a safe file name and equal for all spellings of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeId(pub Guid);

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The ids that clients give the controllers of a machine whose agent is to count them, by that count. They are not those
/// that follow from the keys "0" to "3".
pub const COUNTED_SCSI_CONTROLLERS: [&str; 4] = [
    "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
    "0110f83b-de10-5172-a266-78bca56bf50a",
    "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
    "305891a9-b251-5dfe-91a2-c25d9212275b",
];

/// The instance id of a SCSI controller from its key in the document.
pub fn scsi_controller_id(key: &str) -> Guid {
    key.parse().unwrap_or_else(|_| derive(SCSI_CONTROLLER_NAMESPACE, key))
}

/// The id of a device of a machine from its key in the document: no two devices of two machines have the same.
pub fn device_id(system: RuntimeId, key: &str) -> Guid {
    derive(&system.to_string(), key)
}

/// A version 5 UUID over the UTF-16LE bytes of a name.
fn derive(namespace: &str, name: &str) -> Guid {
    let namespace = namespace.parse().unwrap_or(Guid::NIL);
    let mut hash = Sha1::new();
    hash.update(&namespace.as_bytes()[..]);
    for unit in name.encode_utf16() {
        hash.update(&unit.to_le_bytes());
    }
    let digest = hash.digest().bytes();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0F) | 0x50;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    Guid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_ids_equal_those_seen_on_windows() {
        for (id, expected) in [
            ("vmlord-b961b64484554b6289e8e70d6e38f181", "a811a3d9-78e5-5a7d-ba56-4b799c99f150"),
            ("cowork-vm-45f50555", "ed4d837e-aa16-57c4-9c8a-d1027b76533a"),
            ("COWORK-VM-45F50555", "ed4d837e-aa16-57c4-9c8a-d1027b76533a"),
            ("{8636363D-1111-2222-3333-444444444444}", "8636363d-1111-2222-3333-444444444444"),
        ] {
            assert_eq!(SystemId::new(id).unwrap().runtime_id().to_string(), expected, "{id}");
        }
    }

    #[test]
    fn scsi_controller_zero_has_the_known_id() {
        assert_eq!(scsi_controller_id("0").to_string(), "fd1d2cbd-ce7c-535c-966b-eb5f811c95f0");
    }

    #[test]
    fn ids_compare_without_case() {
        assert_eq!(SystemId::new("Web-1").unwrap(), SystemId::new("wEB-1").unwrap());
        assert_ne!(SystemId::new("web-1").unwrap(), SystemId::new("web-2").unwrap());
    }

    #[test]
    fn unusable_ids_are_refused() {
        for id in ["", "a\nb", &"x".repeat(MAX_ID_LENGTH + 1)] {
            assert_eq!(SystemId::new(id).unwrap_err().cause, Cause::InvalidArgument);
        }
    }
}
