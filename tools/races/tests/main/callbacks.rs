//! Callbacks of a handle: told once, and never after they were removed.

use std::sync::Arc;

use hcs_races::{
    abi::Event,
    listener::{Form, Listener},
    pool,
    target::{Exit, Target},
};
use loom::thread;

extern "C" fn happened(_event: *const Event, _context: usize) {
    super::told();
}

extern "C" fn notified(_kind: u32, _context: usize, _code: i32, _document: *const u16) {
    super::told();
}

fn events() -> Arc<Listener> {
    Listener::new(Form::Events(happened, 0), 0)
}

fn notifications() -> Arc<Listener> {
    Listener::new(Form::Notifications(notified), 0)
}

fn ends(target: &Arc<Target>) -> thread::JoinHandle<()> {
    let target = target.clone();
    thread::spawn(move || target.ended(Exit::Lost))
}

#[test]
fn the_exit_is_told_once_to_a_callback_that_is_set_meanwhile() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        let other = ends(&target);
        target.set_events(events()).unwrap();
        other.join().unwrap();
        pool::settle();
        assert_eq!(super::TOLD.get(), 1);
    });
}

#[test]
fn of_two_exits_one_is_told() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        target.set_events(events()).unwrap();
        let other = ends(&target);
        target.ended(Exit::Lost);
        other.join().unwrap();
        pool::settle();
        assert_eq!(super::TOLD.get(), 1);
    });
}

#[test]
fn nothing_is_told_after_a_handle_was_closed() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        target.set_events(events()).unwrap();
        let other = ends(&target);
        target.close();
        super::CLOSED.set(true);
        other.join().unwrap();
    });
}

#[test]
fn nothing_is_told_after_a_registration_was_removed() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        let registration = target.add_notifications(notifications());
        let other = ends(&target);
        registration.remove();
        super::CLOSED.set(true);
        other.join().unwrap();
    });
}

#[test]
fn nothing_is_told_after_an_event_callback_was_removed() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        target.set_events(events()).unwrap();
        let other = ends(&target);
        target.remove_events();
        super::CLOSED.set(true);
        other.join().unwrap();
    });
}
