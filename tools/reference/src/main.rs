//! hcs-reference: `hcs-reference write|check PROGRAM` at the root of the tree, where the program is the `hcs` whose help is
//! told. `cargo xtask reference` runs it.
#![forbid(unsafe_code)]

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new("");
    let done = match arguments[..] {
        ["write", program] => hcs_reference::write(root, Path::new(program)),
        ["check", program] => hcs_reference::check(root, Path::new(program)),
        _ => Err("usage: hcs-reference write|check PROGRAM, at the root of the tree".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("hcs-reference: {message}");
            ExitCode::FAILURE
        }
    }
}
