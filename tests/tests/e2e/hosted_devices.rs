//! PCI devices that programs are, as guests see them: the samples of the crate `hdv` within this process, and the one in C in a
//! process of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::Duration,
};

use hcs::{
    Cause, System,
    schema::{
        Any, AttributionRecord, ComputeSystem, Devices, FlexibleIoDevice, FlexibleIoDeviceHostingModel,
        ModifyRequestType, ModifySettingRequest, SaveOptions, SaveType,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Guest, SHELL},
    processes, until,
};
use hdv::{Device, DeviceHost, Guid};

use crate::{c_library, command, contained, output, refused, run as run_in};

#[path = "../../../apps/hdv/examples/sensor/mod.rs"]
mod sensor;
#[path = "../../../apps/hdv/examples/virtio/mod.rs"]
mod virtio;

use sensor::Sensor;
use virtio::{disk::Disk, entropy::Entropy, transport::Virtio};

const CLASS: &str = "872270e1-a899-4af6-b454-7193634435ad";
const INSTANCE: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
const OTHER: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3302";

fn guid(text: &str) -> Guid {
    text.parse().unwrap()
}

/// A line of FlexibleIov.
fn device(instance: &str, model: FlexibleIoDeviceHostingModel) -> (String, FlexibleIoDevice) {
    let device = FlexibleIoDevice::default()
        .emulator_id(guid(CLASS))
        .hosting_model(model)
        .configuration(vec!["tag=share".to_owned(), "queues=2".to_owned()]);
    (instance.to_owned(), device)
}

fn external(instance: &str) -> (String, FlexibleIoDevice) {
    device(instance, FlexibleIoDeviceHostingModel::External)
}

/// A document of a utility machine with these devices, in whose guest there is the reader of the sensor.
fn document(service: &Service, devices: Vec<(String, FlexibleIoDevice)>, modules: &[&str]) -> ComputeSystem {
    let reader = service.rootfs().join("bin/sensor_reader");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c/sensor_reader.c");
    let (source, reader) = (source.display().to_string(), reader.display().to_string());
    host("cc", &["-static", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", &reader, &source]);
    let guest = Guest::utility_with(service.root(), &service.rootfs(), modules);
    let devices: std::collections::BTreeMap<_, _> = devices.into_iter().collect();
    guest.document_with(|machine| {
        let all: Devices = machine.devices.clone().unwrap_or_default();
        machine.guest_connection(hcs::schema::GuestConnection::default()).devices(all.flexible_iov(devices))
    })
}

/// What became of a device, line by line.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Makes a sensor.
fn sensor(host: &DeviceHost, instance: &str) -> (Told, Device) {
    let told = Told::default();
    let lines = told.clone();
    let table: OwnedFd = rustix::fs::memfd_create(
        "table",
        rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING,
    )
    .unwrap();
    rustix::fs::ftruncate(&table, 4096).unwrap();
    let hear = move |line: String| lines.0.lock().unwrap().push(line);
    let device = host.create(guid(CLASS), guid(instance), |own| Sensor::new(own, table, hear)).unwrap();
    (told, device)
}

fn request(
    kind: ModifyRequestType,
    instance: &str,
    model: FlexibleIoDeviceHostingModel,
) -> ModifySettingRequest {
    let path = format!("VirtualMachine/Devices/FlexibleIov/{instance}");
    let request = ModifySettingRequest::default().resource_path(path).request_type(kind);
    match kind {
        ModifyRequestType::Remove => request,
        _ => request.settings(Any::from_value(&device(instance, model).1).unwrap()),
    }
}

fn add(instance: &str) -> ModifySettingRequest {
    request(ModifyRequestType::Add, instance, FlexibleIoDeviceHostingModel::External)
}

fn remove(instance: &str) -> ModifySettingRequest {
    request(ModifyRequestType::Remove, instance, FlexibleIoDeviceHostingModel::External)
}

/// What the sensor does for the guest: samples, memory, a doorbell, a table.
fn try_sensor(system: &System) {
    assert_eq!(
        output(system, "sensor_reader wait; sensor_reader id"),
        "53454e53\n".replace("53454e53", "534e4553")
    );
    let samples = output(system, "sensor_reader samples 4");
    let samples: Vec<u32> = samples.lines().map(|sample| sample.parse().unwrap()).collect();
    assert!(samples.windows(2).all(|pair| pair[1] == pair[0] + 5), "{samples:?}");
    let first = u64::from(samples[3]) + 5;
    let sum: u64 = (0..64).map(|index| first + 5 * index).sum();
    // They were stored, those and no more.
    assert_eq!(output(system, "sensor_reader store"), format!("1 {sum} ffffffff\n"));
    assert_ne!(output(system, "sensor_reader ring 10").trim(), "0");
    let before: u64 = output(system, "sensor_reader table").trim().parse().unwrap();
    assert_eq!(output(system, "sensor_reader table").trim(), (before + 1024).to_string());
}

#[test]
fn a_guest_uses_a_device_that_a_program_is() {
    let mut service = Service::start();
    let client = service.client();
    let document = document(&service, vec![external(INSTANCE)], &[]);
    let system = client.create("vm", &document).wait().unwrap();
    let host = DeviceHost::new(&system).unwrap();
    // One host at a time; who has ended makes room for the next.
    assert_eq!(DeviceHost::new(&system).err().unwrap().cause, Cause::DeviceHostExists);
    drop(host);
    let host = DeviceHost::new(&system).unwrap();
    let (told, device) = sensor(&host, INSTANCE);
    system.start().wait().unwrap();
    let begun = ["Initialize", "SetConfiguration 2 tag=share queues=2", "GetDetails", "Start"];
    assert_eq!(told.take(), begun);
    try_sensor(&system);
    println!(
        "a read takes {} ns (the middle, and at 99 of 100)",
        output(&system, "sensor_reader latency 2000").trim()
    );
    println!("a write, and the read behind: {}", output(&system, "sensor_reader posted 2000").trim());
    assert_eq!(told.take(), [""; 0]);
    share_a_page(&system, &device);

    system.pause(None).wait().unwrap();
    assert_eq!(told.take(), ["Stop"]);
    refused(system.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait(), Cause::NotSupported);
    system.resume().wait().unwrap();
    assert_eq!(told.take()[0], "Start");
    try_sensor(&system);

    // The service has no part in it.
    service.kill();
    service.restart();
    let system = service.client().open("vm").wait().unwrap();
    try_sensor(&system);
    told.take();
    system.terminate().wait().unwrap();
    until("the device to be told", Duration::from_secs(10), || told.0.lock().unwrap().len() >= 2);
    assert_eq!(told.take(), ["Stop", "Teardown"]);
    host.teardown();
    service.await_nothing_left();
}

/// A page of a process in the guest, through a window and by copies.
fn share_a_page(system: &System, device: &Device) {
    let mut reading = run_in(system, &command(&["sensor_reader", "page", "20"]));
    let mut said = BufReader::new(fs::File::from(reading.pipes.stdout.take().unwrap()));
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address: u64 = line.trim().parse().unwrap();
    let mut page = vec![0; 4096];
    device.read_guest(address, &mut page).unwrap();
    assert!(page.chunks(4).all(|word| word == b"page"));
    let window = device.map_guest(address, 4096, true).unwrap().cast::<u32>();
    let refused = device.map_guest(1 << 40, 4096, false).unwrap_err();
    assert_eq!(refused.cause, Cause::InvalidArgument);
    assert_eq!(device.write_guest(u64::MAX - 1, b"four").unwrap_err().cause, Cause::InvalidArgument);
    #[expect(unsafe_code, reason = "looks through a window, as a device does")]
    // SAFETY: the window is a page long, lies at a page, and is open until it is closed below.
    unsafe {
        assert_eq!(window.read_volatile().to_le_bytes(), *b"page");
        window.write_volatile(0x600d_cafe);
    }
    line.clear();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "600dcafe\n");
    device.unmap_guest(window.cast()).unwrap();
}

#[test]
fn a_reset_of_the_guest_and_the_death_of_its_worker_are_told_to_the_device() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let document = guest.document_with(|machine| {
        let all: Devices = machine.devices.clone().unwrap_or_default();
        machine.devices(all.flexible_iov([external(INSTANCE)]))
    });
    let system = service.client().create("vm", &document).wait().unwrap();
    let host = DeviceHost::new(&system).unwrap();
    let (told, device) = sensor(&host, INSTANCE);
    system.start().wait().unwrap();
    told.take();
    let mut console = guest.console();
    console.until("ready");
    console.type_line("reboot -f");
    console.until("ready");
    assert_eq!(told.take()[..2], ["Stop", "Start"]);
    let said = console.run("cat /sys/bus/pci/devices/*/device | grep -c 0x5e50");
    assert!(said.contains('1'), "{said}");
    processes::signal(service.worker(&system), rustix::process::Signal::KILL);
    until("the device to be told", Duration::from_secs(10), || told.0.lock().unwrap().len() >= 2);
    assert_eq!(told.take(), ["Stop", "Teardown"]);
    // It is told before that.
    until("its memory is gone", Duration::from_secs(10), || {
        device.read_guest(0, &mut [0]).is_err_and(|error| error.cause == Cause::InvalidArgument)
    });
    system.wait_blocking().unwrap();
    host.teardown();
    service.await_nothing_left();
}

#[test]
fn devices_come_and_go_while_the_guest_runs() {
    let service = Service::start();
    let client = service.client();
    let document = document(&service, Vec::new(), &[]);
    let system = client.create("vm", &document).wait().unwrap();
    let host = DeviceHost::new(&system).unwrap();
    let (told, _) = sensor(&host, INSTANCE);
    system.start().wait().unwrap();
    refused(system.modify(&remove(INSTANCE)).wait(), Cause::NotFound);
    let error = refused(system.modify(&add(OTHER)).wait(), Cause::Unexpected);
    assert!(error.message.contains(OTHER), "{error}");
    // A host within the process of the client has all rights, and is not asked for devices that have fewer.
    let restricted = FlexibleIoDeviceHostingModel::ExternalRestricted;
    refused(system.modify(&request(ModifyRequestType::Add, INSTANCE, restricted)).wait(), Cause::Unexpected);
    let internal = FlexibleIoDeviceHostingModel::Internal;
    refused(system.modify(&request(ModifyRequestType::Add, INSTANCE, internal)).wait(), Cause::NotSupported);
    assert_eq!(told.take(), [""; 0]);
    let worker = service.worker(&system);
    let open = || -> usize {
        let qemu = processes::children(worker);
        // This process has other tests too.
        let all = qemu.into_iter().chain([worker]);
        all.map(processes::settled_files).sum()
    };
    let mut before = 0;
    for round in 0..10 {
        system.modify(&add(INSTANCE)).wait().unwrap();
        let begun = ["Initialize", "SetConfiguration 2 tag=share queues=2", "GetDetails", "Start"];
        assert_eq!(told.take(), begun);
        refused(system.modify(&add(INSTANCE)).wait(), Cause::AlreadyExists);
        if round == 0 {
            try_sensor(&system);
        } else {
            output(&system, "sensor_reader wait");
        }
        system.modify(&remove(INSTANCE)).wait().unwrap();
        assert_eq!(told.take(), ["Stop", "Teardown"]);
        output(&system, "sensor_reader absent");
        match round {
            1 => before = open(),
            // QEMU closes what it had for a device behind saying that it is gone.
            2.. => until("what the device had is closed", Duration::from_secs(5), || open() <= before),
            _ => {}
        }
    }
    // A device that is made later is found all the same, and many are there at once.
    let more: Vec<String> =
        (0..8).map(|number| format!("3f2504e0-4f89-11d3-9a0c-0305e82c34{number:02}")).collect();
    for instance in &more {
        sensor(&host, instance);
        system.modify(&add(instance)).wait().unwrap();
    }
    let count = "n=0; while [ $(cat /sys/bus/pci/devices/*/device | grep -c 0x5e50) != 8 ]; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done";
    output(&system, count);
    // Their host ends, and they go.
    host.teardown();
    output(&system, "sensor_reader absent");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

/// The devices that are told to have failed.
fn failed(attribution: Option<&[AttributionRecord]>) -> Vec<Guid> {
    let failures =
        attribution.into_iter().flatten().filter_map(|record| record.virtual_device_failure.as_ref());
    failures.filter_map(|failure| failure.instance_id).collect()
}

#[test]
fn a_machine_without_its_device_does_not_start() {
    let service = Service::start();
    let client = service.client();
    let document = document(&service, vec![external(INSTANCE)], &[]);
    let system = client.create("vm", &document).wait().unwrap();
    let error = refused(system.start().wait(), Cause::Unexpected);
    assert!(error.message.contains(INSTANCE) && error.message.contains(CLASS), "{error}");
    assert_eq!(failed(error.document.attribution.as_deref()), [guid(INSTANCE)]);
    system.terminate().wait().unwrap();
    drop(system);
    service.await_nothing_left();
    let (service, container) = contained();
    assert_eq!(DeviceHost::new(&container).err().unwrap().cause, Cause::NotSupported);
    container.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn disks_and_random_numbers_of_a_program_are_those_of_the_guests_own_drivers() {
    use_virtio(128, 2_000);
}

#[test]
#[ignore = "long: a whole gigabyte, and a hundred thousand requests one by one"]
fn a_gigabyte_through_a_disk_of_a_program_is_the_same_and_no_interrupt_is_lost() {
    use_virtio(1024, 100_000);
}

/// So many MiB are copied from one disk to another, and so many reads are made one by one.
fn use_virtio(mib: u64, reads: u64) {
    let service = Service::start();
    let client = service.client();
    let random = "3f2504e0-4f89-11d3-9a0c-0305e82c3303";
    let devices = vec![external(INSTANCE), external(OTHER), external(random)];
    let document = document(&service, devices, &["virtio_blk", "virtio-rng"]);
    let system = client.create("vm", &document).wait().unwrap();
    let host = DeviceHost::new(&system).unwrap();
    let file = |name: &str| {
        let path = service.root().join(name);
        let file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(mib << 20).unwrap();
        file
    };
    let (source, copy) = (file("source"), file("copy"));
    let mut noise = fs::File::open("/dev/urandom").unwrap();
    let mut content = vec![0; 1 << 20];
    for piece in 0..mib {
        std::io::Read::read_exact(&mut noise, &mut content).unwrap();
        source.write_all_at(&content, piece << 20).unwrap();
    }
    let disk = Disk::new(source.try_clone().unwrap()).unwrap();
    let served = disk.served.clone();
    host.create(guid(CLASS), guid(INSTANCE), |own| Virtio::new(own, disk)).unwrap();
    let disk = Disk::new(copy.try_clone().unwrap()).unwrap();
    host.create(guid(CLASS), guid(OTHER), |own| Virtio::new(own, disk)).unwrap();
    host.create(guid(CLASS), guid(random), |own| Virtio::new(own, Entropy)).unwrap();
    system.start().wait().unwrap();

    output(&system, "test -b /dev/vda && test -b /dev/vdb");
    assert_eq!(output(&system, "cat /sys/class/misc/hw_random/rng_current"), "virtio_rng.0\n");
    assert_eq!(output(&system, "head -c 100000 /dev/hwrng | wc -c"), "100000\n");
    let begun = std::time::Instant::now();
    output(&system, "dd if=/dev/vda of=/dev/vdb bs=1M oflag=direct iflag=direct 2>&1; sync");
    println!("{mib} MiB read and written in {:?}", begun.elapsed());
    let mut copied = vec![0; 1 << 20];
    for piece in 0..mib {
        source.read_exact_at(&mut content, piece << 20).unwrap();
        copy.read_exact_at(&mut copied, piece << 20).unwrap();
        assert!(content == copied, "MiB {piece} is another");
    }

    // With one request at a time there is one interrupt for each, and none is lost.
    let interrupts = "awk '/virtio[0-9]*-req/ {sum += $2 + $3} END {print sum}' /proc/interrupts";
    let count = |text: String| text.trim().parse::<u64>().unwrap();
    let before = (count(output(&system, interrupts)), served.load(Ordering::Relaxed));
    output(&system, &format!("dd if=/dev/vda of=/dev/null bs=4096 count={reads} iflag=direct 2>&1"));
    let after = (count(output(&system, interrupts)), served.load(Ordering::Relaxed));
    assert_eq!((after.0 - before.0, after.1 - before.1), (reads, reads));

    // A file system, also over a pause.
    output(&system, "mke2fs /dev/vdb > /dev/null 2>&1 && mkdir -p /disk && mount -t ext4 /dev/vdb /disk");
    output(&system, "head -c 5000000 /dev/urandom > /disk/file && sync && sha256sum /disk/file > /tmp/sum");
    system.pause(None).wait().unwrap();
    system.resume().wait().unwrap();
    output(&system, "umount /disk && mount -t ext4 /dev/vdb /disk && sha256sum -c /tmp/sum && umount /disk");
    system.terminate().wait().unwrap();
    host.teardown();
    service.await_nothing_left();
}

/// The sensor in C, as a process of its own.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Program {
    fn start(command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let said = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let program = Program { child, lines };
        assert_eq!(program.line(), "ready");
        program
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(30)).expect("a line of the program").trim_end().to_owned()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its input, and gives what it says until its end.
    fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take().map(|mut input| input.flush()));
        let said = self.lines.iter().map(|line| line.trim_end().to_owned()).collect();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

#[test]
fn a_device_in_c_works_and_its_death_leaves_the_guest_alive() {
    let service = Service::start();
    let client = service.client();
    let (program, at) = c_library::program(&service, "sensor_device.c");
    let run = || {
        let mut command = Command::new(&program);
        command.args(["vm", CLASS, INSTANCE]).env("LD_LIBRARY_PATH", &at).env("HCS_SOCKET", service.socket());
        Program::start(&mut command)
    };
    let document = document(&service, vec![external(INSTANCE)], &[]);
    let system = client.create("vm", &document).wait().unwrap();
    let host = run();
    system.start().wait().unwrap();
    let begun = ["Initialize", "SetConfiguration 2 tag=share queues=2", "GetDetails", "Start"];
    begun.iter().for_each(|line| assert_eq!(host.line(), *line));
    try_sensor(&system);
    // What can only be read is as it was.
    assert_eq!(output(&system, "sensor_reader name"), "sensor 1\n");
    let done = output(&system, "sensor_reader random 3");
    println!("{} accesses without sense", done.trim());
    system.pause(None).wait().unwrap();
    assert_eq!(host.line(), "Stop");
    system.resume().wait().unwrap();
    assert_eq!(host.line(), "Start");
    try_sensor(&system);
    assert_eq!(output(&system, "sensor_reader name"), "sensor 1\n");

    let mut watching = run_in(&system, &command(&["sensor_reader", "watch"]));
    let mut said = BufReader::new(fs::File::from(watching.pipes.stdout.take().unwrap()));
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "watching\n");
    host.kill();
    line.clear();
    said.read_line(&mut line).unwrap();
    // A device that does not answer reads as ones. It is taken away at once, maybe before it is read again.
    assert!(["ffffffff\n", "gone\n"].contains(&line.as_str()), "{line}");
    // It goes, and comes again with another process.
    output(&system, "sensor_reader absent");
    // The guest lets go of it before it says so.
    until("the machine has forgotten it", Duration::from_secs(10), || {
        system.modify(&remove(INSTANCE)).wait().is_err_and(|error| error.cause == Cause::NotFound)
    });
    let host = run();
    system.modify(&add(INSTANCE)).wait().unwrap();
    begun.iter().for_each(|line| assert_eq!(host.line(), *line));
    try_sensor(&system);
    assert_eq!(host.end(), ["Stop", "Teardown"]);

    // What has become of it is told with the end.
    let status = {
        system.terminate().wait().unwrap();
        system.wait_blocking().unwrap()
    };
    assert!(failed(status.attribution.as_deref()).contains(&guid(INSTANCE)), "{status:?}");
    fs::remove_dir_all(at).unwrap();
    service.await_nothing_left();
}

#[test]
fn a_host_with_fewer_rights_has_devices_by_proxy() {
    let service = Service::start();
    let client = service.client();
    let (program, at) = c_library::program(&service, "sensor_device.c");
    let owner = c_library::build_in(&at, "device_owner.c");
    // It is nobody, and may not speak to the service.
    let nobody = at.join("nobody");
    let line = format!(
        "#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups env -u HCS_SOCKET {} \"$@\"\n",
        program.display()
    );
    fs::write(&nobody, line).unwrap();
    host("chmod", &["755", &nobody.display().to_string(), &service.root().display().to_string()]);
    let restricted = device(INSTANCE, FlexibleIoDeviceHostingModel::ExternalRestricted);
    let document = document(&service, vec![restricted], &[]);
    let system = client.create("vm", &document).wait().unwrap();
    let mut command = Command::new(&owner);
    command.arg("vm").arg(&nobody).args([CLASS, INSTANCE]);
    command.env("LD_LIBRARY_PATH", &at).env("HCS_SOCKET", service.socket());
    let host = Program::start(&mut command);
    system.start().wait().unwrap();
    for line in [
        "Initialize",
        "HdvCreateSectionBackedMmioRange 0x80070005",
        "SetConfiguration 2 tag=share queues=2",
        "GetDetails",
        "Start",
        "HdvRegisterDoorbell 0x80070005",
        "HdvCreateSectionBackedMmioRange 0x80070005",
    ] {
        assert_eq!(host.line(), line);
    }
    // It does in its functions what others have doorbells and sections for.
    try_sensor(&system);
    system.terminate().wait().unwrap();
    assert_eq!(host.end(), ["Stop", "Teardown"]);
    fs::remove_dir_all(at).unwrap();
    service.await_nothing_left();
}

#[test]
#[ignore = "long: a guest does what it likes for a minute"]
fn a_guest_that_writes_without_sense_for_a_minute_ends_nothing() {
    let service = Service::start();
    let document = document(&service, vec![external(INSTANCE)], &[]);
    let system = service.client().create("vm", &document).wait().unwrap();
    let host = DeviceHost::new(&system).unwrap();
    let (told, _device) = sensor(&host, INSTANCE);
    system.start().wait().unwrap();
    told.take();
    println!("{} accesses", output(&system, "sensor_reader random 60").trim());
    try_sensor(&system);
    // Of its life nothing has changed; of interrupts at addresses that are none it was told.
    assert!(told.take().iter().all(|line| line.starts_with("no interrupt")));
    system.terminate().wait().unwrap();
    host.teardown();
    service.await_nothing_left();
}
