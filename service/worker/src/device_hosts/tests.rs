use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use hcs_ipc::{
    Message,
    device_host::{Ask, FromHost, Said, ToHost, VERSION},
    worker::Numbered,
};
use hcs_machine::{DeviceHosts, NotStarted, plan::HostedDevice};
use hcs_schema::{Guid, VirtualDeviceFailureDetail};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};

use super::{
    Shared,
    devices::TO_SERVE,
    failures::AGAIN,
    host::{LARGEST, MOST_QUESTIONS},
    hosts::Silence,
};
use crate::connection::Connection;

/// An application, which does what it is asked by the words of a function.
struct Application(Connection, VecDeque<Message>);

impl Application {
    fn of(hosts: &Shared, is_restricted: bool) -> Application {
        let mut application =
            Application(Connection::new(hosts.open(is_restricted).unwrap()), VecDeque::new());
        let welcome = application.next().unwrap();
        assert!(
            matches!(welcome, (ToHost::Welcome { version: VERSION, is_restricted: is }, _) if is == is_restricted)
        );
        application
    }

    fn next(&mut self) -> Option<(ToHost, Vec<OwnedFd>)> {
        while self.1.is_empty() {
            let mut polled = [PollFd::new(&self.0.socket, PollFlags::IN)];
            rustix::event::poll(&mut polled, None).unwrap();
            self.1.extend(self.0.receive().ok()?);
        }
        let message = self.1.pop_front()?;
        Some((serde_json::from_slice(&message.text).unwrap(), message.fds))
    }

    /// Answers every question until it is told to hang up or is hung up on; what it was asked.
    fn run(mut self, answer: impl Fn(&Ask) -> Option<Said> + Send + 'static) -> JoinHandle<Vec<Ask>> {
        thread::spawn(move || {
            let mut asked = Vec::new();
            while let Some((ToHost::Ask(Numbered { number, body }), fds)) = self.next() {
                assert_eq!(fds.len(), usize::from(matches!(body, Ask::Serve { .. })));
                let said = answer(&body);
                asked.push(body);
                let Some(body) = said else { break };
                self.say(&FromHost::Reply(Numbered { number, body }));
            }
            asked
        })
    }

    fn say(&mut self, what: &FromHost) {
        assert!(self.0.send(what, Vec::new()).is_ok());
    }
}

fn device(number: u8, is_restricted: bool) -> HostedDevice {
    HostedDevice {
        instance: Guid::from_bytes([number; 16]),
        class: Guid::from_bytes([0xcc; 16]),
        is_restricted,
        configuration: vec!["tag=share".to_owned()],
        slot: 14,
        blame: "$".to_owned(),
    }
}

fn listener() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

/// Hears everybody who has something to say by now.
fn hear(hosts: &Shared) {
    let ids: Vec<u64> = hosts.look().interest().map(|(id, ..)| id).collect();
    ids.into_iter().for_each(|id| hosts.hear(id, false));
}

#[test]
fn an_application_is_asked_in_the_order_of_a_devices_life() {
    let mut hosts = Shared::default();
    let application = Application::of(&hosts, false).run(|_| Some(Said::Done));
    let device = device(1, false);
    let instance = device.instance;
    hosts.serve(&device, listener()).unwrap();
    assert!(hosts.has(instance));
    assert!(hosts.start(&[instance])[0].is_ok());
    hosts.stop(&[instance]);
    hosts.remove(instance);
    assert!(!hosts.has(instance));
    hosts.remove(instance);
    assert_eq!(hosts.end(), []);
    let (class, configuration) = (device.class, device.configuration);
    assert_eq!(
        application.join().unwrap(),
        [
            Ask::Has { instance, class },
            Ask::Serve { instance, class, configuration },
            Ask::Start { instance },
            Ask::Stop { instance },
            Ask::Remove { instance }
        ]
    );
}

#[test]
fn a_device_is_looked_for_among_hosts_of_its_kind() {
    let mut hosts = Shared::default();
    let unrestricted = Application::of(&hosts, false).run(|_| Some(Said::Done));
    let first = Application::of(&hosts, true).run(|_| Some(Said::NotHere));
    let second = Application::of(&hosts, true).run(|_| Some(Said::Done));
    hosts.serve(&device(1, true), listener()).unwrap();
    drop(hosts);
    assert_eq!([unrestricted, first, second].map(|application| application.join().unwrap().len()), [0, 1, 2]);
}

#[test]
fn a_device_that_no_application_has_is_named() {
    let mut hosts = Shared::default();
    let error = hosts.serve(&device(1, false), listener()).unwrap_err();
    assert_eq!(error.cause, Cause::Unexpected);
    let failure = error.device.unwrap();
    assert_eq!(failure.phase, VirtualDeviceFailureDetail::FinishReservingResources);
    assert_eq!(failure.instance, Guid::from_bytes([1; 16]));
    // One that hangs up while it is asked has none either.
    let application = Application::of(&hosts, false).run(|_| None);
    let error = hosts.serve(&device(2, false), listener()).unwrap_err();
    assert_eq!(error.cause, Cause::Unexpected);
    assert!(error.detail.contains("0 device hosts"), "{error}");
    application.join().unwrap();
    assert_eq!(hosts.end(), []);
}

#[test]
fn what_an_application_fails_with_is_told() {
    let mut hosts = Shared::default();
    let application = Application::of(&hosts, false).run(|ask| {
        Some(match ask {
            Ask::Has { .. } => Said::Done,
            _ => Said::Failed(
                Error::new(Cause::OutOfMemory, "Initialize\n has\u{1b} failed")
                    .at("$")
                    .hint("Believe me.")
                    .into(),
            ),
        })
    });
    let error = hosts.serve(&device(1, false), listener()).unwrap_err();
    assert_eq!(error.cause, Cause::OutOfMemory);
    assert!(error.detail.ends_with("Initialize has failed"), "{error}");
    assert_eq!((&error.path, &error.hint), (&None, &None));
    assert_eq!(error.device.unwrap().phase, VirtualDeviceFailureDetail::Initialize);
    assert!(!hosts.has(Guid::from_bytes([1; 16])));
    drop(hosts);
    application.join().unwrap();
}

#[test]
fn a_machine_has_one_host_and_another_when_that_is_gone() {
    let hosts = Shared::default();
    let first = Application::of(&hosts, false);
    let _restricted = [Application::of(&hosts, true), Application::of(&hosts, true)];
    assert_eq!(hosts.open(false).unwrap_err().cause, Cause::DeviceHostExists);
    drop(first);
    let _second = Application::of(&hosts, false);
    assert_eq!(hosts.open(false).unwrap_err().cause, Cause::DeviceHostExists);
    assert_eq!(hosts.end(), []);
}

#[test]
fn devices_that_break_and_those_of_who_hangs_up_are_remembered() {
    let mut hosts = Shared::default();
    let mut application = Application::of(&hosts, false);
    let [broken, lost, removed] = [1, 2, 3].map(|number| device(number, false));
    let serving = thread::spawn(move || {
        for _ in 0..6 {
            let Some((ToHost::Ask(Numbered { number, .. }), _)) = application.next() else { break };
            application.say(&FromHost::Reply(Numbered { number, body: Said::Done }));
        }
        application
    });
    for device in [&broken, &lost, &removed] {
        hosts.serve(device, listener()).unwrap();
    }
    let mut application = serving.join().unwrap();
    application
        .say(&FromHost::Broken { instance: broken.instance, detail: "it has lost its socket".to_owned() });
    hear(&hosts);
    assert!(!hosts.has(broken.instance));
    assert!(hosts.has(lost.instance));
    drop(application);
    hear(&hosts);
    assert_eq!(hosts.look().interest().count(), 0);
    assert!(hosts.start(&[lost.instance])[0].is_err());
    assert_eq!(hosts.take_failed(), [&broken, &lost, &removed].map(|device| device.instance));
    assert_eq!(hosts.take_failed(), []);
    // The machine has it no more, so it is nothing that its end has to do with.
    hosts.remove(removed.instance);
    let phase = VirtualDeviceFailureDetail::None;
    assert_eq!(hosts.end(), [broken.failure(phase), lost.failure(phase)]);
}

impl Shared {
    fn ask(&self, id: u64, ask: Ask, patience: Duration) -> Result<Said, Silence> {
        self.0.borrow_mut().ask(vec![(id, ask, Vec::new())], patience).pop().unwrap()
    }
}

/// A device that is served; the application is ready for what comes.
fn served(hosts: &mut Shared, mut application: Application, device: &HostedDevice) -> Application {
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            let Some((ToHost::Ask(Numbered { number, .. }), _)) = application.next() else { break };
            application.say(&FromHost::Reply(Numbered { number, body: Said::Done }));
        }
        application
    });
    hosts.serve(device, listener()).unwrap();
    serving.join().unwrap()
}

fn write(application: &Application, bytes: &[u8]) {
    assert_eq!(rustix::io::write(&application.0.socket, bytes), Ok(bytes.len()));
}

fn line(what: &FromHost) -> Vec<u8> {
    let mut text = serde_json::to_vec(what).unwrap();
    text.push(0);
    text
}

#[test]
fn who_is_late_is_not_waited_for_twice() {
    let hosts = Shared::default();
    let mut application = Application::of(&hosts, false);
    let instance = Guid::from_bytes([1; 16]);
    let (ask, soon) = (Ask::Start { instance }, Duration::from_millis(20));
    assert!(matches!(hosts.ask(1, ask.clone(), soon), Err(Silence::Late)));
    // This would take long otherwise.
    assert!(matches!(hosts.ask(1, ask.clone(), Duration::from_secs(3600)), Err(Silence::Late)));
    assert!(application.next().is_some());
    application.say(&FromHost::Reply(Numbered { number: 1, body: Said::Done }));
    let answering = application.run(|_| Some(Said::Done));
    assert!(matches!(hosts.ask(1, ask, TO_SERVE), Ok(Said::Done)));
    drop(hosts);
    assert_eq!(answering.join().unwrap().len(), 1);
}

#[test]
fn who_is_slow_to_stop_is_waited_for_when_it_is_to_start() {
    let mut hosts = Shared::default();
    let application = Application::of(&hosts, false);
    let device = device(1, false);
    let application = served(&mut hosts, application, &device);
    assert!(hosts.ask(1, Ask::Stop { instance: device.instance }, Duration::ZERO).is_err());
    let answering = application.run(|_| {
        thread::sleep(Duration::from_millis(50));
        Some(Said::Done)
    });
    assert!(hosts.start(&[device.instance])[0].is_ok());
    drop(hosts);
    assert_eq!(answering.join().unwrap().len(), 2);
}

#[test]
fn a_device_that_its_machine_has_hung_up_on_keeps_the_machine_from_nothing() {
    let mut hosts = Shared::default();
    let application = Application::of(&hosts, false);
    let device = device(1, false);
    let application = served(&mut hosts, application, &device);
    let answering = application.run(|_| Some(Said::NotHere));
    let NotStarted { error, is_silent } = hosts.start(&[device.instance]).pop().unwrap().unwrap_err();
    assert!(is_silent);
    assert_eq!(error.cause, Cause::Unexpected);
    drop(hosts);
    assert_eq!(answering.join().unwrap(), [Ask::Start { instance: device.instance }]);
}

#[test]
fn one_that_is_late_hinders_no_other_and_two_of_one_device_are_refused() {
    let mut hosts = Shared::default();
    let late = Application::of(&hosts, true);
    let instance = Guid::from_bytes([1; 16]);
    assert!(hosts.ask(1, Ask::Start { instance }, Duration::ZERO).is_err());
    let has = |number: u8| {
        move |ask: &Ask| match ask {
            Ask::Has { instance, .. } if *instance != Guid::from_bytes([number; 16]) => Some(Said::NotHere),
            _ => Some(Said::Done),
        }
    };
    let others = [1, 2, 2].map(|number| Application::of(&hosts, true).run(has(number)));
    hosts.serve(&device(1, true), listener()).unwrap();
    let error = hosts.serve(&device(2, true), listener()).unwrap_err();
    assert_eq!(error.cause, Cause::Unexpected);
    assert!(error.detail.starts_with("2 restricted device hosts"), "{error}");
    let error = hosts.serve(&device(3, true), listener()).unwrap_err();
    assert_eq!(error.cause, Cause::DeadlineExceeded);
    drop(hosts);
    drop(late);
    // Only who has it is asked for more.
    assert_eq!(others.map(|application| application.join().unwrap().len()), [4, 3, 3]);
}

#[test]
fn who_is_not_understood_is_given_up_and_what_it_said_before_counts() {
    let instance = Guid::from_bytes([1; 16]);
    let reply = line(&FromHost::Reply(Numbered { number: 77, body: Said::Done }));
    let again = line(&FromHost::Reply(Numbered { number: 2, body: Said::Done }));
    for bad in [b"garbage\0".to_vec(), b"\0".to_vec(), reply, again, vec![b' '; LARGEST + 1]] {
        let mut hosts = Shared::default();
        let application = Application::of(&hosts, false);
        let application = served(&mut hosts, application, &device(1, false));
        let mut text = line(&FromHost::Broken { instance, detail: "for good".to_owned() });
        text.extend(&bad);
        write(&application, &text);
        (0..8).for_each(|_| hear(&hosts));
        assert_eq!(hosts.look().interest().count(), 0, "{:?}", bad.first());
        assert_eq!(hosts.take_failed(), [instance]);
    }
}

#[test]
fn descriptors_of_a_host_are_refused() {
    let hosts = Shared::default();
    let mut application = Application::of(&hosts, false);
    let broken = FromHost::Broken { instance: Guid::from_bytes([9; 16]), detail: String::new() };
    // One that is nobody's is nothing.
    application.say(&broken);
    hear(&hosts);
    assert_eq!(hosts.look().interest().count(), 1);
    assert!(application.0.send(&broken, vec![listener()]).is_ok());
    hear(&hosts);
    assert_eq!(hosts.look().interest().count(), 0);
    assert_eq!(hosts.end(), []);
}

#[test]
fn the_socket_of_a_device_is_shut_down_when_its_application_dies_and_not_closed() {
    let mut hosts = Shared::default();
    let device = device(1, false);
    let mut application = Application::of(&hosts, false);
    application = served(&mut hosts, application, &device);
    let (qemu, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let given = theirs.try_clone().unwrap();
    let connected = FromHost::Connected { instance: device.instance };
    assert!(application.0.send(&connected, vec![given]).is_ok());
    hear(&hosts);
    // With a request that nobody has read.
    rustix::io::write(&qemu, b"request").unwrap();
    drop((application, theirs));
    hear(&hosts);
    assert!(!hosts.has(device.instance));
    assert_eq!(rustix::io::read(&qemu, &mut [0; 8]), Ok(0));
    hosts.remove(device.instance);
    // It is held no longer than the machine has the device.
    assert_eq!(rustix::io::write(&qemu, b"more"), Err(Errno::PIPE));
}

#[test]
fn what_is_given_as_the_socket_of_a_device_must_be_one() {
    let mut hosts = Shared::default();
    let device = device(1, false);
    let mut application = Application::of(&hosts, false);
    application = served(&mut hosts, application, &device);
    let connected = FromHost::Connected { instance: device.instance };
    assert!(application.0.send(&connected, vec![listener()]).is_ok());
    hear(&hosts);
    assert!(!hosts.has(device.instance));
}

#[test]
fn a_host_that_talks_on_keeps_nobody_from_anything() {
    let hosts = Shared::default();
    let application = Application::of(&hosts, false);
    let talking = thread::spawn(move || {
        let text = line(&FromHost::Broken { instance: Guid::from_bytes([9; 16]), detail: "x".repeat(999) });
        while rustix::io::write(&application.0.socket, &text).is_ok() {}
    });
    for _ in 0..100 {
        hear(&hosts);
    }
    let (before, ask) = (Instant::now(), Ask::Start { instance: Guid::from_bytes([9; 16]) });
    let answer = hosts.ask(1, ask, Duration::from_millis(50));
    assert!(answer.is_err());
    assert!(before.elapsed() < Duration::from_secs(20));
    drop(hosts);
    talking.join().unwrap();
}

#[test]
fn a_host_that_leaves_too_much_open_is_given_up() {
    let hosts = Shared::default();
    let _application = Application::of(&hosts, false);
    for _ in 0..MOST_QUESTIONS {
        hosts.0.borrow_mut().leave(1, Ask::Stop { instance: Guid::from_bytes([1; 16]) });
    }
    assert_eq!(hosts.look().interest().count(), 1);
    hosts.0.borrow_mut().leave(1, Ask::Stop { instance: Guid::from_bytes([1; 16]) });
    assert_eq!(hosts.look().interest().count(), 0);
}

#[test]
fn failures_outlive_that_the_device_comes_anew() {
    let mut hosts = Shared::default();
    let device = device(1, false);
    let application = Application::of(&hosts, false);
    drop(served(&mut hosts, application, &device));
    hear(&hosts);
    let application = Application::of(&hosts, false);
    let _application = served(&mut hosts, application, &device);
    assert_eq!(hosts.take_failed(), []);
    hosts.fail(device.instance, "it is not started in time");
    assert!(!hosts.has(device.instance));
    assert_eq!(hosts.take_failed(), [device.instance]);
    let before = Instant::now();
    hosts.tell_again(device.instance);
    assert!(hosts.deadline().is_some_and(|at| at >= before + AGAIN));
    hosts.remove(device.instance);
    assert_eq!(hosts.end(), [device.failure(VirtualDeviceFailureDetail::None)]);
}

#[test]
fn who_hangs_up_at_the_end_has_not_failed() {
    let mut hosts = Shared::default();
    let application = Application::of(&hosts, false);
    drop(served(&mut hosts, application, &device(1, false)));
    hosts.hear(1, true);
    assert!(!hosts.has(Guid::from_bytes([1; 16])));
    assert_eq!(hosts.end(), []);
}
