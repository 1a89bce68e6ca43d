//! What a document looks like, as data.
//!
//! The macros in `macros.rs` make one [`Shape`] per object type and one [`Choices`] per enumeration; the
//! checker and the JSON Schema writer walk them, and engines list members by name from them. A kind is
//! reached through a function because types refer to one another in circles.

use crate::MacAddress;
use crate::{Any, Guid};
use std::collections::BTreeMap;

/// A type that may stand as the value of a member, an array element or a map entry.
pub trait Typed {
    /// How its JSON looks.
    fn kind() -> Kind;
}

/// An object type: everything that [`read`](crate::read) reads.
pub trait Document: Typed + Default + serde::Serialize + serde::de::DeserializeOwned {
    /// Its description.
    fn shape() -> &'static Shape;
}

/// How the JSON of a value looks.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number without fraction, within bounds.
    Integer(&'static Integer),
    /// A string.
    Text(Format),
    /// Any JSON, kept unread.
    Any,
    /// One of a list of strings.
    Choice(&'static Choices),
    /// An object with known members.
    Document(&'static Shape),
    /// An array; with a length, of exactly that many elements.
    Array(fn() -> Kind, Option<usize>),
    /// An object whose member names are keys.
    Map(Key, fn() -> Kind),
    /// The first kind when it is a string, the second otherwise.
    Either(fn() -> Kind, fn() -> Kind),
}

/// Name and bounds of an integer type.
#[derive(Debug)]
pub struct Integer {
    /// The schema's name for it: `uint32`.
    pub name: &'static str,
    /// Smallest value.
    pub min: i128,
    /// Largest value.
    pub max: i128,
}

/// The form of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    Plain,
    /// [`Guid`].
    Guid,
    /// [`MacAddress`].
    MacAddress,
    /// RFC 3339 date and time.
    DateTime,
    /// Bytes as padded base64.
    Base64,
    /// Bytes in an encoding only their consumer knows; any text passes.
    Binary,
}

/// What the keys of a map are.
#[derive(Clone, Copy)]
pub enum Key {
    /// Any text.
    Text,
    /// A decimal number without sign or leading zeros.
    Integer(&'static Integer),
    /// A GUID in any spelling; two spellings of one GUID are the same key.
    Guid,
}

/// An object type and its members.
pub struct Shape {
    /// Name in the schema, such as `VirtualMachine_Memory`.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its members, in the order they are written.
    pub members: &'static [Member],
}

/// A member of an object type.
pub struct Member {
    /// Name in JSON.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Its type.
    pub kind: fn() -> Kind,
    /// Whether a reader cannot do without it.
    pub required: bool,
    /// Schema level that brought it (`2.0` … `2.6`), or `client` for what only clients are known to send, `linux`
    /// for our own additions, `oci` for what is in them of the OCI runtime specification.
    pub since: &'static str,
    /// Whether it is an addition of this implementation.
    pub linux: bool,
}

/// An enumeration and its values.
pub struct Choices {
    /// Name in the schema.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its values; the first is the one an absent member stands for.
    pub values: &'static [Choice],
}

/// A value of an enumeration.
pub struct Choice {
    /// Spelling in JSON.
    pub name: &'static str,
    /// Other spellings accepted on reading.
    pub aliases: &'static [&'static str],
    /// What it means; often the name says it all and this is empty.
    pub doc: &'static str,
    /// As for [`Member::since`].
    pub since: &'static str,
    /// As for [`Member::linux`].
    pub linux: bool,
}

impl Shape {
    /// The member of this JSON name.
    pub fn member(&self, name: &str) -> Option<&'static Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Choices {
    /// Whether `text` is a value or another spelling of one.
    pub fn contains(&self, text: &str) -> bool {
        self.values.iter().any(|value| value.name == text || value.aliases.contains(&text))
    }
}

/// `since` of our own additions; a constant function because shapes are statics.
pub(crate) const fn is_linux(since: &str) -> bool {
    matches!(since.as_bytes(), b"linux")
}

/// Stands in a member list for a map with keys of type `K`; the Rust value is `BTreeMap<String, V>` with the
/// keys as the client spelt them.
pub(crate) struct Keyed<K, V>(std::marker::PhantomData<(K, V)>);
/// Stands in a member list for base64 text.
pub(crate) struct Base64;
/// Stands in a member list for text in a binary encoding of its consumer.
pub(crate) struct Binary;
/// Stands in a member list for RFC 3339 text.
pub(crate) struct DateTime;

/// A type that can be the key of a [`Keyed`] map.
pub(crate) trait MapKey {
    const KEY: Key;
}

macro_rules! integers {
    ($($type:ty = $name:literal),+ $(,)?) => {$(
        impl Typed for $type {
            fn kind() -> Kind {
                Kind::Integer(<$type as Bounded>::BOUNDS)
            }
        }
        impl Bounded for $type {
            const BOUNDS: &'static Integer =
                &Integer { name: $name, min: <$type>::MIN as i128, max: <$type>::MAX as i128 };
        }
        impl MapKey for $type {
            const KEY: Key = Key::Integer(<$type as Bounded>::BOUNDS);
        }
    )+};
}

trait Bounded {
    const BOUNDS: &'static Integer;
}

integers! { u8 = "uint8", u16 = "uint16", u32 = "uint32", u64 = "uint64", i32 = "int32", i64 = "int64" }

macro_rules! kinds {
    ($($type:ty => $kind:expr),+ $(,)?) => {$(
        impl Typed for $type {
            fn kind() -> Kind {
                $kind
            }
        }
    )+};
}

kinds! {
    bool => Kind::Bool,
    String => Kind::Text(Format::Plain),
    Guid => Kind::Text(Format::Guid),
    MacAddress => Kind::Text(Format::MacAddress),
    DateTime => Kind::Text(Format::DateTime),
    Base64 => Kind::Text(Format::Base64),
    Binary => Kind::Text(Format::Binary),
    Any => Kind::Any,
    [u16; 2] => Kind::Array(u16::kind, Some(2)),
}

impl MapKey for Guid {
    const KEY: Key = Key::Guid;
}

impl<T: Typed> Typed for Vec<T> {
    fn kind() -> Kind {
        Kind::Array(T::kind, None)
    }
}

impl<T: Typed> Typed for BTreeMap<String, T> {
    fn kind() -> Kind {
        Kind::Map(Key::Text, T::kind)
    }
}

impl<K: MapKey, V: Typed> Typed for Keyed<K, V> {
    fn kind() -> Kind {
        Kind::Map(K::KEY, V::kind)
    }
}
