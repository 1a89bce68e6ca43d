//! Where threads of the C library meet, in every order.
//!
//! That each can fail was seen by breaking the library for it:
//!
//! | Tests | Broken by |
//! |---|---|
//! | `handles` | a removal that looks under one lock and removes under the next |
//! | `operations` | no notification at the completion; a beginning that looks under one lock and begins under the next; what was told is not remembered |
//! | `callbacks` | a removal that does not wait; an exit that is noted under another lock than it is told |
//! | `exits` | no notification at the exit, or at the close |
//! | `remotes` | a close of what is being made that is not noted; a task that is kept under another lock than it is looked under |
//! | `strands` | a strand that comes to rest under another lock than it has looked under |

mod callbacks;
mod exits;
mod handles;
mod operations;
mod remotes;
mod strands;

use std::cell::Cell;

use hcs_races::pool;

thread_local! {
    /// How often a callback has come. All threads of a loom are turns of one, so this is theirs together.
    static TOLD: Cell<usize> = const { Cell::new(0) };
    /// Nothing may be told any more.
    static CLOSED: Cell<bool> = const { Cell::new(false) };
}

/// Tries every order, with as many interruptions as it takes for every mistake that has been found in such code.
fn in_every_order(body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        TOLD.set(0);
        CLOSED.set(false);
        body();
        pool::settle();
    });
}

/// Counts, and is there for a while.
fn told() {
    assert!(!CLOSED.get(), "told after the close");
    loom::thread::yield_now();
    assert!(!CLOSED.get(), "closed while it was told");
    TOLD.set(TOLD.get() + 1);
}
