//! `cargo xtask demo`: from a bare checkout to the output of a container, and back to nothing.
//!
//! Whatever has to be removed again lives in a second process, the stage. It has a process group of its own, so
//! Ctrl-C does not reach it, and a pipe from us as its standard input. However we end, the pipe ends with us, and
//! the stage removes everything. No signal handler is needed, and even kill -9 leaves nothing behind.

mod root_fs;
mod stage;

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use crate::{
    Outcome,
    command::Line,
    host,
    install::{self, Purpose},
    workspace::Workspace,
};

/// The argument that makes this program the stage.
pub const STAGE: &str = "--stage";

const DOCUMENT: &str = r#"{
  "SchemaVersion": { "Major": 2, "Minor": 1 },
  "Owner": "demo",
  "Container": {
    "GuestOs": { "HostName": "first-container" },
    "Storage": { "Path": "ROOT" },
    "Memory": { "SizeInMB": 64 }
  }
}
"#;

const GREETING: &str =
    r#"echo "Hello from $(hostname), on $(uname -sr). My only network is $(ls /sys/class/net).""#;

/// Installs, builds, and hands over to the stage.
pub fn run() -> Outcome {
    if !host::is_root() {
        return Err("the demo makes a container, which takes root: sudo env PATH=\"$PATH\" cargo xtask demo"
            .to_owned());
    }
    install::run(Purpose::Demo)?;
    let workspace = Workspace::load()?;
    println!("building; the first time takes a few minutes");
    Line::of("cargo build --release --locked --quiet").run(&workspace.root)?;
    let own = std::env::current_exe().map_err(|error| format!("this program's own file: {error}"))?;
    let stage = Command::new(own).args(["demo", STAGE]).stdin(Stdio::piped()).process_group(0).spawn();
    let mut stage = stage.map_err(|error| format!("starting the stage: {error}"))?;
    // The pipe is held until the stage has ended, or we have.
    let pipe = stage.stdin.take();
    let status = stage.wait().map_err(|error| format!("waiting for the stage: {error}"))?;
    drop(pipe);
    if status.success() { Ok(()) } else { Err("the demo did not get to its end; see above".to_owned()) }
}

/// The stage: everything from the private service on.
pub fn stage() -> Outcome {
    let mut stage = stage::Stage::new(&Workspace::load()?)?;
    let outcome = play(&mut stage);
    if outcome.as_ref().is_err_and(|error| error != stage::INTERRUPTED) {
        stage.show_log();
    }
    let removed = stage.tear_down();
    removed.and(outcome)
}

fn play(stage: &mut stage::Stage) -> Outcome {
    let root = stage.path("root");
    root_fs::make(&root)?;
    let document = stage.path("demo.json");
    let text = DOCUMENT.replace("ROOT", &root.display().to_string());
    std::fs::write(&document, &text).map_err(|error| format!("{}: {error}", document.display()))?;

    stage.say("A private service is started below a temporary folder.");
    stage.start_service()?;
    stage.say("\nA container is a document; this one is demo.json:\n");
    stage.quote(&text);
    stage.say("");
    stage.hcs(&["create", "demo", "demo.json"])?;
    stage.hcs(&["start", "demo"])?;
    stage.hcs(&["exec", "demo", "--", "/bin/sh", "-c", GREETING])?;
    stage.hcs(&["exec", "demo", "--", "ps", "-o", "pid,user,comm"])?;
    stage.hcs(&["list"])?;
    stage.hcs(&["kill", "demo"])?;
    stage.say("\nThe container has ended; the service and everything it made are removed.");
    Ok(())
}
