//! The types against the published schema: nothing of it may be missing or of another type.
//!
//! `data/members.txt` is a compact list of the schema's types, members and values, and is what counts. Where
//! the specification itself is at hand (`HCS_SPEC`) the list can be compared with it.

// Helpers of tests may unwrap as the tests themselves may.
#![expect(clippy::unwrap_used, reason = "a panic is the message")]

use hcs_schema::{Format, Kind, choices, json_schema, shapes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MEMBERS: &str = include_str!("data/members.txt");

/// Members whose type is wider here than in the schema, because clients send more.
const WIDER: [(&str, &str); 2] = [
    ("GuestModifySettingRequest.ResourceType: ModifyResourceType", "string"),
    ("GuestModifySettingRequest.RequestType: ModifyRequestType", "string"),
];

/// A kind as `members.txt` writes it.
fn spelt(kind: Kind) -> String {
    match kind {
        Kind::Any => "any".into(),
        Kind::Bool => "bool".into(),
        Kind::Integer(integer) => integer.name.into(),
        Kind::Text(Format::Plain) => "string".into(),
        Kind::Text(Format::Guid) => "guid".into(),
        Kind::Text(Format::MacAddress) => "mac-address".into(),
        Kind::Text(Format::DateTime) => "date-time".into(),
        Kind::Text(Format::Base64) => "base64".into(),
        Kind::Text(Format::Binary) => "binary".into(),
        Kind::Choice(choices) => choices.name.into(),
        Kind::Document(shape) => shape.name.into(),
        Kind::Array(item, _) => format!("{}[]", spelt(item())),
        Kind::Map(_, value) => format!("map<{}>", spelt(value())),
        // The schema knows the text form only.
        Kind::Either(text, _) => spelt(text()),
    }
}

#[test]
fn every_type_member_and_value_exists() {
    let ours: BTreeSet<String> = shapes()
        .iter()
        .flat_map(|shape| {
            let members = shape.members.iter();
            members
                .map(|member| format!("{}.{}: {}", shape.name, member.name, spelt((member.kind)())))
                .chain([shape.name.to_owned()])
        })
        .collect();
    let enumerations: BTreeMap<_, _> = choices().iter().map(|choices| (choices.name, *choices)).collect();
    let mut types = 0;
    for line in MEMBERS.lines() {
        if let Some((name, values)) = line.split_once(" = ") {
            types += 1;
            let choices = enumerations.get(name).unwrap_or_else(|| panic!("no enumeration {name}"));
            for value in values.split(' ') {
                let value = if value == "\"\"" { "" } else { value };
                assert!(choices.contains(value), "{name} lacks {value:?}");
            }
            continue;
        }
        types += usize::from(!line.contains('.'));
        match WIDER.iter().find(|(member, _)| *member == line) {
            Some((member, wider)) => {
                let name = member.split(':').next().unwrap();
                assert!(ours.contains(&format!("{name}: {wider}")), "{line} is not {wider}");
            }
            None => assert!(ours.contains(line), "missing: {line}"),
        }
    }
    assert_eq!(types, 253);
    assert!(shapes().len() + choices().len() > types);
}

#[test]
fn names_are_unique_and_everything_is_described() {
    let mut names = BTreeSet::new();
    for shape in shapes() {
        assert!(names.insert(shape.name), "{} twice", shape.name);
        assert!(!shape.doc.is_empty());
        let mut members = BTreeSet::new();
        for member in shape.members {
            assert!(members.insert(member.name), "{}.{} twice", shape.name, member.name);
            assert!(!member.doc.is_empty());
            assert_eq!(member.linux, member.since == "linux");
            let level = ["2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "client", "linux", "oci"];
            assert!(level.contains(&member.since), "{}.{}", shape.name, member.name);
        }
    }
    for choices in choices() {
        assert!(names.insert(choices.name), "{} twice", choices.name);
        assert!(!choices.doc.is_empty());
    }
}

#[test]
fn linux_additions_are_marked() {
    let linux: Vec<String> = shapes()
        .iter()
        .flat_map(|shape| {
            let members = shape.members.iter().filter(|member| member.linux);
            members.map(|member| format!("{}.{}", shape.name, member.name))
        })
        .collect();
    let expected = [
        "Container.OciSpecification",
        "HostedSystem.OciBundlePath",
        "HostedSystem.ScratchDirPath",
        "HostedSystem.OciSpecification",
        "NetworkAdapter.Linux",
        "NetworkLinux.Mode",
        "NetworkLinux.Name",
        "NetworkLinux.Namespace",
        "Networking.Linux",
        "ProcessLinux.Log",
        "ProcessLog.MaximumSizeBytes",
        "ProcessParameters.OciProcess",
        "ProcessParameters.Linux",
        "ProcessStatus.Linux",
        "ProcessStatusLinux.KilledByMemoryLimit",
    ];
    assert_eq!(linux, expected);
}

#[test]
fn the_json_schema_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hcs.schema.json");
    let file = fs::read_to_string(path).unwrap_or_default();
    assert!(
        file == format!("{:#}\n", json_schema()),
        "hcs.schema.json is out of date; write it again with\n  \
         cargo run -p hcs-schema --example json_schema > ground/schema/hcs.schema.json"
    );
}

#[test]
fn the_json_schema_refers_to_itself_only() {
    let schema = json_schema();
    let definitions = schema["definitions"].as_object().unwrap();
    assert_eq!(definitions.len(), shapes().len() + choices().len());
    fn walk(value: &Value, see: &mut impl FnMut(&str)) {
        match value {
            Value::Object(members) => {
                members.get("$ref").and_then(Value::as_str).into_iter().for_each(&mut *see);
                members.values().for_each(|value| walk(value, see));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, see)),
            _ => {}
        }
    }
    let mut references = 0;
    walk(&schema, &mut |reference| {
        references += 1;
        let name = reference.strip_prefix("#/definitions/").unwrap();
        assert!(definitions.contains_key(name), "{reference}");
    });
    assert!(references > 200);
    let processor = &definitions["VirtualMachine_Memory"]["properties"]["SizeInMB"];
    assert_eq!(processor["maximum"].as_u64(), Some(u64::MAX));
    assert_eq!(definitions["Container"]["properties"]["OciSpecification"]["x-linux"], true);
}

#[test]
#[ignore = "by hand: HCS_SPEC names the folder of the specification, which is not part of this repository"]
fn the_member_list_is_that_of_the_specification() {
    let folder = PathBuf::from(std::env::var_os("HCS_SPEC").expect("HCS_SPEC"));
    let definitions = |file: &str| -> BTreeMap<String, Value> {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(schema["definitions"].take()).unwrap()
    };
    let mut expected = BTreeSet::new();
    for (name, definition) in
        definitions("schema.json").into_iter().chain(definitions("schema-additions.json"))
    {
        match definition["enum"].as_array() {
            Some(values) => {
                expected.extend(values.iter().map(|value| format!("{name} = {}", value.as_str().unwrap())))
            }
            None => {
                let members = definition["properties"].as_object().unwrap();
                expected.extend(
                    members.iter().map(|(member, kind)| format!("{name}.{member}: {}", published(kind))),
                );
                expected.insert(name);
            }
        }
    }
    let mut listed = BTreeSet::new();
    for line in MEMBERS.lines() {
        match line.split_once(" = ") {
            Some((name, values)) => {
                listed.extend(values.split(' ').map(|value| format!("{name} = {}", value.trim_matches('"'))));
            }
            None => drop(listed.insert(line.to_owned())),
        }
    }
    assert_eq!(listed, expected);
}

/// A kind of the published schema as `members.txt` writes it.
fn published(kind: &Value) -> String {
    let text = |name: &str| kind[name].as_str().map(str::to_owned);
    if let Some(reference) = text("$ref") {
        return reference.trim_start_matches("#/definitions/").to_owned();
    }
    match kind["type"].as_str().unwrap() {
        "array" => format!("{}[]", published(&kind["items"])),
        "object" if kind["additionalProperties"].is_object() => {
            format!("map<{}>", published(&kind["additionalProperties"]))
        }
        "object" => "any".into(),
        "boolean" => "bool".into(),
        "integer" => text("format").unwrap(),
        "string" if kind["pattern"].is_string() => "guid".into(),
        "string" => text("format").map_or("string".into(), |format| format.replace("byte", "base64")),
        other => panic!("type {other}"),
    }
}

#[test]
fn the_schema_that_is_checked_in_is_what_the_types_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hcs.schema.json");
    let (found, wanted) = (fs::read_to_string(&file).unwrap(), format!("{:#}\n", json_schema()));
    let difference =
        found.lines().zip(wanted.lines()).enumerate().find(|(_, (found, wanted))| found != wanted);
    let remedy = "write it anew with `cargo xtask schema`";
    assert_eq!(difference, None, "a line, as it is there and as it should be; {remedy}");
    assert_eq!(found.len(), wanted.len(), "how long it is, and should be; {remedy}");
}
