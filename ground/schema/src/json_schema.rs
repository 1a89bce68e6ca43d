//! The types as a JSON Schema (draft-07), for editors and for programs in other languages.
//!
//! Written from the same shapes that reading checks against, so the two cannot differ. The copy in
//! `hcs.schema.json` is compared by a test.

use crate::documents::{choices, shapes};
use crate::kind::{Choices, Format, Integer, Key, Kind, Member, Shape};
use serde_json::{Map, Value, json};

/// All types as one document with `definitions`. Deterministic: object members are in alphabetical order.
pub fn json_schema() -> Value {
    let documents = shapes().iter().map(|shape| (shape.name.to_owned(), document(shape)));
    let choices = choices().iter().map(|choices| (choices.name.to_owned(), choice(choices)));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Host Compute System documents",
        "definitions": documents.chain(choices).collect::<Map<_, _>>(),
    })
}

fn document(shape: &Shape) -> Value {
    let properties: Map<_, _> =
        shape.members.iter().map(|member| (member.name.to_owned(), property(member))).collect();
    let required: Vec<_> =
        shape.members.iter().filter(|member| member.required).map(|member| member.name).collect();
    let mut schema = json!({ "type": "object", "description": shape.doc, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(member: &Member) -> Value {
    let mut schema = value((member.kind)());
    // Draft-07 ignores what stands beside a `$ref`.
    if schema.get("$ref").is_some() {
        schema = json!({ "allOf": [schema] });
    }
    schema["description"] = json!(member.doc);
    schema["x-since"] = json!(member.since);
    if member.linux {
        schema["x-linux"] = json!(true);
    }
    schema
}

fn choice(choices: &Choices) -> Value {
    let spellings: Vec<_> = choices
        .values
        .iter()
        .flat_map(|choice| std::iter::once(choice.name).chain(choice.aliases.iter().copied()))
        .collect();
    let values: Map<_, _> = choices
        .values
        .iter()
        .map(|choice| {
            let mut about = json!({ "since": choice.since });
            if !choice.doc.is_empty() {
                about["description"] = json!(choice.doc);
            }
            (choice.name.to_owned(), about)
        })
        .collect();
    let mut schema = json!({ "type": "string", "description": choices.doc, "enum": spellings });
    schema["x-values"] = Value::Object(values);
    if choices.values.iter().all(|choice| choice.linux) {
        schema["x-linux"] = json!(true);
    }
    schema
}

fn value(kind: Kind) -> Value {
    match kind {
        Kind::Any => json!({}),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer(integer) => self::integer(integer),
        Kind::Text(format) => text(format),
        Kind::Choice(choices) => reference(choices.name),
        Kind::Document(shape) => reference(shape.name),
        Kind::Array(item, None) => json!({ "type": "array", "items": value(item()) }),
        Kind::Array(item, Some(length)) => {
            json!({ "type": "array", "items": value(item()), "minItems": length, "maxItems": length })
        }
        Kind::Map(key, entry) => {
            let mut schema = json!({ "type": "object", "additionalProperties": value(entry()) });
            match key {
                Key::Text => {}
                Key::Integer(_) => schema["propertyNames"] = json!({ "pattern": "^(0|[1-9][0-9]*)$" }),
                Key::Guid => schema["propertyNames"] = text(Format::Guid),
            }
            schema
        }
        Kind::Either(one, other) => json!({ "anyOf": [value(one()), value(other())] }),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn integer(integer: &Integer) -> Value {
    // Bounds fit 64 bits, with or without sign, by construction.
    let bound = |value: i128| u64::try_from(value).map_or_else(|_| json!(value as i64), |value| json!(value));
    json!({
        "type": "integer",
        "format": integer.name,
        "minimum": bound(integer.min),
        "maximum": bound(integer.max),
    })
}

fn text(format: Format) -> Value {
    match format {
        Format::Plain => json!({ "type": "string" }),
        Format::Binary => json!({ "type": "string", "format": "binary" }),
        Format::DateTime => json!({ "type": "string", "format": "date-time" }),
        Format::Base64 => json!({ "type": "string", "format": "byte", "contentEncoding": "base64" }),
        Format::MacAddress => json!({
            "type": "string",
            "format": "mac-address",
            "pattern": "^([0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}$|^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$",
        }),
        Format::Guid => {
            let guid = "[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}";
            json!({ "type": "string", "pattern": format!("^{guid}$|^\\{{{guid}\\}}$") })
        }
    }
}
