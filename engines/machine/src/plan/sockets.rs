//! Sockets between the guest and programs of the host: services that are known by GUIDs, which are ports in a guest of Linux.

use hcs_core::{Cause, Error};
use hcs_schema::{Devices, HvSocketServiceConfig};

/// The end of the GUID of every service that is a port.
const OF_PORTS: &str = "-facb-11e6-bd58-64006a7986d3";

/// Whether the machine has them.
pub fn plan(devices: &Devices) -> Result<bool, Error> {
    const AT: &str = "$.VirtualMachine.Devices.HvSocket.HvSocketConfig.ServiceTable";
    let Some(sockets) = &devices.hv_socket else { return Ok(false) };
    let table = sockets.hv_socket_config.as_ref().and_then(|config| config.service_table.as_ref());
    for (key, service) in table.into_iter().flatten() {
        check(key, service, &format!("{AT}[{key:?}]"))?;
    }
    Ok(true)
}

/// Checks a line of the service table. Who may connect and listen is said by the rights of the folder of the sockets, so there
/// is nothing of it to be kept.
pub fn check(key: &str, service: &HvSocketServiceConfig, at: &str) -> Result<(), Error> {
    port(key, at)?;
    let says_who = [&service.bind_security_descriptor, &service.connect_security_descriptor];
    // Without them the line is taken out.
    if service.disabled == Some(true) && says_who.into_iter().any(Option::is_some) {
        return Err(Error::new(
            Cause::NotSupported,
            "a service exists while somebody listens, and not otherwise",
        )
        .at(format!("{at}.Disabled")));
    }
    Ok(())
}

/// The port that a service is.
pub fn port(service: &str, at: &str) -> Result<u32, Error> {
    let plain = service.trim_start_matches('{').trim_end_matches('}').to_ascii_lowercase();
    let port = plain.strip_suffix(OF_PORTS).filter(|port| port.len() == 8);
    port.and_then(|port| u32::from_str_radix(port, 16).ok()).ok_or_else(|| {
        let detail = format!("found {service:?}, expected a service that is a port: XXXXXXXX{OF_PORTS}");
        Error::new(Cause::NotSupported, detail).at(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_ports_in_either_writing() {
        for (service, expected) in [
            ("40000000-facb-11e6-bd58-64006a7986d3", Some(0x4000_0000)),
            ("{0000006D-FACB-11E6-BD58-64006A7986D3}", Some(109)),
            ("acef5661-84a1-4e44-856b-6245e69f4620", None),
            ("6d-facb-11e6-bd58-64006a7986d3", None),
            ("", None),
        ] {
            assert_eq!(port(service, "$").ok(), expected, "{service}");
        }
    }

    #[test]
    fn a_table_is_checked_line_by_line() {
        let planned = |table: &str| {
            let text = format!(r#"{{"HvSocket":{{"HvSocketConfig":{{"ServiceTable":{table}}}}}}}"#);
            plan(&hcs_schema::read::<Devices>(&text).unwrap().value)
        };
        assert_eq!(plan(&Devices::default()), Ok(false));
        assert_eq!(planned("{}"), Ok(true));
        let line = |rest: &str| format!(r#"{{"00000001-facb-11e6-bd58-64006a7986d3":{{{rest}}}}}"#);
        assert_eq!(planned(&line(r#""AllowWildcardBinds":true"#)), Ok(true));
        assert_eq!(planned(&line(r#""Disabled":true"#)), Ok(true));
        let error = planned(&line(r#""Disabled":true,"BindSecurityDescriptor":"D:P""#)).unwrap_err();
        assert!(error.path.unwrap().ends_with("].Disabled"));
    }
}
