//! The life of a compute system: its states, the calls that each state admits, and where each call leads.
//!
//! ```text
//!            Create            Start               Pause
//!  Creating ────────► Created ───────► Running ◄──────────► Paused ── Save as template ──► SavedAsTemplate
//!     │                  │                │       Resume      │ ▲                                │
//!     │                  │                │                   └─┘ Save to file                   │
//!     └──────────────────┴────────────────┴───────┬───────────┴──────────────────────────────────┘
//!                                                 ▼
//!                                              Stopped   (terminate, shutdown, guest exit, crash)
//! ```
//!
//! One task of the service owns each system and asks [`Lifecycle`] before it acts: [`Lifecycle::begin`] admits
//! or refuses a call from the present state *and* the transition under way, [`Lifecycle::finish`] moves on when
//! the work is done. A refusal changes nothing. Adding a state or a call makes the compiler list the gaps.

use hcs_schema::State as DocumentState;

use crate::cause::Cause;

/// Where a compute system is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being made; not visible to others yet.
    Creating,
    /// Made, never started.
    Created,
    /// Running; processes can be created.
    Running,
    /// Suspended.
    Paused,
    /// A template to clone from; it never runs again.
    SavedAsTemplate,
    /// Ended; only its exit status is left.
    Stopped,
}

/// A call on a compute system, as far as its state matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// HcsCreateComputeSystem with this id.
    Create,
    /// HcsOpenComputeSystem.
    Open,
    /// HcsCloseComputeSystem.
    Close,
    /// HcsStartComputeSystem.
    Start,
    /// HcsShutDownComputeSystem.
    ShutDown,
    /// HcsTerminateComputeSystem.
    Terminate,
    /// HcsCrashComputeSystem.
    Crash,
    /// HcsPauseComputeSystem.
    Pause,
    /// HcsResumeComputeSystem.
    Resume,
    /// HcsSaveComputeSystem to a file.
    SaveToFile,
    /// HcsSaveComputeSystem as a template.
    SaveAsTemplate,
    /// HcsGetComputeSystemProperties.
    GetProperties,
    /// HcsModifyComputeSystem.
    Modify,
    /// HcsCreateProcess and HcsOpenProcess.
    UseProcesses,
    /// HcsSetComputeSystemCallback.
    SetCallback,
    /// HcsWaitForComputeSystemExit.
    WaitForExit,
}

impl Call {
    /// Every call.
    pub const ALL: [Call; 16] = [
        Call::Create,
        Call::Open,
        Call::Close,
        Call::Start,
        Call::ShutDown,
        Call::Terminate,
        Call::Crash,
        Call::Pause,
        Call::Resume,
        Call::SaveToFile,
        Call::SaveAsTemplate,
        Call::GetProperties,
        Call::Modify,
        Call::UseProcesses,
        Call::SetCallback,
        Call::WaitForExit,
    ];

    /// Whether the call moves the system from state to state, so that only one may be under way.
    pub fn is_transition(self) -> bool {
        match self {
            Call::Create
            | Call::Start
            | Call::Pause
            | Call::Resume
            | Call::SaveToFile
            | Call::SaveAsTemplate
            | Call::ShutDown
            | Call::Terminate => true,
            Call::Open
            | Call::Close
            | Call::Crash
            | Call::GetProperties
            | Call::Modify
            | Call::UseProcesses
            | Call::SetCallback
            | Call::WaitForExit => false,
        }
    }
}

impl State {
    /// Every state.
    pub const ALL: [State; 6] = [
        State::Creating,
        State::Created,
        State::Running,
        State::Paused,
        State::SavedAsTemplate,
        State::Stopped,
    ];

    /// Whether a system in this state, with nothing under way, admits the call.
    pub fn admits(self, call: Call) -> Result<(), Cause> {
        use Call::*;
        match (self, call) {
            (_, Close | SetCallback | WaitForExit) => Ok(()),

            (State::Stopped, Create) => Ok(()),
            (State::Stopped, Open) => Err(Cause::SystemNotFound),
            (State::Stopped, _) => Err(Cause::SystemAlreadyStopped),

            (_, Create) => Err(Cause::SystemAlreadyExists),
            (_, Terminate) => Ok(()),

            (State::Creating, Open) => Err(Cause::SystemNotFound),
            (_, Open) => Ok(()),
            (State::Creating, _) => Err(Cause::InvalidState),
            (_, GetProperties) => Ok(()),

            (State::Created, Start | Modify) => Ok(()),
            (
                State::Created,
                ShutDown | Crash | Pause | Resume | SaveToFile | SaveAsTemplate | UseProcesses,
            ) => Err(Cause::InvalidState),

            (State::Running, ShutDown | Crash | Pause | Modify | UseProcesses) => Ok(()),
            (State::Running, Start | Resume | SaveToFile | SaveAsTemplate) => Err(Cause::InvalidState),

            (State::Paused, Resume | SaveToFile | SaveAsTemplate | Modify) => Ok(()),
            (State::Paused, Start | ShutDown | Crash | Pause | UseProcesses) => Err(Cause::InvalidState),

            (
                State::SavedAsTemplate,
                Start | ShutDown | Crash | Pause | Resume | SaveToFile | SaveAsTemplate | Modify
                | UseProcesses,
            ) => Err(Cause::InvalidState),
        }
    }

    /// The state after the call succeeded.
    fn after(self, call: Call) -> State {
        match call {
            Call::Create => State::Created,
            Call::Start | Call::Resume => State::Running,
            Call::Pause => State::Paused,
            Call::SaveAsTemplate => State::SavedAsTemplate,
            Call::Terminate => State::Stopped,
            // A shutdown is done when the request is delivered; the exit tells the actual stop.
            Call::ShutDown | Call::SaveToFile => self,
            Call::Open
            | Call::Close
            | Call::Crash
            | Call::GetProperties
            | Call::Modify
            | Call::UseProcesses
            | Call::SetCallback
            | Call::WaitForExit => self,
        }
    }

    /// The spelling of the Properties document. Of a virtual machine that never started the service shows none.
    pub fn document(self) -> DocumentState {
        match self {
            State::Creating | State::Created => DocumentState::Created,
            State::Running => DocumentState::Running,
            State::Paused => DocumentState::Paused,
            State::SavedAsTemplate => DocumentState::SavedAsTemplate,
            State::Stopped => DocumentState::Stopped,
        }
    }

    /// The name under which the state is recorded.
    pub fn name(self) -> &'static str {
        match self {
            State::Creating => "Creating",
            State::Created => "Created",
            State::Running => "Running",
            State::Paused => "Paused",
            State::SavedAsTemplate => "SavedAsTemplate",
            State::Stopped => "Stopped",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The state of one system and the transition that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    state: State,
    under_way: Option<Call>,
    shutdown_delivered: bool,
}

impl Lifecycle {
    /// A system that is about to be made.
    pub fn new() -> Lifecycle {
        Lifecycle { state: State::Creating, under_way: Some(Call::Create), shutdown_delivered: false }
    }

    /// A system that was found in this state, with nothing under way.
    pub fn adopted(state: State) -> Lifecycle {
        Lifecycle { state, under_way: None, shutdown_delivered: false }
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The transition under way.
    pub fn under_way(&self) -> Option<Call> {
        self.under_way
    }

    /// Whether the call would be admitted now.
    pub fn admits(&self, call: Call) -> Result<(), Cause> {
        self.state.admits(call)?;
        match self.under_way {
            // Terminate overtakes everything, also an earlier terminate, whose end it shares.
            Some(_) if call.is_transition() && call != Call::Terminate => Err(Cause::InvalidState),
            Some(Call::Terminate) if matches!(call, Call::Modify | Call::UseProcesses | Call::Crash) => {
                Err(Cause::InvalidState)
            }
            _ if call == Call::ShutDown && self.shutdown_delivered => Err(Cause::SystemAlreadyStopped),
            _ => Ok(()),
        }
    }

    /// Admits a call and, if it is a transition, notes that it is under way.
    pub fn begin(&mut self, call: Call) -> Result<(), Cause> {
        self.admits(call)?;
        if call.is_transition() {
            self.under_way = Some(call);
        }
        Ok(())
    }

    /// The call that was begun is done. What a later terminate overtook has no effect any more.
    pub fn finish(&mut self, call: Call, succeeded: bool) {
        if self.under_way == Some(call) {
            self.under_way = None;
            if succeeded && self.state != State::Stopped {
                self.state = self.state.after(call);
                self.shutdown_delivered |= call == Call::ShutDown;
            }
        }
    }

    /// The call that nobody waits for any more has succeeded after all.
    pub fn finish_late(&mut self, call: Call) {
        if self.state.admits(call).is_ok() {
            self.state = self.state.after(call);
        }
    }

    /// The system ended, for whatever reason.
    pub fn exited(&mut self) {
        self.state = State::Stopped;
        self.under_way = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row by row: Created, Running, Paused, Stopped.
    #[test]
    fn calls_are_legal_exactly_where_the_reference_says() {
        use Call::*;
        let ok = Ok(());
        let state = Err(Cause::InvalidState);
        let stopped = Err(Cause::SystemAlreadyStopped);
        let table = [
            (Start, [ok, state, state, stopped]),
            (ShutDown, [state, ok, state, stopped]),
            (Terminate, [ok, ok, ok, stopped]),
            (Pause, [state, ok, state, stopped]),
            (Resume, [state, state, ok, stopped]),
            (SaveToFile, [state, state, ok, stopped]),
            (SaveAsTemplate, [state, state, ok, stopped]),
            (Crash, [state, ok, state, stopped]),
            (GetProperties, [ok, ok, ok, stopped]),
            (Modify, [ok, ok, ok, stopped]),
            (UseProcesses, [state, ok, state, stopped]),
            (SetCallback, [ok, ok, ok, ok]),
            (WaitForExit, [ok, ok, ok, ok]),
            (Close, [ok, ok, ok, ok]),
            (Open, [ok, ok, ok, Err(Cause::SystemNotFound)]),
            (Create, {
                let exists = Err(Cause::SystemAlreadyExists);
                [exists, exists, exists, ok]
            }),
        ];
        for (call, row) in table {
            for (state, expected) in
                [State::Created, State::Running, State::Paused, State::Stopped].into_iter().zip(row)
            {
                assert_eq!(Lifecycle::adopted(state).admits(call), expected, "{call:?} in {state:?}");
            }
        }
    }

    #[test]
    fn a_second_shutdown_is_answered_with_already_stopped() {
        let mut life = Lifecycle::adopted(State::Running);
        life.begin(Call::ShutDown).unwrap();
        life.finish(Call::ShutDown, true);
        assert_eq!(life.begin(Call::ShutDown), Err(Cause::SystemAlreadyStopped));
        assert_eq!(life.begin(Call::Terminate), Ok(()));
    }

    #[test]
    fn terminate_overtakes_a_start_whose_late_end_changes_nothing() {
        let mut life = Lifecycle::adopted(State::Created);
        life.begin(Call::Start).unwrap();
        life.begin(Call::Terminate).unwrap();
        life.finish(Call::Start, true);
        assert_eq!(life.state(), State::Created);
        life.finish(Call::Terminate, true);
        assert_eq!(life.state(), State::Stopped);
    }

    #[test]
    fn a_late_success_counts_where_the_system_still_is() {
        let mut life = Lifecycle::adopted(State::Running);
        life.begin(Call::Pause).unwrap();
        life.finish(Call::Pause, false);
        // It is tried again, and the worker refuses that, because it has done it.
        life.begin(Call::Pause).unwrap();
        life.finish_late(Call::Pause);
        life.finish(Call::Pause, false);
        assert_eq!((life.state(), life.under_way()), (State::Paused, None));
        life.finish_late(Call::Pause);
        assert_eq!(life.state(), State::Paused);
        life.exited();
        life.finish_late(Call::Resume);
        assert_eq!(life.state(), State::Stopped);
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }
}
