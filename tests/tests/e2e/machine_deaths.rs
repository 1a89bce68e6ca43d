//! Virtual machines whose service, worker or QEMU is killed in the midst of each step of their lives: afterwards nothing
//! is left, and nobody has been told that it was orderly.

use std::{fs, thread, time::Duration};

use hcs::{
    Client, System,
    link::Options,
    saved,
    schema::{
        Any, Attachment, AttachmentType, ComputeSystem, ModifyRequestType, ModifySettingRequest,
        NotificationType, RestoreState, SaveOptions, SaveType, Scsi,
    },
};
use hcs_tests::{Service, machine::Guest, processes, random::Random};
use rustix::process::Signal;

/// How often each step is cut off by each death.
const ROUNDS: usize = 5;

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Service,
    Worker,
    Qemu,
}

/// In the midst of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Start,
    Modify,
    ShutDown,
    Save,
    Restore,
}

impl Step {
    /// How long it takes at most; a later death finds it done.
    fn longest(self) -> u64 {
        match self {
            Step::Create => 10_000,
            Step::Start => 120_000,
            Step::Modify => 20_000,
            Step::ShutDown => 5_000,
            Step::Save => 150_000,
            Step::Restore => 200_000,
        }
    }
}

/// A request that attaches a disk, or detaches it.
fn disk(kind: ModifyRequestType, path: &str) -> ModifySettingRequest {
    let attachment = Attachment::default().type_(AttachmentType::VirtualDisk).path(path);
    ModifySettingRequest::default()
        .resource_path("VirtualMachine/Devices/Scsi/one/Attachments/1")
        .request_type(kind)
        .settings(Any::from_value(&attachment).unwrap())
}

/// Does the step; what fails, fails because somebody has died.
fn act(step: Step, service: &Service, document: &ComputeSystem, system: Option<&System>, image: &str) {
    match (step, system) {
        (Step::Create, _) => {
            // The service may be dead already.
            if let Ok(client) = Client::connect_to(Options { socket: service.socket() }) {
                let _ = client.create("vm", document).wait();
            }
        }
        (Step::Start | Step::Restore, Some(system)) => drop(system.start().wait()),
        (Step::Save, Some(system)) => {
            let options = SaveOptions::default().save_type(SaveType::ToFile).save_state_file_path(image);
            drop(system.save(&options).wait());
        }
        (Step::Modify, Some(system)) => {
            let _ = system.modify(&disk(ModifyRequestType::Add, image)).wait();
            let _ = system.modify(&disk(ModifyRequestType::Remove, image)).wait();
        }
        (Step::ShutDown, Some(system)) => drop(system.shut_down(None).wait()),
        (_, None) => {}
    }
}

/// Kills whom it finds.
fn strike(victim: Victim, service: &Service) -> bool {
    let found = service.leftovers();
    let victims = match victim {
        Victim::Service => vec![service.pid()],
        // The service itself holds a worker's socket for the moment in which it starts the worker.
        Victim::Worker => found.workers.into_iter().filter(|pid| *pid != service.pid()).collect(),
        Victim::Qemu => found.processes,
    };
    // What a worker is just starting dies with it.
    victims.iter().for_each(|victim| processes::kill_if_there(*victim));
    !victims.is_empty()
}

#[test]
fn nothing_is_left_whoever_dies_in_whichever_step() {
    let mut service = Service::start();
    service.be_patient();
    let guest = Guest::make(service.root(), "read line");
    let image = service.root().join("disk.img");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    hcs_tests::host("chmod", &["666", image.to_str().unwrap()]);
    let image = image.display().to_string();
    let mut document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        machine.devices(devices.scsi([("one".to_owned(), Scsi::default())]))
    });
    document.should_terminate_on_last_handle_closed = Some(false);
    let mut random = Random::new();
    println!("seed {random}");
    for victim in [Victim::Service, Victim::Worker, Victim::Qemu] {
        for step in [Step::Create, Step::Start, Step::Modify, Step::ShutDown] {
            for _ in 0..ROUNDS {
                round(&mut service, victim, step, &document, &image, random.below(step.longest()));
                assert!(!guest.port().exists(), "{victim:?} {step:?}: the socket is left");
            }
        }
    }
}

fn round(
    service: &mut Service,
    victim: Victim,
    step: Step,
    document: &ComputeSystem,
    image: &str,
    microseconds: u64,
) {
    let system = (step != Step::Create).then(|| service.client().create("vm", document).wait().unwrap());
    if matches!(step, Step::Modify | Step::ShutDown | Step::Save) {
        system.as_ref().unwrap().start().wait().unwrap();
    }
    if step == Step::Save {
        system.as_ref().unwrap().pause(None).wait().unwrap();
    }
    let has_struck = thread::scope(|scope| {
        let (service, system) = (&*service, system.as_ref());
        let acting = scope.spawn(move || act(step, service, document, system, image));
        thread::sleep(Duration::from_micros(microseconds));
        let has_struck = strike(victim, service);
        if victim != Victim::Service {
            acting.join().unwrap();
        }
        has_struck
    });
    if victim == Victim::Service {
        service.kill();
        service.restart();
    }
    let client = service.client();
    let Ok(again) = client.open("vm").wait() else {
        // It was never made, or has ended.
        if let Some(system) = system.filter(|_| has_struck && victim != Victim::Service) {
            let status = system.wait_blocking().unwrap();
            assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit), "{victim:?} {step:?}");
        }
        service.await_nothing_left();
        return;
    };
    // It lives, and does as it is told: nothing hangs.
    let ended = again.terminate().wait();
    let status = again.wait_blocking().unwrap();
    if ended.is_ok() && status.exit_type != Some(NotificationType::ForcedExit) {
        assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit), "{victim:?} {step:?}");
    }
    service.await_nothing_left();
}

#[test]
fn a_worker_whose_machine_has_ended_rests_until_a_service_asks_for_the_end() {
    let mut service = Service::start();
    let guest = Guest::make(service.root(), "sleep 1000");
    let system = service.client().create("vm", &guest.document()).wait().unwrap();
    system.start().wait().unwrap();
    let worker = service.worker(&system);
    service.kill();
    let qemu = processes::children(worker);
    qemu.iter().for_each(|process| processes::signal(*process, Signal::KILL));
    hcs_tests::until("QEMU to be gone", Duration::from_secs(10), || processes::children(worker).is_empty());
    let before = processes::processor_time(&[worker]);
    thread::sleep(Duration::from_secs(1));
    let used = processes::processor_time(&[worker]) - before;
    assert!(used < 10, "its worker has used {used} hundredths of a second in one second of rest");
    service.restart();
    system.wait_blocking().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_saved_machine_is_the_old_or_the_new_one_whoever_dies() {
    let mut service = Service::start();
    let guest = Guest::make(service.root(), "echo ready; read line");
    let mut document = guest.document();
    document.should_terminate_on_last_handle_closed = Some(false);
    let file = service.root().join("vm.vmrs");
    saved::create_empty_runtime_state(&file).unwrap();
    hcs_tests::host("chmod", &["666", file.to_str().unwrap()]);
    let path = file.display().to_string();
    // One whole machine is there from the beginning.
    let system = service.running_from("vm", &document);
    guest.console().until("ready");
    system.pause(None).wait().unwrap();
    act(Step::Save, &service, &document, Some(&system), &path);
    system.terminate().wait().unwrap();
    let mut restored = document.clone();
    let from = RestoreState::default().save_state_file_path(path.clone());
    restored.virtual_machine = restored.virtual_machine.map(|machine| machine.restore_state(from));
    let mut random = Random::new();
    println!("seed {random}");
    for victim in [Victim::Service, Victim::Worker, Victim::Qemu] {
        for step in [Step::Save, Step::Restore] {
            for _ in 0..ROUNDS {
                let document = if step == Step::Restore { &restored } else { &document };
                round(&mut service, victim, step, document, &path, random.below(step.longest()));
                assert!(!std::path::Path::new(&format!("{path}.partial")).exists(), "{victim:?} {step:?}");
                let system = service.client().create("vm", &restored).wait().unwrap();
                system.start().wait().unwrap();
                system.terminate().wait().unwrap();
                service.await_nothing_left();
            }
        }
    }
}
