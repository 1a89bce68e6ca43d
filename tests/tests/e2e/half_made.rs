//! hcsd is killed in the midst of creations: what it finds afterwards is whole or gone.

use std::{path::PathBuf, thread, time::Duration};

use hcs_tests::{Service, leftovers, random::Random, raw, until};
use serde_json::json;

use crate::output;

const ROUNDS: usize = 20;
const CREATIONS: usize = 4;
/// Creations take less; later deaths find everything whole.
const LATEST_DEATH_MICROSECONDS: u64 = 15_000;

#[test]
fn nothing_half_made_survives_the_death_of_the_service() {
    let mut service = Service::start();
    let mut random = Random::new();
    println!("seed {random}");
    let document = hcs::schema::Any::from_value(&service.lasting_document()).unwrap();
    let mut whole = 0;
    for _ in 0..ROUNDS {
        // Each on a connection of its own, so that they are made at once; nobody waits for the replies.
        let mut connections: Vec<_> = (0..CREATIONS).map(|_| raw::Raw::connect(&service.socket())).collect();
        for (number, connection) in connections.iter_mut().enumerate() {
            let parameters = format!(r#"{{"id":"half-{number}","document":{}}}"#, document.get());
            connection.send(&raw::call_text("CreateComputeSystem", &parameters)).unwrap();
        }
        thread::sleep(Duration::from_micros(random.below(LATEST_DEATH_MICROSECONDS)));
        service.kill();
        let took = service.restart();
        assert!(took < Duration::from_secs(1), "the restart took {took:?}");

        let client = service.client();
        // The service is ready before a worker has answered that takes its time.
        let mut found: Vec<String> = Vec::new();
        until("what is on the host is what is listed, and no more", Duration::from_secs(5), || {
            found = client.list(None).wait().unwrap().into_iter().filter_map(|system| system.id).collect();
            let present = service.leftovers();
            let folders = present.files.iter().filter(|path| path.is_dir()).count();
            let cgroups_of = |parent: &PathBuf| {
                present.cgroups.iter().filter(|path| path.parent() == Some(parent)).count()
            };
            println!("{found:?} and {present}");
            present.workers.len() == found.len()
                && folders == found.len()
                && leftovers::parents(service.root()).iter().all(|parent| cgroups_of(parent) <= found.len())
        });
        for id in &found {
            let system = client.open(id).wait().unwrap();
            system.start().wait().unwrap();
            assert_eq!(output(&system, "echo whole"), "whole\n");
            system.terminate().wait().unwrap();
        }
        whole += found.len();
        service.await_nothing_left();
    }
    println!("of {} systems {whole} were whole", ROUNDS * CREATIONS);
}

#[test]
fn a_system_whose_creation_was_answered_survives_the_death_that_follows() {
    let mut service = Service::start();
    let document = serde_json::to_value(service.lasting_document()).unwrap();
    for round in 0..5 {
        let id = format!("answered-{round}");
        let mut connection = raw::Raw::connect(&service.socket());
        connection.call("CreateComputeSystem", &json!({ "id": id, "document": document })).unwrap();
        service.kill();
        service.restart();
        let system = service.client().open(&id).wait().unwrap();
        system.terminate().wait().unwrap();
    }
}
