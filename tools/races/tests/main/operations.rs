//! An operation: who waits for it, who is told of it, who closes it.

use std::sync::Arc;

use hcs_core::{Cause, OperationType};
use hcs_races::{
    abi::{self, Event, Handle, Out},
    listener::{Form, Listener},
    operation::{Operation, Outcome, Subject},
    pool,
    target::Target,
};
use loom::thread;

extern "C" fn completed(_operation: Handle, _context: usize) {
    super::told();
}

extern "C" fn happened(_event: *const Event, _context: usize) {
    super::told();
}

/// A listener that wants to be told of completed calls.
fn listener() -> Arc<Listener> {
    Listener::new(Form::Events(happened, 1), 0)
}

/// An operation that tracks a call.
fn begun(kind: OperationType, target: Option<Arc<Target>>) -> Arc<Operation> {
    let operation = Operation::new(16, 0, None);
    operation.begin(kind, Subject { system: 32, process: 0, target }).expect("a call");
    operation
}

fn complete(operation: &Arc<Operation>) -> thread::JoinHandle<()> {
    let operation = operation.clone();
    thread::spawn(move || operation.complete(Outcome::success(None, None)))
}

fn result(operation: &Operation) -> i32 {
    operation.read(Cause::OperationPending, Out::none(), Out::none())
}

#[test]
fn who_waits_is_woken_by_the_end_of_the_call() {
    super::in_every_order(|| {
        let operation = begun(OperationType::Start, None);
        let other = complete(&operation);
        operation.wait(None);
        assert_eq!(result(&operation), 0);
        other.join().unwrap();
    });
}

#[test]
fn who_waits_gets_the_outcome_of_an_operation_that_is_closed() {
    super::in_every_order(|| {
        let operation = begun(OperationType::Start, None);
        operation.set_callback(0, completed).unwrap();
        let closed = operation.clone();
        let (closer, other) = (thread::spawn(move || closed.close()), complete(&operation));
        operation.wait(None);
        assert_eq!(result(&operation), 0);
        closer.join().unwrap();
        other.join().unwrap();
        pool::settle();
        assert!(super::TOLD.get() <= 1);
    });
}

#[test]
fn of_two_calls_at_once_one_is_tracked() {
    super::in_every_order(|| {
        let operation = Operation::new(16, 0, None);
        let others = operation.clone();
        let other = thread::spawn(move || others.begin(OperationType::Start, Subject::default()));
        let (own, other) = (operation.begin(OperationType::Pause, Subject::default()), other.join().unwrap());
        assert!(own.is_ok() != other.is_ok());
        assert_eq!(own.and(other), Err(Cause::OperationAlreadyStarted));
    });
}

#[test]
fn a_callback_that_is_set_before_the_end_is_told_once() {
    super::in_every_order(|| {
        let operation = begun(OperationType::Start, None);
        let other = complete(&operation);
        operation.set_callback(0, completed).unwrap();
        let was_pending = result(&operation) == abi::code(Cause::OperationPending);
        other.join().unwrap();
        pool::settle();
        assert!(super::TOLD.get() == 1 || !was_pending && super::TOLD.get() == 0);
    });
}

#[test]
fn the_end_of_a_creation_is_told_once_to_a_callback_that_is_set_meanwhile() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        let operation = begun(OperationType::Create, Some(target.clone()));
        let other = complete(&operation);
        // As HcsSetComputeSystemCallback does.
        target.set_events(listener()).unwrap();
        operation.tell_late();
        other.join().unwrap();
        pool::settle();
        assert_eq!(super::TOLD.get(), 1);
    });
}
