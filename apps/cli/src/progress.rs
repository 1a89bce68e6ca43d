//! Bars for long work, on a terminal only.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A bar for each thing that goes on.
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    /// None yet.
    pub fn new() -> Bars {
        Bars { all: MultiProgress::new(), bars: Mutex::default() }
    }

    /// Shows how far something has come: its digest, or another name.
    pub fn show(&self, what: &str, done: u64, total: u64) {
        const SHOWN: usize = 12;
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(what.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let name: String = what.trim_start_matches("sha256:").chars().take(SHOWN).collect();
            self.all.add(ProgressBar::new(total).with_style(style).with_prefix(name))
        });
        bar.set_position(done);
    }
}

/// Says that something goes on of which nobody knows how much is left, and for how long it has.
pub struct Busy {
    bar: ProgressBar,
    /// Its end ends the turning.
    _turns: mpsc::Sender<()>,
}

impl Busy {
    /// It begins.
    pub fn with(what: &str) -> Busy {
        const TICK: Duration = Duration::from_millis(200);
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
        let (turns, over) = mpsc::channel();
        if !bar.is_hidden() {
            let turning = bar.clone();
            let turn = move || {
                while over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    turning.tick();
                }
            };
            // Where there cannot be another thread it stands still, which the work is not to suffer for.
            let _ = thread::Builder::new().spawn(turn);
        }
        Busy { bar, _turns: turns }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bars {
    /// What was shown is of no use when it is over.
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}
