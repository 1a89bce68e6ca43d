//! Which systems a verb works on, as people name them.

use hcs::{
    Cause, Client, System,
    schema::{Properties, SystemType},
};

use crate::{Context, failure::Failure};

/// How many systems are named when a beginning fits several.
const SHOWN: usize = 5;

/// The system that a verb works on.
#[derive(clap::Args)]
pub struct Target {
    /// The system's id, whose case does not matter; or a beginning of its id or runtime id that no other system has.
    #[arg(value_name = "SYSTEM")]
    id: String,
}

impl Target {
    /// Opens it.
    pub fn open(&self, context: &Context) -> Result<System, Failure> {
        open(&context.client()?, &self.id)
    }
}

/// The systems that a verb works on, one after the other.
#[derive(clap::Args)]
pub struct Targets {
    /// The systems' ids, or beginnings of their ids or runtime ids that no other system has.
    #[arg(value_name = "SYSTEM", required = true)]
    ids: Vec<String>,
}

impl Targets {
    /// Does it with each. A failure of one does not keep the others from their turn; the last failure is the verb's, those
    /// before it are told at once.
    pub fn each(
        &self,
        context: &Context,
        mut act: impl FnMut(System) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let client = context.client()?;
        let is_one = self.ids.len() == 1;
        let mut outcome = Ok(());
        for id in &self.ids {
            if let Err(failure) = open(&client, id).and_then(&mut act) {
                let failure = if is_one { failure } else { failure.of(id) };
                if let Err(before) = std::mem::replace(&mut outcome, Err(failure)) {
                    crate::tell(&before);
                }
            }
        }
        outcome
    }
}

/// Whether it is a virtual machine.
pub fn is_machine(system: &System) -> Result<bool, Failure> {
    Ok(system.properties(None).wait()?.system_type == Some(SystemType::VirtualMachine))
}

/// Opens the system of a name.
pub fn open(client: &Client, name: &str) -> Result<System, Failure> {
    match client.open(name).wait() {
        Err(error) if error.cause == Cause::SystemNotFound => {
            let id = resolve(name, &client.list(None).wait()?)?;
            Ok(client.open(&id).wait()?)
        }
        opened => Ok(opened?),
    }
}

/// The id of the one system that a name is the beginning of. Ids go before runtime ids, which nobody chose.
fn resolve(name: &str, systems: &[Properties]) -> Result<String, Failure> {
    let wanted = name.to_uppercase();
    let begins = |text: &str| !wanted.is_empty() && text.to_uppercase().starts_with(&wanted);
    let of_id: Vec<&str> =
        systems.iter().filter_map(|system| system.id.as_deref()).filter(|id| begins(id)).collect();
    let of_runtime_id = || {
        let runtime_id = |system: &&Properties| system.runtime_id.is_some_and(|id| begins(&id.to_string()));
        systems.iter().filter(runtime_id).filter_map(|system| system.id.as_deref()).collect()
    };
    let ids = if of_id.is_empty() { of_runtime_id() } else { of_id };
    match &ids[..] {
        [id] => Ok((*id).to_owned()),
        [] => Err(Failure::not_there(format!(
            "there is no system {name:?}; `hcs list` shows those that are there"
        ))),
        several => {
            let more = if several.len() > SHOWN { ", …" } else { "" };
            let named = several[..several.len().min(SHOWN)].join(", ");
            Err(Failure::not_there(format!(
                "{name:?} is the beginning of {} systems: {named}{more}; name one of them in full",
                several.len()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn systems() -> Vec<Properties> {
        let system = |id: &str, runtime: &str| {
            let text = format!(r#"{{"Id":{id:?},"RuntimeId":"{runtime}"}}"#);
            hcs::schema::read_strict(&text).expect("properties")
        };
        vec![
            system("web-1", "a0000000-0000-4000-8000-000000000001"),
            system("web-2", "b0000000-0000-4000-8000-000000000002"),
            system("Build", "c0000000-0000-4000-8000-000000000003"),
        ]
    }

    #[test]
    fn a_beginning_that_one_system_has_names_it() {
        assert_eq!(resolve("bui", &systems()).expect("one"), "Build");
        assert_eq!(resolve("b", &systems()).expect("an id before a runtime id"), "Build");
        assert_eq!(resolve("B000", &systems()).expect("one"), "web-2");
    }

    #[test]
    fn a_beginning_of_several_names_them_and_of_none_says_so() {
        let several = resolve("web", &systems()).expect_err("two");
        assert_eq!(
            several.message,
            "\"web\" is the beginning of 2 systems: web-1, web-2; name one of them in full"
        );
        for name in ["", "x"] {
            let none = resolve(name, &systems()).expect_err("none");
            assert!(none.message.starts_with("there is no system"), "{}", none.message);
        }
    }
}
