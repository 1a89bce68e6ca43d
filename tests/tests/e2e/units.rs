//! The units of the service, as its service manager reads them.

use std::{fs, path::Path, process::Command};

use hcs_tests::{Service, binaries, folder::Folder, processes};

#[test]
fn the_service_manager_finds_no_fault_in_the_units() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let folder = Folder::new();
    for program in ["hcsd", "hcs-guest"] {
        let (unit, installed) =
            (format!("{program}.service"), format!("ExecStart=/usr/libexec/hcs/{program}\n"));
        let text = fs::read_to_string(units.join(&unit)).unwrap();
        assert!(text.contains(&installed), "{text}");
        // A program that is not there would be a fault.
        let built = format!("ExecStart={}\n", binaries::find(program).display());
        fs::write(folder.join(&unit), text.replace(&installed, &built)).unwrap();
    }
    fs::copy(units.join("hcsd.socket"), folder.join("hcsd.socket")).unwrap();
    let units = ["hcsd.service", "hcsd.socket", "hcs-guest.service"].map(|unit| folder.join(unit));
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units)
        .output()
        .expect("running systemd-analyze");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // Also what it only warns of, such as a directive that it does not know.
    assert!(verified.status.success() && !said.contains("hcsd.") && !said.contains("hcs-guest."), "{said}");
}

#[test]
fn the_service_has_all_descriptors_that_it_may_have_and_its_workers_those_that_it_was_given() {
    let service = Service::start_with_descriptors();
    let limits = |pid: u32| {
        let text = processes::read(pid, "limits");
        let line = text.lines().find(|line| line.starts_with("Max open files")).expect("a limit").to_owned();
        line.split_whitespace().skip(3).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limits(service.pid()), ["4096", "4096"]);
    let client = service.client();
    let system = service.running(&client, "web");
    assert_eq!(limits(service.worker(&system)), ["512", "4096"]);
    assert_eq!(crate::output(&system, "ulimit -Sn; ulimit -Hn"), "512\n4096\n");
}
