//! The page of events.

use hcs_core::event::EventType;

use crate::page::Page;

/// Who is told, with which data, and what it means.
fn about(event: EventType) -> [&'static str; 3] {
    match event {
        EventType::SystemExited => [
            "systems",
            "SystemExitStatus",
            "The system has ended, and everything that it owned is gone. Told exactly once.",
        ],
        EventType::SystemCrashInitiated => {
            ["systems", "CrashReport", "The guest of a machine has crashed; the dump is being written."]
        }
        EventType::SystemCrashReport => {
            ["systems", "CrashReport", "The dump is whole. HcsSubmitWerReport takes the data as it is."]
        }
        EventType::SystemRdpEnhancedModeStateChanged => {
            ["systems", "none", "Never sent here: guests of Linux have no enhanced mode."]
        }
        EventType::SystemSiloJobCreated => ["systems", "none", "Never sent here: it is reserved."],
        EventType::SystemGuestConnectionClosed => {
            ["systems", "none", "The agent in a machine is gone. The machine goes on."]
        }
        EventType::ProcessExited => {
            ["processes", "ProcessStatus", "The process has ended. Told exactly once."]
        }
        EventType::OperationCallback => [
            "systems and processes",
            "none; the operation is named",
            "A call has completed. Only with HcsEventOptionEnableOperationCallbacks.",
        ],
        EventType::ServiceDisconnect => [
            "systems and processes",
            "none",
            "The service went away and has not come back for ten seconds. A restart of the service within that time is not seen.",
        ],
    }
}

/// The page.
pub fn page() -> Page {
    let mut page = Page::new(
        "events.md",
        "Events",
        "What HcsSetComputeSystemCallback and HcsSetProcessCallback tell. Who begins to listen late misses nothing: an exit that has \
         happened is told at once. On the command line `hcs events` shows them, and `io.hcs.Compute` has them as a stream that begins \
         with the present state and whose numbers have no gaps.",
    );
    page.table(
        ["Event", "Number", "Of", "Data", "Meaning"],
        EventType::ALL.iter().map(|event| {
            let [whose, data, meaning] = about(*event);
            let name = format!("`HcsEvent{event:?}`");
            [name, format!("{:#010x}", *event as u32), whose.to_owned(), data.to_owned(), meaning.to_owned()]
        }),
    );
    page
}
