//! A watch over a service: it records the steps of an operation, and lets something go wrong at one of them.

use std::{
    collections::HashMap,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rustix::{
    net::Shutdown,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::{
    calls::CALLS,
    listener::{Listener, Waiting},
    step::{Made, Step},
};

/// How long a message is held back: long against what a step takes, short against every time limit.
const DELAY: Duration = Duration::from_millis(150);

/// What goes wrong at a step.
pub enum Fault {
    /// Something is done before the step goes on, mostly a killing. Meanwhile every other step waits.
    Do(Box<dyn FnMut() + Send>),
    /// The same, while the others go on: it takes their help.
    DoBeside(Box<dyn FnMut() + Send>),
    /// Who makes the step is killed.
    KillItsMaker,
    /// The call fails.
    Fail {
        /// With this error.
        error: i32,
        /// From then on every call of the same process fails that can fail like this.
        for_ever: bool,
    },
    /// The message is held back for a while.
    Delay,
    /// The connection is cut before the message is sent.
    Cut,
}

/// A watch. Clones are the same one.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    doing: Doing,
    seen: HashMap<Step, usize>,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Recording(Vec<Made>),
    Waiting {
        step: Step,
        fault: Fault,
    },
    /// The fault has happened, and these fail for ever.
    Failing {
        role: String,
        error: i32,
    },
    Done,
}

/// What becomes of a call.
enum Verdict {
    GoesOn,
    Fails(i32),
    /// It goes on when this is done.
    Waits(Box<dyn FnMut() + Send>),
}

impl Watch {
    /// A watch over a service with this root folder.
    pub fn new(root: &Path) -> Watch {
        Watch(Arc::new(Inner { root: root.to_owned(), state: Mutex::default() }))
    }

    /// Runs something that starts a process. It is watched, with all that it starts.
    pub fn over<T: Send>(&self, start: impl FnOnce() -> T + Send) -> T {
        let (hand_over, taken) = mpsc::channel();
        let own = self.clone();
        // Not made by the watched thread: what that makes is watched.
        thread::spawn(move || {
            if let Ok(listener) = taken.recv() {
                own.listen(Arc::new(listener));
            }
        });
        thread::scope(|scope| {
            let watched = scope.spawn(move || {
                let calls: Vec<i64> = CALLS.iter().map(|call| call.number).collect();
                let listener = Listener::on_this_thread(&calls).expect("watching system calls");
                hand_over.send(listener).expect("somebody who listens");
                start()
            });
            watched.join().expect("what is watched")
        })
    }

    /// Begins to record.
    pub fn record(&self) {
        self.begin(Doing::Recording(Vec::new()));
    }

    /// Ends to record; the steps in their order.
    pub fn recorded(&self) -> Vec<Made> {
        match std::mem::take(&mut self.lock().doing) {
            Doing::Recording(steps) => steps,
            _ => Vec::new(),
        }
    }

    /// Lets something go wrong at a step.
    pub fn strike_at(&self, step: Step, fault: Fault) {
        self.begin(Doing::Waiting { step, fault });
    }

    /// Whether the step was come to.
    pub fn has_struck(&self) -> bool {
        matches!(self.lock().doing, Doing::Done | Doing::Failing { .. })
    }

    /// Ends what fails for ever.
    pub fn end_drought(&self) {
        let mut state = self.lock();
        if matches!(state.doing, Doing::Failing { .. }) {
            state.doing = Doing::Done;
        }
    }

    /// Lets everything be as it is from now on; whether the step was come to.
    pub fn relent(&self) -> bool {
        let struck = self.has_struck();
        self.lock().doing = Doing::Nothing;
        struck
    }

    fn begin(&self, doing: Doing) {
        *self.lock() = State { doing, seen: HashMap::new() };
    }

    /// Hears calls until nobody is left who could make one.
    fn listen(&self, listener: Arc<Listener>) {
        while let Some(waiting) = listener.next().expect("hearing system calls") {
            match self.judge(&waiting, &listener) {
                Verdict::GoesOn => listener.answer(&waiting, None),
                Verdict::Fails(error) => listener.answer(&waiting, Some(error)),
                Verdict::Waits(mut what) => {
                    let listener = listener.clone();
                    thread::spawn(move || {
                        what();
                        listener.answer(&waiting, None);
                    });
                }
            }
        }
    }

    fn judge(&self, waiting: &Waiting, listener: &Listener) -> Verdict {
        if matches!(self.lock().doing, Doing::Nothing | Doing::Done) {
            return Verdict::GoesOn;
        }
        // The file system is asked about the process, for which nobody else has to wait.
        let Some(mut made) = Made::of(waiting, &self.0.root).filter(|_| listener.still_waits(waiting)) else {
            return Verdict::GoesOn;
        };
        let mut state = self.lock();
        let seen = state.seen.entry(made.step.clone()).or_default();
        *seen += 1;
        made.step.occurrence = *seen;
        match std::mem::take(&mut state.doing) {
            Doing::Recording(mut steps) => {
                steps.push(made);
                state.doing = Doing::Recording(steps);
            }
            Doing::Waiting { step, fault } if step == made.step => {
                state.doing = Doing::Done;
                match fault {
                    Fault::Do(mut what) => {
                        drop(state);
                        what();
                    }
                    Fault::Fail { error, for_ever } => {
                        if for_ever {
                            state.doing = Doing::Failing { role: step.role, error };
                        }
                        return Verdict::Fails(error);
                    }
                    Fault::KillItsMaker => kill_maker(waiting),
                    Fault::DoBeside(what) => return Verdict::Waits(what),
                    Fault::Delay => return Verdict::Waits(Box::new(|| thread::sleep(DELAY))),
                    Fault::Cut => cut(waiting),
                }
            }
            Doing::Failing { role, error } => {
                let fails = role == made.step.role && made.errors.contains(&error);
                state.doing = Doing::Failing { role, error };
                if fails {
                    return Verdict::Fails(error);
                }
            }
            other => state.doing = other,
        }
        Verdict::GoesOn
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process of the thread that has made a call.
fn maker(waiting: &Waiting) -> Option<u32> {
    crate::processes::status(waiting.thread, "Tgid").parse().ok()
}

fn kill_maker(waiting: &Waiting) {
    if let Some(process) = maker(waiting) {
        crate::processes::kill_if_there(process);
    }
}

/// Cuts the connection that a message is about to be sent through.
fn cut(waiting: &Waiting) {
    let process = maker(waiting).and_then(|process| i32::try_from(process).ok());
    let socket = process.and_then(Pid::from_raw).and_then(|process| {
        let process = pidfd_open(process, PidfdFlags::empty()).ok()?;
        pidfd_getfd(process.as_fd(), waiting.arguments[0] as i32, PidfdGetfdFlags::empty()).ok()
    });
    if let Some(socket) = socket {
        let _ = rustix::net::shutdown(&socket, Shutdown::Both);
    }
}
