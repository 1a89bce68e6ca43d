//! The page of errors: the causes of `ground/core`, with the names that C knows them by, and what to do.

use std::{collections::BTreeMap, path::Path};

use hcs_core::Cause;

use crate::{Outcome, page::Page};

/// What somebody does who gets it.
fn advice(cause: Cause) -> &'static str {
    match cause {
        Cause::TerminatedDuringStart => "See the exit document and the log of the service for why it ended.",
        Cause::ImageMismatch => {
            "The program or the image is for another processor or system; take one for this host."
        }
        Cause::VirtualizationMissing => {
            "`hcs doctor` names what is missing: QEMU 9.0 or newer, or a program beside it."
        }
        Cause::InvalidState => {
            "Bring the system into the state that the error names first, or call after what is under way."
        }
        Cause::UnexpectedExit => {
            "The exit document's Attribution says who is to blame; crashes of machines have a report."
        }
        Cause::Terminated => "Nothing, if you or your document ended it; create it anew.",
        Cause::ConnectFailed => "Is there an agent in the guest? Look at the console of the machine.",
        Cause::ConnectionTimeout => {
            "Look at the console of the machine; give it longer with `hcsd --guest-patience`."
        }
        Cause::ConnectionClosed => {
            "The agent has died or restarted; processes that it had have ended. Start them again."
        }
        Cause::UnknownMessage => "The agent is older than the host; take the one of this release.",
        Cause::UnsupportedProtocolVersion => {
            "Agent, worker and service are of releases too far apart; upgrade one by one."
        }
        Cause::InvalidJson => {
            "The text is cut off or no JSON; the path says where it stops making sense. `hcs validate` shows it."
        }
        Cause::SystemNotFound => "`hcs list` shows those that there are. One that has ended is gone.",
        Cause::SystemAlreadyExists => "Choose another id, or end the one that has it: `hcs kill`.",
        Cause::SystemAlreadyStopped => {
            "Nothing, if you wanted it to end. Its handles only tell of the exit; create it anew."
        }
        Cause::ProtocolError => "The agent is broken or hostile; look at the log of the service.",
        Cause::InvalidLayer => "The folder is no layer, or the archive is damaged; import it anew.",
        Cause::InsiderRequired => "It does not occur here.",
        Cause::ServiceNotAvailable => "Is `hcsd` running, and is HCS_SOCKET or HCS_ROOT that of it?",
        Cause::OperationNotStarted => "Use the operation in a call first.",
        Cause::OperationAlreadyStarted => "Wait for the call that it tracks, or make another operation.",
        Cause::OperationPending => "Wait for it: HcsWaitForOperationResult.",
        Cause::OperationTimeout => {
            "The call carries on; wait again. `hcs operation list` shows the step that it is in."
        }
        Cause::CallbackAlreadySet => "Have one party told: the handle's callback or the operation's.",
        Cause::ResultAllocationFailed => "Free memory, and read the result again.",
        Cause::NotPrivileged => "Be root, or in the group `hcs`.",
        Cause::GuestCriticalError => "Look at the console of the machine.",
        Cause::ProcessInfoNotAvailable => {
            "The result is of another kind of call; read it with HcsGetOperationResult."
        }
        Cause::ServiceDisconnect => {
            "The service has not come back for ten seconds. Look whether it runs, and connect anew."
        }
        Cause::ProcessAlreadyStopped => {
            "Nothing, if you wanted it to end; its exit code is in ProcessStatus."
        }
        Cause::NotConfigured => "Name in the document what the call needs, such as GuestConnection.",
        Cause::OperationAlreadyCancelled => "Wait for it to complete.",
        Cause::DeviceHostExists => "One host per machine; further ones come by HdvProxyDeviceHost.",
        Cause::ChangedState => "The handle is of no use any more; make the object anew.",
        Cause::NotImplemented => "There is nothing to be cancelled, or the call does not exist here.",
        Cause::Unexpected => "It is a fault of ours: report it with the log of the service.",
        Cause::FileNotFound => {
            "The member or the argument names the file; is it there, as the service sees it?"
        }
        Cause::PathNotFound => {
            "A folder of the path is missing, is no folder, or its links go round in circles."
        }
        Cause::TooManyOpenFiles => "Close handles and connections, or raise the limit (RLIMIT_NOFILE).",
        Cause::AccessDenied => "Rights of the file: for a machine `hcs access grant`, HcsGrantVmAccess.",
        Cause::InvalidHandle => "The handle is closed, NULL, or of another kind.",
        Cause::InvalidData => {
            "The path says which member, the detail what was found and what would have been right."
        }
        Cause::OutOfMemory => "The host, or the limit of the system, has no more. Raise Memory.SizeInMB.",
        Cause::InUse => "Somebody uses it: the error says what. End that first.",
        Cause::NotSupported => "The error names the member and why; leave it out, or do as its hint says.",
        Cause::FileExists => "Choose another path, or remove the file.",
        Cause::InvalidArgument => "A required argument is missing or a handle is not valid.",
        Cause::BrokenPipe => "The other side has closed its end.",
        Cause::DiskFull => "Free space; nothing half made was left behind.",
        Cause::AlreadyExists => "Choose another name, or remove what is there.",
        Cause::NotFound => "What is to be changed or removed is not there (any more).",
        Cause::Cancelled => "Nothing: it is what was asked for.",
        Cause::DeadlineExceeded => {
            "The error names the step that took too long; is the host overloaded, or a file system hanging?"
        }
        Cause::NotEnoughQuota => "End something, or raise the limit that the error names.",
        Cause::EndpointAlreadyAttached => "Remove the adapter first.",
    }
}

/// The page.
pub fn page(headers: &Path) -> Outcome<Page> {
    let names = names(headers)?;
    let mut page = Page::new(
        "errors.md",
        "Errors",
        "Every failure has one of these causes. C programs get the HRESULT, and a ResultError document with the rest: the detail, the \
         path of the member to blame, a hint. On the wire the cause is the error `io.hcs.Compute.CAUSE`; the command line tells \
         it on its standard error.",
    );
    page.table(
        ["HRESULT", "In C", "Cause", "Meaning", "What to do"],
        Cause::ALL.iter().map(|cause| {
            let code = cause.hresult().code();
            let in_c: Vec<String> =
                names.get(&code).into_iter().flatten().map(|name| format!("`{name}`")).collect();
            [
                format!("`{code:#010X}`").replace("0X", "0x"),
                in_c.join(", "),
                cause.name().to_owned(),
                cause.text().to_owned(),
                advice(*cause).to_owned(),
            ]
        }),
    );
    Ok(page)
}

/// The names that the headers have for codes.
fn names(headers: &Path) -> Outcome<BTreeMap<u32, Vec<String>>> {
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for header in ["ComputeDefs.h", "HcsPlatform.h"] {
        let path = headers.join(header);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (name, code) in text.lines().filter_map(defined) {
            found.entry(code).or_default().push(name);
        }
    }
    Ok(found)
}

/// The name and the HRESULT of a line such as `#define ERROR_NOT_FOUND 1168u`.
fn defined(line: &str) -> Option<(String, u32)> {
    let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
    if let Some(hresult) = value.strip_prefix("_HRESULT_TYPEDEF_(0x") {
        let digits = hresult.split_once('u')?.0;
        return Some((name.to_owned(), u32::from_str_radix(digits, 16).ok()?));
    }
    let number: u32 = value.strip_suffix('u')?.parse().ok()?;
    (name.starts_with("ERROR_") && number != 0)
        .then(|| (format!("HRESULT_FROM_WIN32({name})"), 0x8007_0000 | number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_read_in_either_form() {
        let read = |line| defined(line).map(|(name, code)| (name, format!("{code:08x}")));
        assert_eq!(
            read("#define HCS_E_TERMINATED _HRESULT_TYPEDEF_(0x80370107u) /* ended */"),
            Some(("HCS_E_TERMINATED".to_owned(), "80370107".to_owned()))
        );
        assert_eq!(
            read("#define ERROR_NOT_FOUND 1168u"),
            Some(("HRESULT_FROM_WIN32(ERROR_NOT_FOUND)".to_owned(), "80070490".to_owned()))
        );
        assert_eq!(read("#define INFINITE 0xFFFFFFFFu"), None);
    }
}
