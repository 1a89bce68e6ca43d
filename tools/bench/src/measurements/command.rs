//! The command line as a person waits for it: a list of many systems, and a program of an image run to its end, beside the same by
//! the library in a program that is connected already.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use hcs::{
    Client,
    images::{Name, Store},
    schema::{Any, ProcessParameters},
};

use hcs_tests::binaries;

use super::layers;
use crate::{
    Outcome, bundle,
    figures::Figure,
    report::Report,
    samples::{Samples, in_turns, timed},
    service::Service,
};

const SYSTEMS: usize = 500;
const LISTS: usize = 50;
const PAIRS: usize = 60;
/// Of the image.
const NAME: &str = "bench";

/// Measures both.
pub fn measure(report: &mut Report) -> Outcome {
    let lister = Lister::start()?;
    let lists = (0..LISTS).map(|_| lister.list()).collect::<Outcome<Samples>>()?;
    drop(lister);
    report.note(Figure::new(format!("hcs list of {SYSTEMS}"), &lists).promised("command-list")?);
    if !report.has("umoci") {
        return Err("umoci is needed to make the image that is run".into());
    }
    let runner = Runner::start()?;
    let client = runner.service.client()?;
    let mut number = 0;
    let library = || {
        number += 1;
        let scratch = runner.service.folder().join(format!("scratch-{number}"));
        live(&client, &runner.store, &scratch, &format!("library-{number}"))
    };
    let [run, library] = in_turns(PAIRS, || runner.run(), library)?;
    let run = Figure::new("hcs run of an image", &run).beside("the library's cycle", &library);
    report.note(run.promised("command-run")?);
    Ok(())
}

/// A service with many systems.
pub struct Lister(Service);

impl Lister {
    /// Starts it.
    pub fn start() -> Outcome<Lister> {
        let service = Service::start()?;
        bundle::root_fs(&service.folder().join("rootfs"))?;
        let (client, document) = (service.client()?, Any::from_text(service.document())?);
        for number in 0..SYSTEMS {
            client.create_from(&format!("many-{number}"), document.clone(), false).wait()?;
        }
        Ok(Lister(service))
    }

    /// Has them listed.
    pub fn list(&self) -> Outcome<Duration> {
        timed(|| hcs(&self.0, &["list"]))
    }
}

/// A service with an image.
pub struct Runner {
    service: Service,
    store: Store,
}

impl Runner {
    /// Starts it.
    pub fn start() -> Outcome<Runner> {
        let service = Service::start()?;
        let store = Store::open(&service.folder().join("lib/images"))?;
        let layout = layout(service.folder())?;
        store.import(&layout, Some(&Name::new(NAME)?), &|_| ())?;
        Ok(Runner { service, store })
    }

    /// Has its program run.
    pub fn run(&self) -> Outcome<Duration> {
        timed(|| hcs(&self.service, &["run", NAME]))
    }
}

/// The life of a container of the image, found by its name, with a folder for what it writes, as the command has it too.
fn live(client: &Client, store: &Store, scratch: &Path, id: &str) -> Outcome<Duration> {
    timed(|| {
        let image = store.find(NAME)?;
        fs::create_dir(scratch)?;
        let document = image.document(scratch, &[])?.should_terminate_on_last_handle_closed(true);
        let system = client.create(id, &document).wait()?;
        system.start().wait()?;
        let streams = ProcessParameters::default().create_std_out_pipe(true).create_std_err_pipe(true);
        system.run(&streams).wait()?.wait_blocking()?;
        system.terminate().wait()?;
        Ok(fs::remove_dir_all(scratch)?)
    })
}

fn hcs(service: &Service, arguments: &[&str]) -> Outcome {
    let status = Command::new(binaries::find("hcs"))
        .args(arguments)
        .env("HCS_ROOT", service.folder())
        .env_remove("HCS_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("hcs {arguments:?}: {status}").into()) }
}

/// An image of one layer, which has the program of all measurements and nothing else.
fn layout(folder: &Path) -> Outcome<PathBuf> {
    let layout = folder.join("layout");
    let image = format!("{}:bench", layout.display());
    let unpacked = folder.join("unpacked").display().to_string();
    umoci(&["init", "--layout", &layout.display().to_string()])?;
    umoci(&["new", "--image", &image])?;
    umoci(&["unpack", "--image", &image, &unpacked])?;
    bundle::root_fs(&Path::new(&unpacked).join("rootfs"))?;
    umoci(&["repack", "--image", &image, &unpacked])?;
    umoci(&["config", "--image", &image, &format!("--config.cmd={}", bundle::PROGRAM)])?;
    Ok(layout)
}

fn umoci(arguments: &[&str]) -> Outcome {
    layers::run(Command::new("umoci").args(arguments))
}
