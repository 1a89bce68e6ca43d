//! The two macros that make the types of `documents/`.
//!
//! `documents!` makes object types, `choices!` enumerations. Each is called at most once per file, because it
//! also lists what it made (`SHAPES`, `CHOICES`) for `documents/mod.rs`.

/// Makes object types. A member is written
///
/// ```text
/// /// Meaning.
/// "JsonName" 2.0 field_name: Type,
/// ```
///
/// where the second word is the schema level (or `client`, `linux`, `oci`). `as Kind` after the type names a kind
/// other than that of the type itself (`as Base64`, `as Keyed<u32, Scsi>`); `=> required` makes the reader
/// insist on the member. `struct Name = "Schema_Name"` gives a spelling that is no Rust name.
macro_rules! documents {
    ($(
        $(#[doc = $doc:literal])+
        pub struct $type:ident $(= $spelling:literal)? {
            $(
                $(#[doc = $member_doc:literal])+
                $name:literal $since:tt $field:ident: $value:ty $(as $kind:ty)? $(=> $required:ident)?
            ),* $(,)?
        }
    )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, Default, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
            pub struct $type {
                $(
                    $(#[doc = $member_doc])+
                    #[serde(rename = $name, skip_serializing_if = "Option::is_none")]
                    pub $field: Option<$value>,
                )*
            }

            impl $type {
                $(
                    #[doc = concat!("Sets `", $name, "`.")]
                    #[must_use]
                    pub fn $field(mut self, value: impl Into<$value>) -> Self {
                        self.$field = Some(value.into());
                        self
                    }
                )*
            }

            impl $crate::kind::Typed for $type {
                fn kind() -> $crate::kind::Kind {
                    $crate::kind::Kind::Document(<Self as $crate::kind::Document>::shape())
                }
            }

            impl $crate::kind::Document for $type {
                fn shape() -> &'static $crate::kind::Shape {
                    static SHAPE: $crate::kind::Shape = $crate::kind::Shape {
                        name: $crate::macros::first!($($spelling)? stringify!($type)),
                        doc: concat!($($doc),+).trim_ascii(),
                        members: &[$(
                            $crate::kind::Member {
                                name: $name,
                                doc: concat!($($member_doc),+).trim_ascii(),
                                kind: <$crate::macros::kind_type!($value $(, $kind)?)
                                    as $crate::kind::Typed>::kind,
                                required: $crate::macros::given!($($required)?),
                                since: stringify!($since),
                                linux: $crate::kind::is_linux(stringify!($since)),
                            },
                        )*],
                    };
                    &SHAPE
                }
            }
        )+

        /// The object types of this file.
        pub(super) const SHAPES: &[fn() -> &'static $crate::kind::Shape] =
            &[$(<$type as $crate::kind::Document>::shape),+];
    };
}

/// Makes enumerations. Values are grouped by schema level, `2.1: Created, Running;`, and may be followed by a
/// spelling that is no Rust name and by further spellings accepted: `Unknown = "Unknown" or ""`.
macro_rules! choices {
    ($(
        $(#[doc = $doc:literal])+
        pub enum $type:ident $(= $spelling:literal)? {
            $(
                $since:tt: $(
                    $(#[doc = $value_doc:literal])*
                    $value:ident $(= $text:literal $(or $alias:literal)*)?
                ),+ ;
            )+
        }
    )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum $type {
                $($(
                    #[doc = concat!("`", $crate::macros::first!($($text)? stringify!($value)), "`.")]
                    $(#[doc = $value_doc])*
                    $value,
                )+)+
            }

            impl $type {
                /// All values, in the order of the schema.
                pub const ALL: &'static [Self] = &[$($(Self::$value),+),+];

                /// The spelling in JSON.
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $($(Self::$value => $crate::macros::first!($($text)? stringify!($value)),)+)+
                    }
                }

                /// The value of this spelling.
                pub fn parse(text: &str) -> Option<Self> {
                    Some(match text {
                        $($(
                            $crate::macros::first!($($text)? stringify!($value)) => Self::$value,
                            $($($alias => Self::$value,)*)?
                        )+)+
                        _ => return None,
                    })
                }

                const CHOICES: &'static $crate::kind::Choices = &$crate::kind::Choices {
                    name: $crate::macros::first!($($spelling)? stringify!($type)),
                    doc: concat!($($doc),+).trim_ascii(),
                    values: &[$($(
                        $crate::kind::Choice {
                            name: $crate::macros::first!($($text)? stringify!($value)),
                            aliases: &[$($($alias),*)?],
                            doc: concat!($($value_doc),*).trim_ascii(),
                            since: stringify!($since),
                            linux: $crate::kind::is_linux(stringify!($since)),
                        },
                    )+)+],
                };
            }

            impl Default for $type {
                /// What an absent member stands for.
                fn default() -> Self {
                    Self::ALL[0]
                }
            }

            impl ::std::fmt::Display for $type {
                fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    f.write_str(self.as_str())
                }
            }

            impl ::serde::Serialize for $type {
                fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self.as_str())
                }
            }

            impl<'de> ::serde::Deserialize<'de> for $type {
                fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text: ::std::borrow::Cow<'de, str> = ::serde::Deserialize::deserialize(deserializer)?;
                    Self::parse(&text).ok_or_else(|| {
                        ::serde::de::Error::custom(format_args!("'{text}' is no {}", Self::CHOICES.name))
                    })
                }
            }

            impl $crate::kind::Typed for $type {
                fn kind() -> $crate::kind::Kind {
                    $crate::kind::Kind::Choice(Self::CHOICES)
                }
            }
        )+

        /// The enumerations of this file.
        pub(super) const CHOICES: &[&$crate::kind::Choices] = &[$($type::CHOICES),+];
    };
}

/// The first of its arguments: an explicit spelling if there is one, else the Rust name.
macro_rules! first {
    ($spelling:literal $($name:tt)+) => { $spelling };
    ($($name:tt)+) => { $($name)+ };
}

/// The type that gives a member its kind: the one after `as` if there is one, else its Rust type.
macro_rules! kind_type {
    ($value:ty) => {
        $value
    };
    ($value:ty, $kind:ty) => {
        $kind
    };
}

/// Whether there is an argument.
macro_rules! given {
    () => {
        false
    };
    (required) => {
        true
    };
}

pub(crate) use {choices, documents, first, given, kind_type};
