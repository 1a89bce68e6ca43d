//! `GetHostReport`: what of the host only the service knows. The rest of a diagnosis is the client's to see.

use hcs_core::Error;
use hcs_ipc::compute::{GetHostReport, HostReport};
use rustix::process::{Resource, getrlimit};

use super::{Context, Outcome, creation};

/// Tells it.
pub async fn report(context: Context, _call: GetHostReport) -> Result<Outcome<HostReport>, Error> {
    let config = &context.service.config;
    let text = |path: &std::path::Path| path.display().to_string();
    Ok(HostReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kvm: context.service.has_kvm().await,
        qemu: creation::qemu(config).map(|path| text(&path)),
        run_folder: text(&config.settings.run_folder),
        state_folder: text(&config.settings.state_folder),
        // A limit that is none is as good as the largest.
        open_files: getrlimit(Resource::Nofile).current.unwrap_or(i64::MAX as u64),
    }
    .into())
}
