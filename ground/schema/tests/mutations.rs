//! Damaged documents: whatever happens to the bytes, reading answers and never panics.

// Helpers of tests may unwrap as the tests themselves may.
#![expect(clippy::unwrap_used, reason = "a panic is the message")]

use hcs_schema::*;
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Reads `text` as several types; what passes must survive being written.
fn read_all(text: &str) {
    fn one<T: Document + PartialEq + std::fmt::Debug>(text: &str) {
        match read::<T>(text) {
            Ok(reading) => {
                let written = serde_json::to_string(&reading.value).unwrap();
                let again = read::<T>(&written).unwrap_or_else(|error| panic!("{error}\n{text}\n{written}"));
                assert_eq!(again.value, reading.value);
                assert_eq!(read_strict::<T>(text).is_ok(), reading.unknown.is_empty());
            }
            // A syntax error where serde sees none would mean that checking and types disagree.
            Err(error) if error.kind == DocumentErrorKind::Syntax => {
                assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{error} in {text}");
            }
            Err(error) => assert!(error.to_string().starts_with('$')),
        }
    }
    one::<ComputeSystem>(text);
    one::<ProcessParameters>(text);
    one::<ModifySettingRequest>(text);
    one::<Properties>(text);
    one::<SignalProcessOptions>(text);
    one::<Attachment>(text);
    one::<ResultError>(text);
}

fn documents() -> Vec<String> {
    let all: BTreeMap<&str, Vec<&RawValue>> =
        serde_json::from_str(include_str!("data/documents.json")).unwrap();
    all.into_values().flatten().map(|text| text.get().to_owned()).collect()
}

/// Pieces that are likely to turn one good document into an interesting bad one.
const PIECES: [&str; 16] = [
    "null",
    "0",
    "-1",
    "1e400",
    "1.5",
    "{}",
    "[]",
    "\"\"",
    "true",
    ",",
    "}",
    "18446744073709551616",
    "\"\\ud800\"",
    "{\"a\":1,\"a\":2}",
    "\u{feff}",
    "\"Type\":",
];

fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, u8)> {
    (any::<prop::sample::Index>(), 0..PIECES.len() + 3, any::<u8>())
}

fn mutate(document: &str, mutations: &[(prop::sample::Index, usize, u8)]) -> String {
    let mut bytes = document.as_bytes().to_vec();
    for (place, what, byte) in mutations {
        let at = place.index(bytes.len().max(1)).min(bytes.len());
        match what.checked_sub(PIECES.len()) {
            None => drop(bytes.splice(at..at, PIECES[*what].bytes())),
            Some(0) => bytes.truncate(at),
            Some(1) => bytes.insert(at, *byte),
            Some(_) => {
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_documents_never_panic(
        which in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        thread_local!(static DOCUMENTS: Vec<String> = documents());
        let text = DOCUMENTS.with(|all| mutate(&all[which.index(all.len())], &mutations));
        read_all(&text);
    }

    #[test]
    fn any_text_never_panics(text in any::<String>()) {
        read_all(&text);
    }
}

/// Values of every sort.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (0u64..300).prop_map(Into::into),
        any::<f64>().prop_map(|number| serde_json::json!(number)),
        prop::sample::select(vec!["", "Add", "15", "VirtualDisk", "CtrlC", "Running", "/x", "\u{0}é"])
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            prop::collection::vec((prop::sample::select(members()), inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// All member names, so that random objects meet real members.
fn members() -> Vec<String> {
    let names = shapes().iter().flat_map(|shape| shape.members).map(|member| member.name.to_owned());
    names.chain(["0".into(), "boot".into()]).collect()
}

/// A random value put into every member of a type in turn.
fn into_members<T: Document>(value: &serde_json::Value) {
    for member in T::shape().members {
        read_all(&serde_json::json!({ member.name: value }).to_string());
    }
}

proptest! {
    #[test]
    fn checking_and_types_agree(value in value()) {
        read_all(&value.to_string());
        into_members::<ComputeSystem>(&value);
        into_members::<ProcessParameters>(&value);
        into_members::<Attachment>(&value);
        into_members::<SignalProcessOptions>(&value);
    }
}
