//! Hundreds of wrong documents: each is refused with the right code and the place of the mistake, nothing is
//! made of any, and the service goes on.
//!
//! What is expected stands in the tables as numbers and paths, and owes nothing to the code under test.

mod by_hand;
mod by_type;

use std::collections::HashSet;

use hcs_tests::{Service, raw::Raw};
use serde_json::{Value, json};

/// ERROR_INVALID_DATA: JSON, and not what the type says.
const INVALID_DATA: u32 = 0x8007_000D;

/// The call that a document goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    Create,
    StrictCreate,
    Properties,
    Modify,
    Pause,
    ShutDown,
    Save,
    Crash,
    Enumerate,
    CreateProcess,
    Signal,
    ModifyProcess,
    ServiceProperties,
    ServiceSettings,
    CrashReport,
}

/// A wrong document and what must be said of it.
#[derive(Debug)]
struct Case {
    target: Target,
    document: String,
    hresult: u32,
    /// With what the message begins, or what it contains if it is no path.
    place: String,
}

/// The numbers of a running system and of a process in it.
struct Handles {
    system: u64,
    process: u64,
}

impl Case {
    /// Sends it; says what is wrong with the reply.
    fn try_on(&self, connection: &mut Raw, handles: &Handles) -> Result<(), String> {
        let (method, name, rest) = match self.target {
            Target::Create => ("CreateComputeSystem", "document", r#","id":"wrong""#.to_owned()),
            Target::StrictCreate => {
                ("CreateComputeSystem", "document", r#","id":"wrong","strict":true"#.to_owned())
            }
            Target::Properties => {
                ("GetComputeSystemProperties", "query", format!(r#","handle":{}"#, handles.system))
            }
            Target::Modify => ("ModifyComputeSystem", "request", format!(r#","handle":{}"#, handles.system)),
            Target::Pause => ("PauseComputeSystem", "options", format!(r#","handle":{}"#, handles.system)),
            Target::ShutDown => {
                ("ShutDownComputeSystem", "options", format!(r#","handle":{}"#, handles.system))
            }
            Target::Save => ("SaveComputeSystem", "options", format!(r#","handle":{}"#, handles.system)),
            Target::Crash => ("CrashComputeSystem", "options", format!(r#","handle":{}"#, handles.system)),
            Target::Enumerate => ("EnumerateComputeSystems", "query", String::new()),
            Target::CreateProcess => {
                ("CreateProcess", "parameters", format!(r#","handle":{}"#, handles.system))
            }
            Target::Signal => ("SignalProcess", "options", format!(r#","process":{}"#, handles.process)),
            Target::ModifyProcess => {
                ("ModifyProcess", "request", format!(r#","process":{}"#, handles.process))
            }
            Target::ServiceProperties => ("GetServiceProperties", "query", String::new()),
            Target::ServiceSettings => ("ModifyServiceSettings", "settings", String::new()),
            Target::CrashReport => ("SubmitWerReport", "report", String::new()),
        };
        let parameters = format!(r#"{{"{name}":{}{rest}}}"#, self.document);
        match connection.call_text(method, &parameters) {
            Ok(reply) => Err(format!("it was accepted: {reply}")),
            Err((_, parameters)) => self.judge(&parameters),
        }
    }

    fn judge(&self, parameters: &Value) -> Result<(), String> {
        let signed = i64::from(self.hresult as i32);
        let message = parameters["message"].as_str().unwrap_or_default();
        let story = parameters["document"]["ErrorEvents"][0]["Message"].as_str().unwrap_or_default();
        if parameters["hresult"] != signed || parameters["document"]["Error"] != signed {
            return Err(format!("another code: {parameters}"));
        }
        let is_told = |text: &str| match self.place.strip_prefix('$') {
            Some(_) => text.starts_with(&format!("{}: ", self.place)),
            None => text.contains(&self.place),
        };
        if is_told(message) && is_told(story) { Ok(()) } else { Err(format!("another place: {message}")) }
    }
}

#[test]
fn every_malformed_document_is_refused_with_its_place_and_changes_nothing() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "bystander");
    let mut connection = Raw::connect(&service.socket());
    let opened = connection.call("OpenComputeSystem", &json!({ "id": "bystander" })).unwrap();
    let parameters =
        json!({ "handle": opened["handle"], "parameters": { "CommandArgs": ["sleep", "1000"] } });
    let process = connection.call("CreateProcess", &parameters).unwrap();
    let handles =
        Handles { system: opened["handle"].as_u64().unwrap(), process: process["process"].as_u64().unwrap() };
    let before = service.leftovers();

    let cases: Vec<Case> = by_type::cases().into_iter().chain(by_hand::cases()).collect();
    let distinct: HashSet<_> = cases.iter().map(|case| (case.target, &case.document)).collect();
    assert_eq!(distinct.len(), cases.len(), "a case is there twice");
    assert!(cases.len() >= 200);
    println!("{} malformed documents", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let said = case.try_on(&mut connection, &handles).err()?;
            Some(format!(
                "{:?} {} should be {:#x} at {}:\n    {said}",
                case.target, case.document, case.hresult, case.place
            ))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    // The service is alive and as it was.
    let systems = client.list(None).wait().unwrap();
    assert_eq!(systems.len(), 1);
    assert_eq!(service.leftovers(), before);
    assert!(client.crash_reports().wait().unwrap().is_empty());
    assert_eq!(crate::output(&_system, "echo untouched"), "untouched\n");
}

#[test]
fn an_id_must_be_a_short_line_of_text() {
    let service = Service::start();
    let mut connection = Raw::connect(&service.socket());
    let document = serde_json::to_value(service.document()).unwrap();
    for id in [String::new(), "x".repeat(257), "a\nb".to_owned(), "a\u{0}".to_owned(), "\u{7f}".to_owned()] {
        let (error, parameters) =
            connection.call("CreateComputeSystem", &json!({ "id": id, "document": document })).unwrap_err();
        assert_eq!(error, "io.hcs.Compute.InvalidArgument", "{id:?}: {parameters}");
        assert_eq!(parameters["hresult"], i64::from(0x8007_0057_u32 as i32));
    }
    for id in ["x".repeat(256), "a b/c".to_owned(), "☃".to_owned(), "..".to_owned()] {
        connection.call("CreateComputeSystem", &json!({ "id": id, "document": document })).unwrap();
    }
}
