//! Folders of the host that the guest can mount.

use hcs_container::{policy::Notice, shares::SharedFolder};
use hcs_core::{Cause, Error, absolute};
use hcs_schema::{Devices, Plan9Share};
use serde::{Deserialize, Serialize};

use super::Plan;

/// A folder that is shared with a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderShare {
    /// The folder.
    #[serde(flatten)]
    pub folder: SharedFolder,
    /// The port at which it is served by 9P, for guests that find it so ([`Plan::port_of`]).
    #[serde(default)]
    pub port: Option<u32>,
}

/// Bits of a share.
const READ_ONLY: u32 = 0x1;
const USE_SHARE_ROOT_IDENTITY: u32 = 0x10;
const RESTRICT_FILE_ACCESS: u32 = 0x80;
/// Those that ask for what every share here has: owners and rights of Linux, names with case, options of the one who
/// mounts, folders below, any number of connections.
const GRANTED: u32 = 0x4 | 0x8 | 0x20 | 0x40 | 0x100;

/// From this port on they are the agent's, for its bridge and the streams of processes.
const OF_AGENTS: u32 = 0x4000_0000;

/// The longest name of a file.
const LONGEST: usize = 255;

/// Plans the shares; nothing if the machine has none and gets none.
pub fn plan(devices: &Devices) -> Result<Option<Vec<FolderShare>>, Error> {
    let Some(plan9) = &devices.plan9 else { return Ok(None) };
    let mut shares: Vec<FolderShare> = Vec::new();
    for (index, one) in plan9.shares.iter().flatten().enumerate() {
        let at = format!("$.VirtualMachine.Devices.Plan9.Shares[{index}]");
        let planned = share(one, &at)?;
        if shares.iter().any(|other| other.folder.name == planned.folder.name) {
            let detail = format!("found two shares of the name {:?}", planned.folder.name);
            return Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.AccessName")));
        }
        shares.push(planned);
    }
    Ok(Some(shares))
}

/// What a share is called: what the guest mounts it by.
pub fn name(share: &Plan9Share, at: &str) -> Result<String, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let name = given(&share.access_name).or_else(|| given(&share.name)).unwrap_or_default();
    if name.is_empty() || name.len() > LONGEST || name.contains(['/', '\0']) || name == "." || name == ".." {
        let detail = format!("found {name:?}, expected a name as a folder has it");
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.AccessName")));
    }
    Ok(name)
}

/// Plans a share.
pub fn share(share: &Plan9Share, at: &str) -> Result<FolderShare, Error> {
    let flags = share.flags.unwrap_or(0);
    let known = READ_ONLY | RESTRICT_FILE_ACCESS | GRANTED;
    if flags & !known != 0 {
        let detail = match flags & USE_SHARE_ROOT_IDENTITY {
            0 => format!("found {flags:#x}, of which {:#x} is not known", flags & !known),
            _ => {
                "a share is accessed with the identities of the guest, not with that of its folder".to_owned()
            }
        };
        return Err(Error::new(Cause::NotSupported, detail).at(format!("{at}.Flags")));
    }
    let blame = format!("{at}.Path");
    let path = share.path.clone().unwrap_or_default();
    absolute(&path, &blame)?;
    let is_restricted = flags & RESTRICT_FILE_ACCESS != 0;
    let files = share.allowed_files.clone().unwrap_or_default();
    for (index, file) in files.iter().enumerate() {
        let is_below = !file.is_empty()
            && !file.contains('\0')
            && file.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !is_below {
            let detail = format!("found {file:?}, expected a path below that of the share");
            return Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.AllowedFiles[{index}]")));
        }
    }
    let folder = SharedFolder {
        name: name(share, at)?,
        path,
        read_only: flags & READ_ONLY != 0,
        files: is_restricted.then_some(files),
        blame,
    };
    Ok(FolderShare { folder, port: share.port.filter(|port| *port != 0) })
}

/// Checks the ports of a machine's shares, and tells of those that have no effect.
pub(super) fn check(plan: &Plan) -> Result<Vec<Notice>, Error> {
    let mut notices = Vec::new();
    for (index, share) in plan.shares.iter().flatten().enumerate() {
        let path = format!("$.VirtualMachine.Devices.Plan9.Shares[{index}].Port");
        match (share.port, plan.port_of(share)) {
            (_, Some(port)) => check_port(port, &path)?,
            (Some(_), None) => notices.push(Notice {
                path,
                message: "Port has no effect: the agent in the guest finds shares by their names".to_owned(),
            }),
            (None, None) => {}
        }
    }
    Ok(notices)
}

/// Checks a port at which folders are to be served.
pub fn check_port(port: u32, at: &str) -> Result<(), Error> {
    if port < OF_AGENTS {
        return Ok(());
    }
    let detail = format!("found {port}, expected a port below {OF_AGENTS}: the others are the agent's");
    Err(Error::new(Cause::InvalidData, detail).at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Option<Vec<FolderShare>>, Error> {
        plan(&hcs_schema::read::<Devices>(text).unwrap().value)
    }

    #[test]
    fn shares_are_those_of_the_document() {
        assert_eq!(planned("{}").unwrap(), None);
        assert_eq!(planned(r#"{"Plan9":{}}"#).unwrap(), Some(vec![]));
        let shares = planned(
            r#"{"Plan9":{"Shares":[{"Name":"0","AccessName":"data","Path":"/d","Port":564,"Flags":5},
                {"Name":"one","Path":"/e","Flags":128,"AllowedFiles":["a","b/c"]}]}}"#,
        );
        let [data, one] = &shares.unwrap().unwrap()[..] else { panic!("not two") };
        assert_eq!((data.port, one.port), (Some(564), None));
        let (data, one) = (&data.folder, &one.folder);
        assert_eq!(
            (data.name.as_str(), data.path.as_str(), data.read_only, &data.files),
            ("data", "/d", true, &None)
        );
        assert_eq!((one.name.as_str(), one.read_only), ("one", false));
        assert_eq!(one.files.as_deref(), Some(&["a".to_owned(), "b/c".to_owned()][..]));
    }

    #[test]
    fn what_cannot_be_shared_is_refused_where_it_stands() {
        for (share, at) in [
            (r#"{"Path":"/d"}"#, "AccessName"),
            (r#"{"AccessName":"..","Path":"/d"}"#, "AccessName"),
            (r#"{"AccessName":"a/b","Path":"/d"}"#, "AccessName"),
            (r#"{"AccessName":"a","Path":"d"}"#, "Path"),
            (r#"{"AccessName":"a","Path":"/d","Flags":16}"#, "Flags"),
            (r#"{"AccessName":"a","Path":"/d","Flags":1024}"#, "Flags"),
            (r#"{"AccessName":"a","Path":"/d","Flags":128,"AllowedFiles":["../x"]}"#, "AllowedFiles[0]"),
        ] {
            let error = planned(&format!(r#"{{"Plan9":{{"Shares":[{share}]}}}}"#)).unwrap_err();
            let expected = format!("$.VirtualMachine.Devices.Plan9.Shares[0].{at}");
            assert_eq!(error.path.as_deref(), Some(expected.as_str()), "{share}");
        }
    }
}
