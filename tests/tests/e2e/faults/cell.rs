//! One cell of the matrix: an operation in which one thing goes wrong at one step, and what holds afterwards.

use std::{
    fmt,
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    kind::Kind,
    operations::{ID, NotDone, Operation, Stage, execute},
};
use hcs::{
    Cause, System,
    schema::{ComputeSystem, NotificationType, State},
};
use hcs_tests::{
    Service,
    faults::{Fault, Step, Watch, step},
    processes,
};

/// How long an operation may take that something goes wrong in.
const HANGS: Duration = Duration::from_secs(25);
/// How long something is missing for ever. Then there is enough of it again, and everything must come to its end.
pub const DROUGHT: Duration = Duration::from_secs(2);
/// How long what is no part of the answer may take: the making of spare workers, the news of an end.
const SOON: Duration = Duration::from_secs(5);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The service.
    Service,
    /// The worker of the system.
    Worker,
    /// The first process of the container, or the QEMU of the machine.
    Inside,
    /// All workers that have no system.
    Spare,
    /// The program that has asked for the operation.
    Client,
    /// The program that is a device of the machine.
    Device,
    /// The agent in the machine.
    Agent,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Somebody is killed.
    Kill(Victim),
    /// The call fails with this error, once.
    FailOnce(i32),
    /// It fails from then on, and so does every other call that can fail like this.
    FailForEver(i32),
    /// A message is held back.
    Delay,
    /// A connection is cut.
    Cut,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = |error: &i32| std::io::Error::from_raw_os_error(*error);
        match self {
            Wrong::Kill(victim) => write!(f, "kill {victim:?}"),
            Wrong::FailOnce(error) => write!(f, "once: {}", errno(error)),
            Wrong::FailForEver(error) => write!(f, "for ever: {}", errno(error)),
            Wrong::Delay => f.write_str("delay"),
            Wrong::Cut => f.write_str("cut"),
        }
    }
}

/// What came of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that must hold held. How the operation ended, and where the system was then.
    Held(String),
    /// The step was not come to.
    NotReached,
    /// There was nobody to be killed.
    Nobody,
    /// What did not hold.
    Broken(String),
}

/// How an operation ended.
enum Ended {
    Done(Option<System>),
    NotDone(NotDone),
    /// Nobody has heard: who has asked was killed.
    Unheard,
}

/// A service, the watch over it, and what is done under both.
pub struct Place {
    pub service: Service,
    pub watch: Watch,
    read_of_log: usize,
    /// What is made here, and of what document.
    made: Option<(Kind, ComputeSystem)>,
}

impl Place {
    pub fn new() -> Place {
        let (service, watch) = Service::start_watched();
        // The first container of a service makes what all of them have.
        service.running(&service.client(), "first").terminate().wait().unwrap();
        Place { service, watch, read_of_log: 0, made: None }
    }

    fn stage(&mut self, kind: Kind) -> Stage {
        self.made.take_if(|(made, _)| *made != kind);
        let (_, document) = self.made.get_or_insert_with(|| (kind, kind.document(&self.service)));
        Stage::new(&self.service, &self.watch, kind, document.clone())
    }

    /// The steps of an operation that nothing disturbs.
    pub fn record(&mut self, operation: &Operation) -> Vec<hcs_tests::faults::Made> {
        let stage = self.stage(operation.kind);
        let system = stage.system_for(operation);
        self.settle();
        self.watch.record();
        let done = (operation.act)(&stage, system.clone());
        self.settle();
        let steps = self.watch.recorded();
        done.expect(operation.name);
        self.end_all(&stage, None).unwrap();
        steps
    }

    /// Tries one cell.
    pub fn cell(&mut self, operation: &Operation, step: &Step, wrong: Wrong) -> Outcome {
        let outcome = self.try_cell(operation, step, wrong);
        self.after(outcome)
    }

    /// What came of a cell, once everything is as it was before.
    pub fn after(&mut self, outcome: Result<Outcome, String>) -> Outcome {
        self.watch.relent();
        let checked = self.check_afterwards();
        match (outcome, checked) {
            (Ok(outcome), Ok(())) => outcome,
            (Err(broken), Ok(())) | (Ok(_), Err(broken)) => Outcome::Broken(broken),
            (Err(one), Err(other)) => Outcome::Broken(format!("{one}; {other}")),
        }
    }

    fn try_cell(&mut self, operation: &Operation, step: &Step, wrong: Wrong) -> Result<Outcome, String> {
        let mut stage = self.stage(operation.kind);
        let before = stage.system_for(operation);
        self.settle();
        let (strikes, struck) = mpsc::channel();
        let ended = self.act(operation, &stage, before.clone(), step, wrong, (strikes, &struck))?;
        if !self.watch.relent() {
            self.end_all(&stage, None)?;
            return Ok(Outcome::NotReached);
        }
        if matches!(wrong, Wrong::Kill(_)) && struck.recv_timeout(HANGS).unwrap_or(0) == 0 {
            self.end_all(&stage, None)?;
            return Ok(Outcome::Nobody);
        }
        if cuts_off(operation, step, wrong) {
            // The way to its agent ends only with its QEMU. Without it, it is a machine as any other.
            stage.kind = Kind::Machine;
        }
        let system = match &ended {
            Ended::Done(Some(system)) => Some(system.clone()),
            _ => before,
        };
        let mut state = self.state(wrong, operation, &ended)?;
        if matches!((wrong, &ended), (Wrong::FailOnce(_) | Wrong::FailForEver(_), Ended::Done(_))) {
            // What was told as done is still done for the next service.
            self.service.kill();
            self.service.restart();
            state = self.state(wrong, operation, &ended)?;
        }
        let told = super::judge::judge(operation, (step, wrong), &ended_as(&ended), state)?;
        let is_heard = !matches!(ended, Ended::Unheard);
        // QEMU 10.1 may be about to die of it.
        let may_last = (operation.kind, wrong) != (Kind::Slot, Wrong::Kill(Victim::Device))
            && stage.kind == operation.kind
            && !matches!(&ended, Ended::NotDone(NotDone::Told(error)) if super::judge::is_deaf(step, error));
        if state.is_some() && state == operation.from && operation.repeats && is_heard && may_last {
            state = self.again(operation, &stage, wrong, &ended)?;
        }
        // Of what is gone without a trace the next service can tell nobody how it ended.
        let is_forgotten =
            operation.to.is_none() && matches!(wrong, Wrong::Kill(Victim::Service) | Wrong::Cut);
        self.end_all(&stage, system.filter(|_| state.is_none() && !is_forgotten))?;
        Ok(Outcome::Held(told))
    }

    /// Who tries again gets it: that something was not done must not be in the way of it. In which state the system is then.
    fn again(
        &self,
        operation: &Operation,
        stage: &Stage,
        wrong: Wrong,
        ended: &Ended,
    ) -> Result<Option<State>, String> {
        if wrong == Wrong::Cut {
            stage.stand_by_anew()?
        } else {
            stage.stand_by()?
        }
        let failed = |error: NotDone| format!("and the next try: {error:?}");
        let is_unknown =
            matches!(ended, Ended::Done(_)) || matches!(wrong, Wrong::Kill(Victim::Service) | Wrong::Cut);
        let system = match self.service.client().open(ID).wait() {
            // It was about to end.
            Err(error) if is_unknown && is_of_an_end(&error) => return Ok(None),
            opened => opened.map_err(|error| failed(error.into()))?,
        };
        if operation.from == Some(State::Running) {
            self.await_agent(stage.kind, &system).map_err(failed)?;
        }
        let (act, stage) = (operation.act, stage.clone());
        let done = within(HANGS, move || act(&stage, Some(system)))?;
        match done {
            Ok(_) => Ok(operation.to),
            // It may have been done by somebody who lives.
            Err(NotDone::Told(error))
                if is_unknown && matches!(error.cause, Cause::AlreadyExists | Cause::NotFound) =>
            {
                Ok(operation.from)
            }
            Err(NotDone::Told(error)) if is_unknown && is_of_an_end(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// One that was killed is replaced.
    fn await_agent(&self, kind: Kind, system: &System) -> Result<(), NotDone> {
        let deadline = Instant::now() + HANGS;
        if kind != Kind::Utility {
            return Ok(());
        }
        loop {
            match system.run(&crate::script("true")).wait() {
                Err(error) if error.cause == Cause::ConnectionClosed && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                process => return Ok(process?.wait_blocking().map(drop)?),
            }
        }
    }

    /// Has the operation done, while something goes wrong.
    fn act(
        &mut self,
        operation: &Operation,
        stage: &Stage,
        before: Option<System>,
        step: &Step,
        wrong: Wrong,
        (strikes, struck): (mpsc::Sender<usize>, &mpsc::Receiver<usize>),
    ) -> Result<Ended, String> {
        let _ = struck;
        let mut client = None;
        if wrong == Wrong::Kill(Victim::Client) {
            let mut command = (operation.command)(stage);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            client = Some(command);
        }
        let (service, root) = (self.service.pid(), self.service.root().to_owned());
        let device = stage.device();
        let (identify, identified) = mpsc::channel::<u32>();
        let mut number_of_client = None;
        let fault = match wrong {
            Wrong::Kill(Victim::Agent) => {
                let stage = stage.clone();
                Fault::DoBeside(Box::new(move || {
                    let _ = strikes.send(usize::from(stage.end_agent()));
                }))
            }
            Wrong::Kill(victim) => Fault::Do(Box::new(move || {
                if victim == Victim::Client {
                    number_of_client = identified.recv_timeout(SOON).ok();
                }
                let beside = if victim == Victim::Device { device } else { number_of_client };
                let killed = victims(victim, service, &root, beside);
                killed.iter().for_each(|pid| processes::kill_if_there(*pid));
                let deadline = Instant::now() + SOON;
                while killed.iter().any(|pid| processes::is_alive(*pid)) && Instant::now() < deadline {
                    thread::yield_now();
                }
                let _ = strikes.send(killed.len());
            })),
            Wrong::FailOnce(error) => Fault::Fail { error, for_ever: false },
            Wrong::FailForEver(error) => Fault::Fail { error, for_ever: true },
            Wrong::Delay => Fault::Delay,
            Wrong::Cut => Fault::Cut,
        };
        self.watch.strike_at(step.clone(), fault);
        if let Some(mut command) = client {
            let mut child = command.spawn().map_err(|error| error.to_string())?;
            let _ = identify.send(child.id());
            super::await_end(&mut child, HANGS)?;
            self.settle();
            return Ok(Ended::Unheard);
        }
        let (tell, told) = mpsc::channel();
        let (own, act) = (stage.clone(), operation.act);
        thread::spawn(move || {
            let _ = tell.send(act(&own, before));
        });
        let (deadline, rain) = (Instant::now() + HANGS, Instant::now() + DROUGHT);
        let mut restarted = wrong != Wrong::Kill(Victim::Service);
        let mut is_unheard = operation.from == Some(State::Running) && cuts_off(operation, step, wrong);
        let ended = loop {
            match told.recv_timeout(Duration::from_millis(2)) {
                Ok(Ok(system)) => break Ended::Done(system),
                Ok(Err(error)) => break Ended::NotDone(error),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err("the client has panicked".to_owned()),
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                    return Err(format!("nobody has answered for {HANGS:?}"));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() > rain {
                self.watch.end_drought();
            }
            if is_unheard && Instant::now() + HANGS / 2 > deadline {
                is_unheard = false;
                // Nobody hears how a process has ended in there. Who waits for it is told with the end of the machine.
                let _ = self.service.client().open(ID).wait().and_then(|system| system.terminate().wait());
            }
            if !restarted && self.watch.has_struck() {
                restarted = true;
                self.service.kill();
                self.service.restart();
            }
        };
        // The step may be behind the answer: the making of the next spare worker.
        self.settle();
        if !restarted && self.watch.has_struck() {
            self.service.kill();
            self.service.restart();
        }
        Ok(ended)
    }

    /// In which state the service says that the system is.
    fn state(&self, wrong: Wrong, operation: &Operation, ended: &Ended) -> Result<Option<State>, String> {
        let client = self.service.client();
        let state = || -> Result<Option<State>, String> {
            let listed = client.list(None).wait().map_err(|error| format!("listing: {error}"))?;
            let listed = listed.into_iter().find(|one| one.id.as_deref() == Some(ID));
            if listed.is_none() {
                return Ok(None);
            }
            let told = client.open(ID).wait().and_then(|system| system.properties(None).wait());
            match told {
                // That of a machine is told from its start on. It may have moved on since the list was made.
                Ok(told) => Ok(told.state.or(Some(State::Created))),
                // It has ended between the two questions.
                Err(error) if matches!(error.cause, Cause::SystemNotFound | Cause::SystemAlreadyStopped) => {
                    Ok(None)
                }
                Err(error) => Err(format!("its properties: {error}")),
            }
        };
        // Who kills a worker or an init has the system ended; when is for the service to see.
        // So it is where QEMU has ended of what went wrong. A start that was not done leaves what can be started.
        let is_told =
            matches!(ended, Ended::NotDone(NotDone::Told(error)) if error.cause == Cause::UnexpectedExit);
        let ends = match wrong {
            Wrong::Kill(Victim::Worker) => true,
            Wrong::Kill(Victim::Inside) if operation.kind == Kind::Container => true,
            _ if operation.from == Some(State::Created) && is_told => false,
            Wrong::Kill(Victim::Inside) => true,
            _ => operation.to.is_none() || is_told,
        };
        let unheard = matches!(ended, Ended::Unheard);
        let deadline = Instant::now() + if ends || unheard { SOON } else { Duration::ZERO };
        loop {
            let found = state()?;
            let under_way = client.operations().wait().map_err(|error| format!("operations: {error}"))?;
            let is_settled = if unheard { under_way.len() <= 1 } else { !ends || found.is_none() };
            if is_settled || Instant::now() > deadline {
                return Ok(found);
            }
        }
    }

    /// Ends what is there, and looks whether nothing is left. One that has ended already must have said so.
    fn end_all(&mut self, stage: &Stage, ended: Option<System>) -> Result<(), String> {
        if let Some(system) = ended {
            let (tell, told) = mpsc::channel();
            thread::spawn(move || tell.send(system.wait_blocking()));
            match told.recv_timeout(SOON) {
                Ok(Ok(status)) if status.exit_type.is_some_and(|how| how != NotificationType::None) => {}
                Ok(Ok(status)) => return Err(format!("the end is told as {status:?}")),
                Ok(Err(error)) => return Err(format!("the end is told as {error}")),
                Err(_) => return Err("the end is not told".to_owned()),
            }
        }
        let client = self.service.client();
        let listed = client.list(None).wait().map_err(|error| format!("listing: {error}"))?;
        let mut ids: Vec<String> = listed.into_iter().filter_map(|one| one.id).collect();
        // What others go on from is ended last.
        ids.sort_by_key(|id| id != ID);
        for id in ids {
            if id == ID && stage.kind != Kind::Slot {
                // QEMU may die of a device that does while the firmware sets up the memory of the machine.
                stage.stand_by().or_else(|error| if goes(&client, ID) { Ok(()) } else { Err(error) })?;
            }
            match self.end(&client, stage.kind, &id) {
                // It was listed, and has ended since of what went wrong, or of what somebody had asked who was killed.
                Err(NotDone::Told(error)) if is_of_an_end(&error) => {}
                // One that was killed while it was paused dies when it goes on, and takes along what is just being started.
                Err(NotDone::Told(error))
                    if matches!(error.cause, Cause::InvalidState | Cause::ProcessAlreadyStopped)
                        && goes(&client, &id) => {}
                outcome => outcome.map_err(|error| format!("ending {id}: {error:?}"))?,
            }
        }
        Ok(())
    }

    /// Shows that a system works, and ends it.
    fn end(&self, client: &hcs::Client, kind: Kind, id: &str) -> Result<(), NotDone> {
        let system = client.open(id).wait()?;
        // One that has an agent boots.
        let deadline = Instant::now() + if kind == Kind::Utility { HANGS } else { SOON };
        loop {
            let is_proven = match system.properties(None).wait()?.state {
                Some(State::Created) | None => system.start().wait().map(|()| false).map_err(NotDone::from),
                Some(State::Paused) => system.resume().wait().map(|()| false).map_err(NotDone::from),
                Some(State::Running) => {
                    self.await_agent(kind, &system).and_then(|()| kind.prove(&system)).map(|()| true)
                }
                _ => break,
            };
            match is_proven {
                Ok(true) => break,
                Ok(false) => {}
                // Somebody who was killed meanwhile has asked for something, and it is under way.
                Err(NotDone::Told(error))
                    if error.cause == Cause::InvalidState && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
        system.terminate().wait()?;
        system.wait_blocking()?;
        Ok(())
    }

    /// Whatever has happened: nothing is left, nobody has panicked, and the next container works.
    fn check_afterwards(&mut self) -> Result<(), String> {
        if !processes::is_alive(self.service.pid()) {
            self.service.kill();
            self.service.restart();
            return Err("the service has ended".to_owned());
        }
        let client = self.service.client();
        let deadline = Instant::now() + SOON;
        loop {
            // One whose client was killed while it was made may come into being only now.
            for id in client.list(None).wait().unwrap_or_default().into_iter().filter_map(|one| one.id) {
                let _ = client.open(&id).wait().and_then(|system| system.terminate().wait());
            }
            let left = self.service.leftovers();
            if left.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                self.start_anew();
                return Err(format!("left on the host: {left}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        let log = self.service.log();
        let news = log.get(self.read_of_log..).unwrap_or_default();
        // What a program of others makes of a want is its own matter: virtiofsd panics. None of ours lies at the root of its sources.
        let is_ours = |line: &&str| line.contains("panicked") && !line.contains("panicked at src/");
        let panic = news.lines().find(is_ours).map(str::to_owned);
        self.read_of_log = log.len();
        if let Some(line) = panic {
            return Err(line);
        }
        let life = || -> Result<(), NotDone> {
            let system = client.create("next", &self.service.lasting_document()).wait()?;
            system.start().wait()?;
            execute(&system)?;
            system.terminate().wait()?;
            Ok(())
        };
        life().map_err(|error| format!("the next container: {error:?}"))?;
        // A spare worker that was killed is buried when another is wanted, which was just now.
        let deadline = Instant::now() + SOON;
        while !unburied(self.service.pid()).is_empty() {
            if Instant::now() > deadline {
                let dead = unburied(self.service.pid());
                self.start_anew();
                return Err(format!("dead and not buried: {dead:?}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// After a failure that would be seen again in every cell that follows.
    fn start_anew(&mut self) {
        let old = std::mem::replace(self, Place::new());
        let _ = thread::spawn(move || {
            let _service = old.service;
            panic!("it left something, and is given up with it");
        })
        .join();
    }

    /// Waits until the service has as many spare workers as it keeps, or the step has been come to.
    pub fn settle(&self) {
        let deadline = Instant::now() + SOON;
        while self.service.spare_workers().len() < 3 && Instant::now() < deadline {
            if self.watch.has_struck() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Whether nobody in the machine may be heard any more: who carries what its agent says, or a folder to it, has been cut off.
pub fn cuts_off(operation: &Operation, step: &Step, wrong: Wrong) -> bool {
    let is_carried = step.speaks_to_agent() || step.is_of_machine();
    operation.kind == Kind::Utility && wrong == Wrong::Cut && is_carried
}

fn ended_as(ended: &Ended) -> Option<Result<(), &NotDone>> {
    match ended {
        Ended::Done(_) => Some(Ok(())),
        Ended::NotDone(error) => Some(Err(error)),
        Ended::Unheard => None,
    }
}

/// What is said of a system that ends.
fn is_of_an_end(error: &hcs::Error) -> bool {
    use Cause::{SystemAlreadyStopped, SystemNotFound, Terminated, TerminatedDuringStart, UnexpectedExit};
    matches!(
        error.cause,
        SystemAlreadyStopped | SystemNotFound | Terminated | TerminatedDuringStart | UnexpectedExit
    )
}

/// Whether a system goes by itself: its end is under way.
fn goes(client: &hcs::Client, id: &str) -> bool {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if client.open(id).wait().is_err_and(|error| error.cause == Cause::SystemNotFound) {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Does something that may hang.
fn within<T: Send + 'static>(time: Duration, what: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(what()));
    told.recv_timeout(time).map_err(|_| format!("and the next try takes longer than {time:?}"))
}

/// The children of a process that have died and wait to be buried.
fn unburied(of: u32) -> Vec<u32> {
    processes::children(of)
        .into_iter()
        .filter(|pid| processes::status(*pid, "State").starts_with('Z'))
        .collect()
}

/// Who is to be killed at this moment.
fn victims(victim: Victim, service: u32, root: &std::path::Path, beside: Option<u32>) -> Vec<u32> {
    let is_worker = |pid: &u32| step::program(*pid).as_deref() == Some("hcs-worker");
    let workers = || processes::listening_below(&root.join("run/systems")).into_iter().filter(is_worker);
    match victim {
        Victim::Service => vec![service],
        Victim::Worker => workers().collect(),
        Victim::Inside => {
            let is_inside = |pid: &u32| matches!(processes::read(*pid, "comm").trim(), "hcs-init" | "hcs-vm");
            workers().flat_map(processes::children).filter(is_inside).collect()
        }
        Victim::Spare => processes::children(service)
            .into_iter()
            .filter(is_worker)
            .filter(|pid| step::is_spare(*pid))
            .collect(),
        Victim::Client | Victim::Device => beside.into_iter().collect(),
        // Its process is in the machine.
        Victim::Agent => Vec::new(),
    }
}
