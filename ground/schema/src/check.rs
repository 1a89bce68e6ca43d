//! The walk of a parsed document along its type.
//!
//! Called by `read`. One walk finds the first mistake, or else every unknown member and every member present; it
//! goes on past mistakes if it is asked for all of them.
//! What passes here is certain to deserialise into the Rust type, so the rules must not be laxer than those
//! of the types.

use crate::error::{DocumentError, DocumentErrorKind};
use crate::format::{is_base64, is_date_time};
use crate::kind::{Choices, Format, Integer, Key, Kind, Shape};
use crate::member::{PresentMember, UnknownMember};
use crate::node::Node;
use crate::path::Path;
use crate::suggest::{nearest, ranked};
use crate::{Guid, MacAddress};
use std::collections::HashSet;

/// Values of an enumeration that are all named in an error; of longer ones, as many nearest.
const NAMED: usize = 12;

/// The most bytes of paths that one document's members are told with. A name that is long stands in the path of every member
/// below it, so a small document could ask for more memory than there is.
const MOST_PATHS: usize = 64 << 20;

/// What a walk has found so far.
pub(crate) struct Check {
    /// How many bytes of paths may still be told.
    room: usize,
    /// Whether an unknown member is a mistake.
    strict: bool,
    /// The mistakes so far, if all are wanted; otherwise the first one ends the walk.
    mistakes: Option<Vec<DocumentError>>,
    pub(crate) unknown: Vec<UnknownMember>,
    pub(crate) present: Vec<PresentMember>,
}

impl Check {
    pub(crate) fn new(strict: bool) -> Self {
        Self { room: MOST_PATHS, strict, mistakes: None, unknown: Vec::new(), present: Vec::new() }
    }

    /// Every mistake in `node`, unknown members among them, in document order.
    pub(crate) fn all_mistakes(kind: Kind, node: &Node, path: Path<'_>) -> Vec<DocumentError> {
        let mut check = Self { mistakes: Some(Vec::new()), ..Self::new(true) };
        let last = check.value(kind, node, path).err();
        check.mistakes.into_iter().flatten().chain(last).collect()
    }

    /// Lets a mistake end the walk, or keeps it and goes on.
    fn settle(&mut self, result: Result<(), DocumentError>) -> Result<(), DocumentError> {
        match (result, &mut self.mistakes) {
            (Err(mistake), Some(mistakes)) => {
                mistakes.push(mistake);
                Ok(())
            }
            (result, _) => result,
        }
    }

    /// Checks that `node` is of `kind`.
    pub(crate) fn value(&mut self, kind: Kind, node: &Node, path: Path<'_>) -> Result<(), DocumentError> {
        use DocumentErrorKind::{Malformed, NotAllowed, OutOfRange, WrongType};
        let wrong = match (kind, node) {
            (Kind::Any, _) | (Kind::Bool, Node::Bool(_)) => None,
            (Kind::Integer(integer), Node::Integer(value)) => {
                (!integer.contains(*value)).then_some(OutOfRange)
            }
            // A whole number too large for the parser's integers; 1.0 and 1e3 stay what they look like.
            (Kind::Integer(_), Node::Float(value)) if value.fract() == 0.0 && value.abs() >= 1e18 => {
                Some(OutOfRange)
            }
            (Kind::Text(format), Node::Text(text)) => (!format.allows(text)).then_some(Malformed),
            (Kind::Choice(choices), Node::Text(text)) => {
                if choices.contains(text) {
                    None
                } else {
                    let expected = expected_of(choices, Some(text));
                    return Err(DocumentError::new(NotAllowed, path, node.shown(), expected));
                }
            }
            (Kind::Document(shape), Node::Object(members)) => return self.document(shape, members, path),
            (Kind::Map(key, value), Node::Object(members)) => return self.map(key, value, members, path),
            (Kind::Array(_, Some(length)), Node::Array(items)) if items.len() != length => Some(Malformed),
            (Kind::Array(item, _), Node::Array(items)) => {
                return items.iter().enumerate().try_for_each(|(index, node)| {
                    let result = self.value(item(), node, path.index(index));
                    self.settle(result)
                });
            }
            (Kind::Either(text, _), Node::Text(_)) => return self.value(text(), node, path),
            (Kind::Either(_, other), Node::Integer(_) | Node::Float(_)) => {
                return self.value(other(), node, path);
            }
            _ => Some(WrongType),
        };
        match wrong {
            None => Ok(()),
            Some(mistake) => Err(DocumentError::new(mistake, path, node.shown(), expected(kind))),
        }
    }

    fn document(
        &mut self,
        shape: &'static Shape,
        members: &[(String, Node)],
        path: Path<'_>,
    ) -> Result<(), DocumentError> {
        for (name, node) in members {
            let at = path.member(name);
            match shape.member(name) {
                None => {
                    let result = self.unknown(shape, name, at);
                    self.settle(result)?;
                }
                // Null is how some clients write "absent".
                Some(_) if matches!(node, Node::Null) => {}
                Some(member) => {
                    let kind = (member.kind)();
                    let path = self.told(at)?;
                    self.present.push(PresentMember {
                        path,
                        owner: shape.name,
                        name: member.name,
                        is_default: is_default(kind, node),
                    });
                    let result = self.value(kind, node, at);
                    self.settle(result)?;
                }
            }
        }
        let is_given = |name| members.iter().any(|(n, node)| n == name && !matches!(node, Node::Null));
        shape.members.iter().filter(|member| member.required && !is_given(member.name)).try_for_each(
            |missing| {
                let expected = expected((missing.kind)());
                let path = path.member(missing.name);
                self.settle(Err(DocumentError::new(DocumentErrorKind::Missing, path, "nothing", expected)))
            },
        )
    }

    /// The text of a path, as long as there is room for it.
    fn told(&mut self, at: Path<'_>) -> Result<String, DocumentError> {
        let path = at.to_string();
        match self.room.checked_sub(path.len()) {
            Some(room) => {
                self.room = room;
                Ok(path)
            }
            None => {
                let found = "names of members that are too long, or too many";
                let expected = format!("no more than {MOST_PATHS} bytes in the paths of all members");
                Err(DocumentError::new(DocumentErrorKind::TooDeep, "$", found, expected))
            }
        }
    }

    fn unknown(&mut self, shape: &'static Shape, name: &str, at: Path<'_>) -> Result<(), DocumentError> {
        let suggestion = nearest(name, shape.members.iter().map(|member| member.name));
        if !self.strict {
            let path = self.told(at)?;
            self.unknown.push(UnknownMember { path, suggestion });
            return Ok(());
        }
        let mut expected = format!("a member of {}", shape.name);
        if let Some(suggestion) = suggestion {
            expected += &format!("; did you mean '{suggestion}'?");
        }
        Err(DocumentError::new(DocumentErrorKind::Unknown, at, "an unknown member", expected))
    }

    fn map(
        &mut self,
        key: Key,
        value: fn() -> Kind,
        members: &[(String, Node)],
        path: Path<'_>,
    ) -> Result<(), DocumentError> {
        let mut guids = HashSet::new();
        for (name, node) in members {
            let at = path.member(name);
            let result = check_key(key, name, at, &mut guids);
            self.settle(result)?;
            let result = self.value(value(), node, at);
            self.settle(result)?;
        }
        Ok(())
    }
}

/// Checks the key of a map's entry; `guids` are those that came before it.
fn check_key(key: Key, name: &str, at: Path<'_>, guids: &mut HashSet<Guid>) -> Result<(), DocumentError> {
    let refuse = |mistake, expected: String| {
        Err(DocumentError::new(mistake, at, format!("the key {name:?}"), expected))
    };
    match key {
        Key::Text => Ok(()),
        Key::Integer(integer) => match decimal(name) {
            None => refuse(DocumentErrorKind::Malformed, integer.expected_key()),
            Some(number) if !integer.contains(number) => {
                refuse(DocumentErrorKind::OutOfRange, integer.expected_key())
            }
            Some(_) => Ok(()),
        },
        Key::Guid => match name.parse::<Guid>() {
            Err(_) => refuse(DocumentErrorKind::Malformed, expected(Kind::Text(Format::Guid))),
            Ok(guid) if !guids.insert(guid) => refuse(DocumentErrorKind::Duplicate, "each GUID once".into()),
            Ok(_) => Ok(()),
        },
    }
}

impl Integer {
    fn contains(&self, value: i128) -> bool {
        (self.min..=self.max).contains(&value)
    }

    fn expected(&self) -> String {
        format!("an integer from {} to {}", self.min, self.max)
    }

    fn expected_key(&self) -> String {
        format!("a decimal number from {} to {}", self.min, self.max)
    }
}

impl Format {
    fn allows(self, text: &str) -> bool {
        match self {
            Format::Plain | Format::Binary => true,
            Format::Guid => text.parse::<Guid>().is_ok(),
            Format::MacAddress => text.parse::<MacAddress>().is_ok(),
            Format::DateTime => is_date_time(text),
            Format::Base64 => is_base64(text),
        }
    }
}

/// Whether a member with this value means the same as no member. An object never does, not even an empty one:
/// `"Plan9": {}` turns sharing on.
fn is_default(kind: Kind, node: &Node) -> bool {
    match (kind, node) {
        (Kind::Bool, Node::Bool(value)) => !value,
        (Kind::Integer(_), Node::Integer(value)) => *value == 0,
        (Kind::Text(_), Node::Text(text)) => text.is_empty(),
        (Kind::Choice(choices), Node::Text(text)) => {
            choices.values.first().is_some_and(|first| first.name == text || first.aliases.contains(&&**text))
        }
        (Kind::Array(_, None), Node::Array(items)) => items.is_empty(),
        (Kind::Map(..), Node::Object(members)) => members.is_empty(),
        _ => false,
    }
}

/// The number a key stands for. One number has one spelling, lest two keys mean the same slot.
fn decimal(key: &str) -> Option<i128> {
    let canonical = key == "0" || !key.starts_with('0');
    let digits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    // Too long for any of our types is out of range, not malformed.
    (canonical && digits).then(|| key.parse().unwrap_or(i128::MAX))
}

/// What a kind looks like, in words.
fn expected(kind: Kind) -> String {
    match kind {
        Kind::Any => "any value".into(),
        Kind::Bool => "true or false".into(),
        Kind::Integer(integer) => integer.expected(),
        Kind::Text(Format::Plain | Format::Binary) => "a string".into(),
        Kind::Text(Format::Guid) => "a GUID (8-4-4-4-12 hexadecimal digits)".into(),
        Kind::Text(Format::MacAddress) => "a MAC address (AA-BB-CC-DD-EE-FF)".into(),
        Kind::Text(Format::DateTime) => "a date and time (2026-01-02T03:04:05Z)".into(),
        Kind::Text(Format::Base64) => "base64 text".into(),
        Kind::Choice(choices) => expected_of(choices, None),
        Kind::Document(shape) => format!("an object ({})", shape.name),
        Kind::Map(..) => "an object".into(),
        Kind::Array(_, None) => "an array".into(),
        Kind::Array(item, Some(length)) => {
            format!("an array of {length} elements, each {}", expected(item()))
        }
        Kind::Either(text, other) => format!("{} or {}", expected(text()), expected(other())),
    }
}

/// The values of an enumeration, or of a long one those that `found` most resembles.
fn expected_of(choices: &'static Choices, found: Option<&str>) -> String {
    let names = || choices.values.iter().map(|value| value.name);
    let quoted = |names: Vec<&str>| format!("'{}'", names.join("', '"));
    let count = choices.values.len();
    match found {
        _ if count <= NAMED => format!("one of {}", quoted(names().collect())),
        Some(found) => {
            let nearest = quoted(ranked(found, names(), 4));
            format!("one of the {count} names of {}, perhaps {nearest}", choices.name)
        }
        None => format!("one of the {count} names of {}", choices.name),
    }
}
