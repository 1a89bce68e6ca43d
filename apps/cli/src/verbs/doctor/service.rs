//! Who asks, and whether the service answers.

use hcs::{Cause, Client, compute::HostReport};

use super::check::Check;
use crate::Context;

const SERVICE: &str = "service";
const REPORTS: &str = "crash reports";

/// The checks, and what the service tells of its host.
pub fn checks(context: &Context) -> (Vec<Check>, Option<HostReport>) {
    let socket = context.options.socket.display().to_string();
    let is_root = rustix::process::geteuid().is_root();
    let told = Client::connect_to(context.options.clone())
        .and_then(|client| client.host_report().wait().map(|report| (client, report)));
    match told {
        Ok((client, report)) => {
            let answers = Check::ok(SERVICE, format!("hcsd {} at {socket}", report.version));
            (vec![answers, kvm(&report), crash_reports(&client)], Some(report))
        }
        Err(error) if error.cause == Cause::ServiceNotAvailable => {
            (vec![silence(&socket, is_root), untried_kvm()], None)
        }
        Err(error) => (vec![refusal(error.cause, &error.message), untried_kvm()], None),
    }
}

/// A service that does not answer as it should.
fn refusal(cause: Cause, message: &str) -> Check {
    if cause == Cause::NotPrivileged {
        let advice = "Use it as root, or join the group hcs: usermod -aG hcs NAME, and log in anew.";
        return Check::missing(SERVICE, message, advice).vital();
    }
    Check::warning(SERVICE, message, "It is another release than this program, or it is ill: see its log.")
}

/// No service. Root can have one of its own.
fn silence(socket: &str, is_root: bool) -> Check {
    let found = format!("none answers at {socket}");
    if is_root {
        let advice = "Start it: systemctl start hcsd, or hcsd by hand. For one command: hcs --private.";
        return Check::warning(SERVICE, found, advice);
    }
    let advice = "Start it as root, and use it as root or as a member of the group hcs.";
    Check::missing(SERVICE, found, advice).vital()
}

fn untried_kvm() -> Check {
    Check::warning("kvm", "only the service may try it", "Start the service, and look again.")
}

fn kvm(report: &HostReport) -> Check {
    if report.kvm {
        return Check::ok("kvm", "a virtual processor runs");
    }
    Check::warning(
        "kvm",
        "no virtual processor runs; virtual machines are emulated, which is many times slower",
        "Switch virtualization on in the firmware, load kvm_intel or kvm_amd, and in a virtual machine ask for nesting.",
    )
}

fn crash_reports(client: &Client) -> Check {
    match client.crash_reports().wait() {
        Ok(reports) if reports.is_empty() => Check::ok(REPORTS, "none"),
        Ok(reports) => {
            Check::warning(REPORTS, format!("{} are kept", reports.len()), "Look at them: hcs crash list.")
        }
        Err(error) => Check::warning(REPORTS, error.message, "See the log of the service."),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::State, *};

    #[test]
    fn who_may_not_ask_cannot_run_containers_and_root_without_a_service_can() {
        let refused = refusal(Cause::NotPrivileged, "user 1000 may not use the service");
        assert!(refused.is_vital && refused.state == State::Missing && refused.advice.contains("group hcs"));
        assert_eq!(refusal(Cause::Unexpected, "?").state, State::Warning);
        assert_eq!(silence("/s", true).state, State::Warning);
        let user = silence("/s", false);
        assert!(user.is_vital && user.state == State::Missing);
    }

    #[test]
    fn a_kvm_that_does_not_run_is_told() {
        let report = |kvm| HostReport {
            version: "1".into(),
            kvm,
            qemu: None,
            run_folder: "/run".into(),
            state_folder: "/var".into(),
            open_files: 1,
        };
        assert_eq!(kvm(&report(true)).state, State::Ok);
        assert_eq!(kvm(&report(false)).state, State::Warning);
    }
}
