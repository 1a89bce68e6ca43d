//! Jobs of one strand: each is done, one after another.

use std::{cell::Cell, sync::Arc};

use hcs_races::{pool, strand::Strand};
use loom::thread;

thread_local! {
    static AT_IT: Cell<bool> = const { Cell::new(false) };
}

fn job() {
    assert!(!AT_IT.replace(true), "two jobs at once");
    super::told();
    AT_IT.set(false);
}

#[test]
fn jobs_that_two_threads_have_are_all_done_and_never_at_once() {
    super::in_every_order(|| {
        let strand = Arc::<Strand>::default();
        let others = strand.clone();
        let other = thread::spawn(move || {
            others.push(job);
            others.push(job);
        });
        strand.push(job);
        other.join().unwrap();
        pool::settle();
        assert_eq!(super::TOLD.get(), 3);
    });
}
