//! Waiting for the exit.

use std::sync::Arc;

use hcs_core::Cause;
use hcs_races::{
    abi::code,
    target::{Exit, Target},
};
use loom::thread;

fn exit() -> Exit {
    Exit::Exited(1, Arc::from([7u16]))
}

#[test]
fn who_waits_is_woken_by_the_exit() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        let others = target.clone();
        let other = thread::spawn(move || others.ended(exit()));
        assert_eq!(target.wait_until(None).as_deref(), Ok(&[7u16][..]));
        other.join().unwrap();
    });
}

#[test]
fn who_waits_is_woken_by_the_close() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        let others = target.clone();
        let other = thread::spawn(move || others.close());
        assert_eq!(target.wait_until(None), Err(code(Cause::InvalidArgument)));
        other.join().unwrap();
    });
}

#[test]
fn who_waits_is_woken_by_whichever_comes_first() {
    super::in_every_order(|| {
        let target = Arc::<Target>::default();
        let (closed, ended) = (target.clone(), target.clone());
        let closer = thread::spawn(move || closed.close());
        let other = thread::spawn(move || ended.ended(exit()));
        let waited = target.wait_until(None);
        assert!(waited.is_ok() || waited == Err(code(Cause::InvalidArgument)));
        closer.join().unwrap();
        other.join().unwrap();
    });
}
