//! How large the programs are as packages have them, and what a service needs that nobody uses.

use std::{fs, process::Command};

use hcs_tests::binaries;

use crate::{
    Outcome,
    figures::{Bytes, Figure},
    report::Report,
    service::Service,
    usage,
};

const PROGRAMS: [&str; 6] = ["hcsd", "hcs-worker", "hcs-guest", "hcs", "hcs-pull", "libcomputecore.so"];

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    let service = Service::start()?;
    for program in PROGRAMS {
        let stripped = service.folder().join(program);
        let status = Command::new("strip").arg("-o").arg(&stripped).arg(binaries::find(program)).status()?;
        if !status.success() {
            return Err(format!("strip {program}: {status}").into());
        }
        report.note(Figure::new(format!("{program}, the file"), Bytes(fs::metadata(&stripped)?.len())));
        fs::remove_file(stripped)?;
    }
    // A client has come and gone, so everything is there that is made for the first.
    drop(service.client()?.list(None).wait()?);
    let kib = usage::proportional_kib(service.pid()).ok_or("the service has gone")?;
    report.note(Figure::new("hcsd without a system", Bytes(kib << 10)));
    Ok(())
}
