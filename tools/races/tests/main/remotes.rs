//! The service's handle, which comes while the program may already close its own.

use std::sync::Arc;

use hcs_races::remote::Remote;
use loom::thread;

#[test]
fn what_is_made_while_its_handle_is_closed_is_given_up_once() {
    super::in_every_order(|| {
        let remote = Arc::new(Remote::making(5));
        let others = remote.clone();
        // Who finds that nobody wants it gives it up.
        let maker = thread::spawn(move || !others.made(Ok(7)));
        let by_closer = remote.close() == Some(7);
        assert!(by_closer != maker.join().unwrap());
    });
}

#[test]
fn of_two_that_close_one_gives_up_what_was_made() {
    super::in_every_order(|| {
        let remote = Arc::new(Remote::open(7));
        let others = remote.clone();
        let other = thread::spawn(move || others.close());
        let (own, other) = (remote.close(), other.join().unwrap());
        assert!(own.is_some() != other.is_some());
    });
}

#[test]
fn what_waits_for_the_making_is_done_once() {
    super::in_every_order(|| {
        let remote = Arc::new(Remote::making(5));
        let others = remote.clone();
        let maker = thread::spawn(move || others.made(Ok(7)));
        let task = Box::new(|made: Option<u64>| {
            assert_eq!(made, Some(7));
            super::told();
        });
        if let Err(task) = remote.after_making(task) {
            task(Some(remote.get().expect("it is made")));
        }
        maker.join().unwrap();
        assert_eq!(super::TOLD.get(), 1);
    });
}
