//! The digest that names content in images.

use sha2::{Digest, Sha256};

/// `sha256:` and the digits of what was hashed.
pub fn text(hash: Sha256) -> String {
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{digits}")
}
