//! Documents of clients, on to what is to be made of them. Specifications of OCI are in them.
#![no_main]

use hcs_core::SystemId;
use hcs_schema::{ComputeSystem, ProcessParameters};

const PARENT: &str = "hcs";

/// A plan goes to the worker as text.
fn lasts<T: PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned>(plan: &T) {
    let text = serde_json::to_string(plan).expect("a plan");
    assert_eq!(serde_json::from_str::<T>(&text).expect("what we wrote"), *plan);
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reading) = hcs_schema::read::<ComputeSystem>(text) {
        let id = SystemId::new("fuzz").expect("an id");
        if let Ok((plan, notices)) = hcs_container::Plan::new(&reading, id.as_str(), id.runtime_id(), PARENT)
        {
            lasts(&plan);
            // Planning touches nothing, so it comes to the same.
            let again = hcs_container::Plan::new(&reading, id.as_str(), id.runtime_id(), PARENT);
            assert_eq!(again.expect("the same"), (plan, notices));
        }
        if let Ok((plan, _)) = hcs_machine::Plan::new(&reading, id.as_str(), id.runtime_id(), PARENT) {
            lasts(&plan);
        }
    }
    if let Ok(reading) = hcs_schema::read::<ProcessParameters>(text)
        && let Ok((plan, _)) = hcs_container::ProcessPlan::new(&reading)
    {
        lasts(&plan);
    }
});
