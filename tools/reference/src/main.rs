//! hcs-reference: `hcs-reference PROGRAM` at the root of the tree writes the pages anew, where the program is the `hcs` whose
//! help is told. `cargo xtask reference` runs it.
#![forbid(unsafe_code)]

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [program] => hcs_reference::write(Path::new(""), Path::new(program)),
        _ => Err("usage: hcs-reference PROGRAM, at the root of the tree".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("hcs-reference: {message}");
            ExitCode::FAILURE
        }
    }
}
