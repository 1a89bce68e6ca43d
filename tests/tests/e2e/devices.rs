//! Devices of the host in a container.

use hcs::{Cause, schema::Device};
use hcs_tests::Service;

use crate::{output, refused};

fn device(path: &str) -> Device {
    Device::default().location_path(path)
}

#[test]
fn an_assigned_device_is_there_and_works_and_no_other_can_be_made() {
    let service = Service::start();
    let document = service.document_with(|container| {
        container.assigned_devices(vec![device("/dev/fuse"), device("/dev/net/tun")])
    });
    let system = service.running_from("web", &document);
    assert_eq!(output(&system, "stat -c %t:%T /dev/fuse /dev/net/tun"), "a:e5\na:c8\n");
    // Opening is what the device controller guards.
    output(&system, "exec 3<> /dev/fuse && exec 4<> /dev/net/tun");
    output(&system, "! mknod /dev/mem c 1 1 2>/dev/null");
    let plain = service.running(&service.client(), "plain");
    output(&plain, "! test -e /dev/fuse");
}

#[test]
fn what_is_no_device_is_refused_with_its_member() {
    let service = Service::start();
    for (devices, cause, place) in [
        (vec![device("/dev/no-such-device")], Cause::FileNotFound, "AssignedDevices[0].LocationPath"),
        (
            vec![device("/dev/null"), device("/dev/shm")],
            Cause::InvalidData,
            "AssignedDevices[1].LocationPath",
        ),
        (vec![device("/etc/passwd")], Cause::InvalidData, "AssignedDevices[0].LocationPath"),
        (vec![device("/dev/../etc/passwd")], Cause::InvalidData, "AssignedDevices[0].LocationPath"),
        (
            vec![Device::default().type_(hcs::schema::DeviceType::GpuMirror)],
            Cause::NotSupported,
            "AssignedDevices[0].Type",
        ),
    ] {
        let document = service.document_with(|container| container.assigned_devices(devices));
        let error = refused(service.client().create("web", &document).wait(), cause);
        assert!(error.message.contains(place), "{error}");
    }
}
