//! `org.varlink.service`: what this service is and which interfaces it has.

use hcs_ipc::{interface, varlink};
use hcs_schema::Any;
use serde_json::{Value, json};

use crate::reply::{Answered, encoded};

/// Answers a method of `org.varlink.service`, or says that there is no such method.
pub fn answer(method: &str, parameters: &Any) -> Answered {
    let (interface, name) = method.rsplit_once('.').unwrap_or(("", method));
    let whole = |text| (encoded(text), Vec::new());
    let reply = |value: Value| Ok(whole(varlink::encode_reply(&value, false)));
    let error = |name: &str, value: Value| {
        Err(whole(varlink::encode_named_error(&format!("{}.{name}", interface::SERVICE), &value)))
    };
    match (interface, name) {
        (interface::SERVICE, "GetInfo") => reply(json!({
            "vendor": "HCS for Linux",
            "product": "hcsd",
            "version": env!("CARGO_PKG_VERSION"),
            "url": env!("CARGO_PKG_REPOSITORY"),
            "interfaces": [interface::NAME, interface::SERVICE],
        })),
        (interface::SERVICE, "GetInterfaceDescription") => {
            let wanted: Value = serde_json::from_str(parameters.get()).unwrap_or_default();
            match wanted["interface"].as_str() {
                Some(interface::NAME) => reply(json!({ "description": interface::text() })),
                Some(interface::SERVICE) => reply(json!({ "description": interface::SERVICE_TEXT })),
                Some(other) => error("InterfaceNotFound", json!({ "interface": other })),
                None => error("InvalidParameter", json!({ "parameter": "interface" })),
            }
        }
        (interface::NAME | interface::SERVICE, _) => error("MethodNotFound", json!({ "method": method })),
        _ => error("InterfaceNotFound", json!({ "interface": interface })),
    }
}
