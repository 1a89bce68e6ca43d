//! `hcs doctor`, where what it tells can be compared with what is so.

use std::fs;

use hcs_tests::{Service, machine};
use serde_json::Value;

#[test]
fn the_service_tells_what_only_it_knows() {
    let service = Service::start();
    let checks = || {
        let output = service.hcs().args(["doctor", "--json"]).output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["Checks"].as_array().unwrap().clone()
    };
    let found = |name: &str| {
        let checks = checks();
        checks
            .iter()
            .find(|check| check["Name"] == name)
            .unwrap_or_else(|| panic!("{name}: {checks:?}"))
            .clone()
    };
    let qemu = machine::qemu();
    let told = found("qemu")["Found"].as_str().unwrap().to_owned();
    assert!(told.contains(qemu.to_str().unwrap()) || !qemu.exists(), "{told}");
    assert!(["Ok", "Warning"].contains(&found("kvm")["State"].as_str().unwrap()));
    let run = service.root().join("run").display().to_string();
    assert!(found("run folder")["Found"].as_str().unwrap().starts_with(&run));
    // The limit that the service has, not this program's.
    let limits = fs::read_to_string(format!("/proc/{}/limits", service.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let most = line.split_whitespace().next().unwrap();
    assert!(found("open files")["Found"].as_str().unwrap().ends_with(most));
    assert_eq!(found("crash reports")["State"], "Ok");
    service.client().submit_crash_report(&Default::default()).wait().unwrap();
    assert_eq!(found("crash reports")["State"], "Warning");
}
