//! Guests that crash: what is told, what is written down, and how the machine has ended.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use hcs::{
    Cause, Event,
    access::Who,
    schema::{
        ComputeSystem, CrashReport, GuestCrashReporting, NotificationType, SystemExitStatus,
        WindowsCrashPhase, WindowsCrashReporting,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Guest, SHELL},
};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::refused;

/// A machine whose memory is written to this file when it crashes.
fn document(guest: &Guest, dump: Option<WindowsCrashReporting>) -> ComputeSystem {
    guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let reporting = dump.map(|dump| GuestCrashReporting::default().windows_crash_settings(dump));
        let mut devices = devices;
        devices.guest_crash_reporting = reporting;
        machine.devices(devices).stop_on_reset(true)
    })
}

fn next(told: &mut UnboundedReceiver<Event>) -> Event {
    told.blocking_recv().expect("an event")
}

/// What is told of a crash: at its begin, and when everything is done; then the end.
fn crash(told: &mut UnboundedReceiver<Event>) -> (CrashReport, CrashReport, SystemExitStatus) {
    let Event::CrashInitiated(begun) = next(told) else { panic!("something else came first") };
    let Event::CrashReport(report) = next(told) else { panic!("something else came second") };
    let Event::Exited(status) = next(told) else { panic!("something else came third") };
    (begun, report, status)
}

/// A folder in which every machine may write, as nobody but a test would have it.
fn folder(service: &Service) -> std::path::PathBuf {
    let folder = service.root().join("dumps");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn a_guest_that_is_made_to_crash_is_reported_and_its_memory_can_be_read() {
    let service = Service::start();
    let dump = folder(&service).join("guest.core");
    let guest = Guest::make(service.root(), &format!("echo 1 >/proc/sys/kernel/unknown_nmi_panic; {SHELL}"));
    let settings = WindowsCrashReporting::default().dump_file_name(dump.display().to_string());
    let system = service.running_from("vm", &document(&guest, Some(settings)));
    let mut told = system.events();
    let mut console = guest.console();
    console.until("ready");
    system.crash(None).wait().unwrap();
    console.to_the_end();
    let (begun, report, status) = crash(&mut told);
    assert_eq!((begun.system_id.as_deref(), begun.activity_id), (Some("vm"), report.activity_id));
    // What a kernel says within an interrupt of this kind it says later, and there is no later.
    assert!(begun.crash_log.unwrap().contains("ready"));
    assert_eq!(report.status, Some(0));
    let info = report.windows_crash_info.unwrap();
    assert_eq!(info.final_phase, Some(WindowsCrashPhase::Complete));
    assert_eq!(info.dump_file.as_deref(), dump.to_str());
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    assert!(status.attribution.unwrap().iter().any(|record| record.guest_crash.is_some()));
    // A debugger finds the processor and what it did, and the memory is that of a kernel.
    let seen = host(
        "gdb",
        &["-nx", "-batch", "-ex", "info registers rip", "-ex", "info files", "-core", dump.to_str().unwrap()],
    );
    assert!(seen.contains("rip ") && seen.contains("0xffffffff"), "{seen}");
    let bytes = fs::read(&dump).unwrap();
    assert!(bytes.len() >= 192 << 20);
    assert!(bytes.windows(16).any(|window| window == b"Linux version 6."));
    assert!(!Path::new(&format!("{}.partial", dump.display())).exists());
    service.await_nothing_left();
}

#[test]
fn a_dump_that_cannot_be_written_is_told_and_leaves_nothing() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let folder = folder(&service);
    let forbidden = service.root().join("private");
    fs::create_dir(&forbidden).unwrap();
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o700)).unwrap();
    let at = |folder: &Path| {
        WindowsCrashReporting::default().dump_file_name(folder.join("core").display().to_string())
    };
    let wrong = |settings: WindowsCrashReporting| {
        let system = service.running_from("vm", &document(&guest, Some(settings)));
        let mut told = system.events();
        let mut console = guest.console();
        console.until("ready");
        console.type_line("echo c >/proc/sysrq-trigger");
        console.to_the_end();
        let (begun, report, _) = crash(&mut told);
        assert!(begun.crash_log.unwrap().contains("Kernel panic - not syncing: sysrq"));
        service.await_nothing_left();
        (report.status.unwrap(), report.windows_crash_info.unwrap().final_phase)
    };
    assert_eq!(wrong(at(&forbidden)), (Cause::AccessDenied.hresult().0, Some(WindowsCrashPhase::Inactive)));
    assert_eq!(wrong(at(&folder).max_dump_size(1i64 << 20)).1, Some(WindowsCrashPhase::Inactive));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&forbidden).unwrap().count(), 0);
}

/// A guest that may crash at will, as one that is started again each time it has ended.
#[test]
fn a_guest_that_crashes_again_and_again_leaves_one_dump_and_no_link_leads_it_elsewhere() {
    const MEMORY: u64 = 192 << 20;
    const MOST: i64 = 193 << 20;
    let mut service = Service::start();
    service.be_patient();
    let guest = Guest::make(service.root(), "echo ready; read line; echo c >/proc/sysrq-trigger");
    let (folder, victim) = (folder(&service), service.root().join("victim"));
    let core = folder.join("core");
    let settings =
        || WindowsCrashReporting::default().dump_file_name(core.display().to_string()).max_dump_size(MOST);
    let crashed = || {
        let system = service.running_from("vm", &document(&guest, Some(settings())));
        let mut told = system.events();
        let mut console = guest.console();
        console.until("ready");
        console.type_line("");
        console.to_the_end();
        let (_, report, _) = crash(&mut told);
        service.await_nothing_left();
        report.status
    };
    let Who::User(user) = service.client().machine_user("vm").wait().unwrap() else { panic!("no user") };
    let mut before = None;
    for _ in 0..2 {
        assert_eq!(crashed(), Some(0));
        let about = fs::metadata(&core).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "there is more than one dump");
        // The memory, and some headers. It is the machine's own, and nobody else may read what a guest had in mind.
        assert!((MEMORY..MEMORY + (1 << 20)).contains(&about.len()), "{} bytes", about.len());
        assert_eq!((about.uid(), about.permissions().mode() & 0o777), (user, 0o600));
        assert_ne!(before.replace(about.ino()), Some(about.ino()));
    }
    fs::write(&victim, "precious").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o666)).unwrap();
    std::os::unix::fs::symlink(&victim, folder.join("core.partial")).unwrap();
    assert_ne!(crashed(), Some(0));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(before, Some(fs::metadata(&core).unwrap().ino()), "the last whole dump is gone");
}

#[test]
fn without_a_kernel_that_panics_nothing_is_told_and_a_triple_fault_is_called_so() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let client = service.client();
    let system = client.create("vm", &document(&guest, None)).wait().unwrap();
    refused(system.crash(None).wait(), Cause::InvalidState);
    system.start().wait().unwrap();
    let mut told = system.events();
    let mut console = guest.console();
    console.until("ready");
    // A kernel that is not told to panic says so and goes on.
    system.crash(None).wait().unwrap();
    console.until("NMI");
    console.run("echo alive");
    // The kernel resets by a triple fault when it is told to.
    console.type_line("echo triple >/sys/kernel/reboot/type; echo 1 >/sys/kernel/reboot/force; reboot -f");
    console.to_the_end();
    let Event::Exited(status) = next(&mut told) else { panic!("something else came first") };
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    assert!(status.attribution.unwrap().iter().any(|record| record.triple_fault.is_some()));
    service.await_nothing_left();
}
