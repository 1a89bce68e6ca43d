//! The command line as a person waits for it: a list of many systems, and a program of an image run to its end, beside the same by
//! the library in a program that is connected already.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use hcs::{
    Client,
    images::{Image, Name, Store},
    schema::{Any, ProcessParameters},
};

use crate::{
    Outcome, bundle,
    figures::{Figures, compared, heading, in_turns, timed},
    layers,
    service::Service,
};

const SYSTEMS: usize = 500;
const LISTS: usize = 50;
const PAIRS: usize = 60;
/// A list of the systems.
const LIST_AT_MOST_MILLISECONDS: f64 = 20.0;
/// `hcs run` over the library's cycle.
const RUN_AT_MOST: f64 = 1.2;

/// Measures both.
pub fn measure() -> Outcome {
    let service = Service::start()?;
    bundle::root_fs(&service.folder().join("rootfs"))?;
    let list = list(&service)?;
    let run = run(&service)?;
    println!("`hcs list` of {SYSTEMS} systems takes {list:.1} ms (promised: {LIST_AT_MOST_MILLISECONDS})");
    println!("`hcs run` over the library's cycle {run:.2} (promised: {RUN_AT_MOST})");
    if list > LIST_AT_MOST_MILLISECONDS || run > RUN_AT_MOST {
        return Err("a promise is not kept".into());
    }
    Ok(())
}

fn list(service: &Service) -> Outcome<f64> {
    let (client, document) = (service.client()?, Any::from_text(service.document())?);
    let mut systems = Vec::new();
    for number in 0..SYSTEMS {
        systems.push(client.create_from(&format!("many-{number}"), document.clone(), false).wait()?);
    }
    let mut lists = Figures::default();
    for _ in 0..LISTS {
        lists.time(|| hcs(service, &["list"]))?;
    }
    for system in systems {
        system.terminate().wait()?;
    }
    println!("{}\n{}", heading(), lists.line(&format!("hcs list of {SYSTEMS}")));
    Ok(lists.percentile(0.5).as_secs_f64() * 1e3)
}

fn run(service: &Service) -> Outcome<f64> {
    const NAME: &str = "bench";
    let store = Store::open(&service.folder().join("lib/images"))?;
    let layout = layout(service.folder())?;
    hcs::images::import(&store, &layout, Some(&Name::new(NAME)?), &|_| ())?;
    let client = service.client()?;
    let mut number = 0;
    let figures = in_turns(
        PAIRS,
        || timed(|| hcs(service, &["run", NAME])),
        || {
            number += 1;
            let scratch = service.folder().join(format!("scratch-{number}"));
            live(&client, &store.find(NAME)?, &scratch, &format!("library-{number}"))
        },
    )?;
    Ok(compared(["hcs run", "the library's cycle"], &figures))
}

/// The life of a container of the image, with a folder for what it writes, as the command has it too.
fn live(client: &Client, image: &Image, scratch: &Path, id: &str) -> Outcome<Duration> {
    timed(|| {
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
    let status = Command::new(env::current_exe()?.with_file_name("hcs"))
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
