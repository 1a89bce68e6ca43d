//! The resource SecurityPolicy: what a confidential machine may be asked to do. Nothing here enforces one, so only those
//! are taken that allow everything.

use base64::{Engine, engine::general_purpose::STANDARD};
use hcs_core::Error;
use serde::Deserialize;

use super::{member, refused};

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityPolicy {
    /// Base64 of the policy. Nothing allows everything.
    encoded_security_policy: String,
}

/// A policy in the form of JSON, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Policy {
    allow_all: bool,
}

/// Takes a policy that changes nothing.
pub fn check(policy: &SecurityPolicy) -> Result<(), Error> {
    if policy.encoded_security_policy.is_empty() || allows_all(&policy.encoded_security_policy) {
        return Ok(());
    }
    Err(refused("a SecurityPolicy that does not allow everything")
        .at(member("EncodedSecurityPolicy"))
        .hint("This agent enforces no policies; leave it out, or say one with \"allow_all\": true."))
}

fn allows_all(encoded: &str) -> bool {
    let policy = STANDARD.decode(encoded).ok();
    policy.and_then(|text| serde_json::from_slice(&text).ok()).is_some_and(|policy: Policy| policy.allow_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hcs_core::Cause;

    fn check_text(policy: &str) -> Result<(), Error> {
        check(&SecurityPolicy { encoded_security_policy: STANDARD.encode(policy) })
    }

    #[test]
    fn only_a_policy_that_allows_everything_is_taken() {
        check(&SecurityPolicy::default()).unwrap();
        check_text(r#"{"allow_all":true,"containers":{}}"#).unwrap();
        for policy in [r#"{"allow_all":false}"#, r#"{"containers":{}}"#, "package policy", "[]"] {
            assert_eq!(check_text(policy).unwrap_err().cause, Cause::NotSupported, "{policy}");
        }
        let broken = SecurityPolicy { encoded_security_policy: "not base64!".to_owned() };
        assert_eq!(check(&broken).unwrap_err().cause, Cause::NotSupported);
    }
}
