//! Processes in a virtual machine, beside the bare port: a process that does nothing, what it says, what it reads from a
//! shared folder; and how soon a clone runs its first.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use hcs::{
    System,
    schema::{
        Any, GuestConnection, ModifyRequestType, ModifySettingRequest, Plan9, Plan9Share, ProcessParameters,
        RestoreState, SaveOptions, SaveType, VirtioSerial, VirtioSerialPort,
    },
};
use hcs_tests::{
    machine::{self, Guest, with_memory},
    rootfs,
};

use crate::{
    Outcome,
    figures::Figure,
    report::Report,
    samples::{Samples, in_turns, timed},
    service::Service,
};

const ROUNDS: usize = 31;
const MUCH: u64 = 100_000_000;

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    let qemu = machine::qemu();
    report.has(&qemu);
    let service = Service::start_for_machines(&qemu)?;
    let tree = service.folder().join("tree");
    rootfs::make(&tree);
    let guest = Guest::utility(service.folder(), &tree).with_packed_kernel();
    let shared = service.folder().join("shared");
    fs::create_dir_all(&shared)?;
    let mut bytes = File::create(shared.join("much"))?;
    for _ in 0..MUCH / 1_000_000 {
        bytes.write_all(&[b'x'; 1_000_000])?;
    }
    let port = service.folder().join("port");
    let document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let raw = VirtioSerialPort::default().named_pipe(port.display().to_string()).name("raw");
        let serial = VirtioSerial::default().ports([("0".to_owned(), raw)]);
        with_memory(machine, 512)
            .devices(devices.virtio_serial(serial).plan9(Plan9::default()))
            .guest_connection(GuestConnection::default())
    });
    let system = service.client()?.create("vm", &document).wait()?;
    system.start().wait()?;
    processes(report, &system, &port)?;
    words(report, &system, &port)?;
    folder(report, &system, &shared)?;
    system.terminate().wait()?;
    first_of_clone(report, &service, &guest)
}

fn script(text: &str) -> ProcessParameters {
    let words = ["sh", "-c", text].map(str::to_owned).to_vec();
    ProcessParameters::default().command_args(words).create_std_out_pipe(true)
}

/// What a process says.
fn said(system: &System, text: &str) -> Outcome<String> {
    let mut process = system.run(&script(text)).wait()?;
    let mut said = String::new();
    File::from(process.pipes.stdout.take().ok_or("no pipe")?).read_to_string(&mut said)?;
    match process.wait_blocking()?.exit_code {
        Some(0) => Ok(said),
        code => Err(format!("{text}: {code:?}").into()),
    }
}

/// Where the guest finds the bare port.
const PORT: &str = "port=/dev/$(grep -lx raw /sys/class/virtio-ports/*/name | cut -d/ -f5)";

fn processes(report: &mut Report, system: &System, port: &Path) -> Outcome {
    // As many as can be told from the time that a shell takes for itself.
    let each = said(
        system,
        "t() { cut -d' ' -f1 /proc/uptime | tr -d .; }; a=$(t); for n in $(seq 200); do /bin/true; done; b=$(t); echo $((b - a))",
    )?;
    let fork_and_exec = Duration::from_millis(each.trim().parse::<u64>()? * 10 / 200);
    let echo = system.run(&script(&format!("{PORT}; exec 3<>$port; exec cat <&3 >&3"))).wait()?;
    let mut bare = bare_port(port)?;
    let mut round = || {
        timed(|| {
            bare.write_all(b"x")?;
            Ok(bare.read_exact(&mut [0])?)
        })
    };
    // The first finds nobody there yet.
    round()?;
    let nothing = ProcessParameters::default().command_args(vec!["true".to_owned()]);
    let run = || {
        timed(|| {
            let process = system.run(&nothing).wait()?;
            process.wait_blocking()?;
            Ok(())
        })
    };
    run()?;
    let [ours, bare] = in_turns(ROUNDS, run, round)?;
    echo.kill().wait()?;
    echo.wait_blocking()?;
    report.note(
        Figure::new("a process in a machine, to its end", &ours).beside("a round on the bare port", &bare),
    );
    let both = bare.median() + fork_and_exec;
    let process = Figure::new("a process in a machine, to its end", &ours);
    report.note(process.beside("that and the guest's own fork and exec", both).promised("guest-process")?);
    Ok(())
}

/// The other end of the bare port. Who waits for it for longer than this waits for ever.
fn bare_port(port: &Path) -> Outcome<UnixStream> {
    let bare = UnixStream::connect(port)?;
    bare.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(bare)
}

fn words(report: &mut Report, system: &System, port: &Path) -> Outcome {
    const TIMES: usize = 5;
    let ours = || {
        timed(|| {
            let mut process = system.run(&script(&format!("head -c {MUCH} /dev/zero"))).wait()?;
            take(&mut File::from(process.pipes.stdout.take().ok_or("no pipe")?))
        })
    };
    let mut bare = bare_port(port)?;
    let by_port = || {
        timed(|| {
            let process = system.run(&script(&format!("{PORT}; head -c {MUCH} /dev/zero >$port"))).wait()?;
            take(&mut Read::by_ref(&mut bare).take(MUCH))?;
            process.wait_blocking()?;
            Ok(())
        })
    };
    let [ours, bare] = in_turns(TIMES, ours, by_port)?;
    let words = Figure::new("100 MB that a process in a machine says", &ours);
    report.note(words.beside("100 MB by the bare port", &bare).promised("guest-words")?);
    Ok(())
}

fn take(from: &mut impl Read) -> Outcome {
    let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
    loop {
        match from.read(&mut buffer)? {
            0 if total == MUCH => return Ok(()),
            0 => return Err(format!("{total} bytes of {MUCH}").into()),
            length => total += length as u64,
        }
    }
}

/// The same file by the share as its agent mounts it, and by one that is mounted by hand.
fn folder(report: &mut Report, system: &System, shared: &Path) -> Outcome {
    const TIMES: usize = 5;
    let share = Plan9Share::default().access_name("much").path(shared.display().to_string());
    let guest = serde_json::json!({"RequestType": "Add", "ResourceType": "MappedDirectory",
        "Settings": {"MountPath": "/mnt/much", "ShareName": "much"}});
    let request = ModifySettingRequest::default()
        .resource_path("VirtualMachine/Devices/Plan9/Shares")
        .request_type(ModifyRequestType::Add)
        .settings(Any::from_value(&share)?)
        .guest_request(Any::from_value(&guest)?);
    system.modify(&request).wait()?;
    // Linux gives who mounts it once more what it has mounted last, which is the share.
    said(system, "mkdir -p /mnt/hand && mount -t virtiofs hcs /mnt/hand && test -f /mnt/hand/much")?;
    let read = |place: &str| {
        let line = format!("echo 3 >/proc/sys/vm/drop_caches; dd if={place}/much of=/dev/null bs=1M");
        timed(|| said(system, &line).map(drop))
    };
    let [ours, by_hand] = in_turns(TIMES, || read("/mnt/much"), || read("/mnt/hand"))?;
    let folder = Figure::new("100 MB from a shared folder", &ours);
    report.note(folder.beside("100 MB from one mounted by hand", &by_hand).promised("guest-folder")?);
    Ok(())
}

fn first_of_clone(report: &mut Report, service: &Service, guest: &Guest) -> Outcome {
    const CLONES: usize = 9;
    let template = guest.document_with(|machine| machine.guest_connection(GuestConnection::default()));
    let system = service.client()?.create("template", &template).wait()?;
    system.start().wait()?;
    said(&system, "true")?;
    system.pause(None).wait()?;
    system.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait()?;
    let mut samples = Samples::default();
    for number in 0..CLONES {
        let mut document = template.clone();
        let machine = document.virtual_machine.as_mut().ok_or("no machine")?;
        machine.restore_state = Some(RestoreState::default().template_system_id("template"));
        let port = service.folder().join(format!("com-{number}")).display().to_string();
        let ports = machine.devices.as_mut().and_then(|devices| devices.com_ports.as_mut());
        ports.and_then(|ports| ports.get_mut("0")).ok_or("no port")?.named_pipe = Some(port);
        let clone = service.client()?.create(&format!("clone-{number}"), &document).wait()?;
        let began = Instant::now();
        clone.start().wait()?;
        let process =
            clone.run(&ProcessParameters::default().command_args(vec!["true".to_owned()])).wait()?;
        samples.add(began.elapsed());
        process.wait_blocking()?;
        clone.terminate().wait()?;
    }
    system.terminate().wait()?;
    let first = Figure::new("from the start of a clone to its first process", &samples);
    report.note(first.promised("clone-process")?);
    Ok(())
}
