//! Paths in documents: absolute, because nobody knows where the service stands, and without NUL, which would end them early.

use crate::{Cause, Error, Result};

/// Holds what a member says against that.
pub fn absolute(path: &str, at: &str) -> Result<()> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(());
    }
    Err(Error::new(Cause::InvalidData, format!("found {path:?}, expected an absolute path")).at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_absolute_or_has_a_nul_is_refused_where_it_stands() {
        assert_eq!(absolute("/", "$.Path"), Ok(()));
        for path in ["", "a/b", "./a", "/a\0/b"] {
            let error = absolute(path, "$.Path").unwrap_err();
            assert_eq!(
                (error.cause, error.path.as_deref()),
                (Cause::InvalidData, Some("$.Path")),
                "{path:?}"
            );
        }
    }
}
