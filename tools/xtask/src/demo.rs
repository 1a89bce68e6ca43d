//! `cargo xtask demo`: from a bare checkout to containers, machines and a device of a program, and back to nothing.
//!
//! ```text
//!   stage    a private service below a temporary folder, and commands that are shown
//!   root_fs  a root file system of one program
//!   lspci    the program that lists devices, with what it needs
//!   acts     what is shown
//! ```
//!
//! The service is told to be temporary: it ends with us, however we end, and takes everything with it.

mod acts;
mod lspci;
mod root_fs;
mod stage;

use crate::{
    Outcome,
    command::Line,
    host,
    install::{self, Purpose},
    machines,
    workspace::Workspace,
};

use stage::Stage;

/// Installs, builds, and shows.
pub fn run() -> Outcome {
    if !host::is_root() {
        return Err("the demo makes a container, which takes root: sudo env PATH=\"$PATH\" cargo xtask demo"
            .to_owned());
    }
    install::run(Purpose::Demo)?;
    let workspace = Workspace::load()?;
    println!("building; the first time takes a few minutes");
    Line::of("cargo build --release --locked --quiet").run(&workspace.root)?;
    Line::of("cargo build --release --locked --quiet --example sensor_device").run(&workspace.root)?;
    let machines = machines::fetch(&workspace);
    let began = std::time::Instant::now();
    let mut stage = Stage::set(&workspace)?;
    let outcome = play(&mut stage, &machines);
    if outcome.is_err() {
        stage.show_log();
    }
    let removed = stage.tear_down();
    outcome.and(removed)?;
    println!("\nThat took {:.0} s. Everything it made is removed.", began.elapsed().as_secs_f64());
    Ok(())
}

fn play(stage: &mut Stage, machines: &Outcome<std::path::PathBuf>) -> Outcome {
    root_fs::make(&stage.path("root"))?;
    acts::container(stage)?;
    acts::layers(stage)?;
    match machines {
        Ok(folder) => {
            acts::boot(stage, folder)?;
            acts::clones(stage)?;
            acts::device(stage)
        }
        Err(why) => {
            stage.say(&format!("\nVirtual machines are not shown here: {why}"));
            Ok(())
        }
    }
}
