//! Something that a document says, and where, so that it can be blamed. A document that has two ways to say a thing may say it in
//! both; then they must agree.

use std::fmt::Debug;

use hcs_core::{Cause, Error};

/// Something that a document says, and where.
#[derive(Clone, Debug)]
pub(crate) struct Said<T> {
    /// What.
    pub value: T,
    /// The member.
    pub at: String,
}

/// Adds something to what is said already.
pub(crate) fn say<T: PartialEq + Debug>(
    place: &mut Option<Said<T>>,
    value: T,
    at: &str,
) -> Result<(), Error> {
    match place {
        Some(said) if said.value != value => Err(Error::new(
            Cause::InvalidData,
            format!("found {value:?}, but {} says {:?}", said.at, said.value),
        )
        .at(at)
        .hint("Say it once, or the same in both places.")),
        Some(_) => Ok(()),
        None => {
            *place = Some(Said { value, at: at.to_owned() });
            Ok(())
        }
    }
}
