//! JSON as a tree that forgets nothing the checker needs: member order, duplicates, exact integers.
//!
//! Parsing itself is serde_json's; this module only decides what to keep, how deep to go, and that no object
//! may have a member twice. Duplicates are refused everywhere, also where the content is passed on unread:
//! two parsers that pick different ones of two members is how checks get bypassed.

use crate::error::{DocumentError, DocumentErrorKind};
use crate::path::Path;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Write};

/// The deepest nesting of objects and arrays accepted. Real documents stay below 20; serde_json would stop at
/// 128, so parsing a checked text again cannot fail on depth.
pub(crate) const MAX_DEPTH: usize = 64;

/// Characters of a value shown in an error.
const SHOWN: usize = 60;

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// Every integer that fits 64 bits with or without sign.
    Integer(i128),
    /// Every other number.
    Float(f64),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Parses `text`, which stands at `root`.
    pub(crate) fn parse(root: &str, text: &str) -> Result<Node, DocumentError> {
        let syntax =
            |found: String| DocumentError::new(DocumentErrorKind::Syntax, root, found, "a JSON document");
        if text.trim_ascii().is_empty() {
            return Err(syntax("empty text at line 1 column 1".into()));
        }
        if text.starts_with('\u{feff}') {
            return Err(syntax("a byte order mark at line 1 column 1".into()));
        }
        let refusal = RefCell::new(None);
        let seed = Seed { path: Path::Root(root), depth: 0, refusal: &refusal };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let node = seed.deserialize(&mut deserializer).and_then(|node| deserializer.end().map(|()| node));
        node.map_err(|error| refusal.into_inner().unwrap_or_else(|| syntax(error.to_string())))
    }

    /// The value as JSON, cut to a readable length.
    pub(crate) fn shown(&self) -> String {
        let mut out = Shortened { text: String::new(), left: SHOWN };
        // The only failure is "full", and then the text ends with the ellipsis it should end with.
        let _ = self.write(&mut out);
        out.text
    }

    fn write(&self, out: &mut Shortened) -> fmt::Result {
        match self {
            Node::Null => out.write_str("null"),
            Node::Bool(value) => write!(out, "{value}"),
            Node::Integer(value) => write!(out, "{value}"),
            // Integers beyond 64 bits arrive as floats; show what they were written as, but for the last digits.
            Node::Float(value) if (1e16..1e25).contains(&value.abs()) => write!(out, "{}", *value as i128),
            Node::Float(value) => write!(out, "{value:?}"),
            Node::Text(text) => write_text(text, out),
            Node::Array(items) => {
                out.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    out.write_str(if index == 0 { "" } else { "," })?;
                    item.write(out)?;
                }
                out.write_str("]")
            }
            Node::Object(members) => {
                out.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    out.write_str(if index == 0 { "" } else { "," })?;
                    write_text(name, out)?;
                    out.write_str(":")?;
                    value.write(out)?;
                }
                out.write_str("}")
            }
        }
    }
}

fn write_text(text: &str, out: &mut Shortened) -> fmt::Result {
    // Cut before quoting: a member may be megabytes long.
    let start: String = text.chars().take(SHOWN + 1).collect();
    match serde_json::to_string(&start) {
        Ok(quoted) => out.write_str(&quoted),
        Err(_) => out.write_str(&start),
    }
}

/// A string that ends with an ellipsis instead of growing beyond a number of characters.
struct Shortened {
    text: String,
    left: usize,
}

impl Write for Shortened {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            if self.left == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.text.push(c);
            self.left -= 1;
        }
        Ok(())
    }
}

/// Builds a node; carries down where it is and carries up our own refusals, which serde's error type cannot.
#[derive(Clone, Copy)]
struct Seed<'a> {
    path: Path<'a>,
    depth: usize,
    refusal: &'a RefCell<Option<DocumentError>>,
}

impl Seed<'_> {
    fn refuse<E: Error>(&self, kind: DocumentErrorKind, at: Path<'_>, found: &str, expected: String) -> E {
        *self.refusal.borrow_mut() = Some(DocumentError::new(kind, at, found, expected));
        E::custom("refused")
    }

    /// Must be passed before going into an array or object.
    fn descend<E: Error>(&self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        let expected = format!("no more than {MAX_DEPTH}");
        Err(self.refuse(DocumentErrorKind::TooDeep, self.path, "too many nested levels", expected))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.descend()?;
        let mut items = Vec::new();
        loop {
            let path = self.path.index(items.len());
            match access.next_element_seed(Seed { path, depth: self.depth + 1, ..self })? {
                Some(item) => items.push(item),
                None => return Ok(Node::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.descend()?;
        let mut members: Vec<(String, Node)> = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            let path = self.path.member(&name);
            let value = access.next_value_seed(Seed { path, depth: self.depth + 1, ..self })?;
            members.push((name, value));
        }
        let mut seen = HashSet::new();
        if let Some((twice, _)) = members.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            let path = self.path.member(twice);
            let expected = "it once".to_owned();
            return Err(self.refuse(DocumentErrorKind::Duplicate, path, "the member twice", expected));
        }
        Ok(Node::Object(members))
    }
}
