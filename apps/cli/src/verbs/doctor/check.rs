//! What one check of `hcs doctor` has found, and what to do about it.

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Something works less well, or not in every case.
    Warning,
    /// What needs it does not work.
    Missing,
}

impl State {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "Ok",
            State::Warning => "Warning",
            State::Missing => "Missing",
        }
    }
}

/// A check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty if all is well.
    pub advice: String,
    /// Whether no container runs without it.
    pub is_vital: bool,
}

impl Check {
    /// All is well.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check { name, state: State::Ok, found: found.into(), advice: String::new(), is_vital: false }
    }

    /// It could be better.
    pub fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { state: State::Warning, advice: advice.into(), ..Check::ok(name, found) }
    }

    /// It is not there.
    pub fn missing(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { state: State::Missing, ..Check::warning(name, found, advice) }
    }

    /// Without it no container runs.
    pub fn vital(self) -> Check {
        Check { is_vital: true, ..self }
    }
}
