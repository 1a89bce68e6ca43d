//! What the agent in a machine counts under `cargo xtask coverage`: the lines that it goes through.
//!
//! The programs of the host count in files that outlive them. The agent counts in a file too, but in its machine, so that file
//! is brought out before a machine is ended. In any other run there is nothing to bring.

use std::{
    env,
    fs::{self, File},
    io::Read,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use hcs::{System, schema::ProcessParameters};

/// Tells a program where to count.
const VARIABLE: &str = "LLVM_PROFILE_FILE";

/// What is added to the command line of a kernel. It gives its init what it does not know itself and what has a value.
pub fn on_the_command_line() -> &'static str {
    // The counts are in the file at any time (%c), and those of the init, of each agent and of their copies in one (%m).
    if cfg!(coverage) { " LLVM_PROFILE_FILE=/counts/%c%m.profraw" } else { "" }
}

/// Puts what the agent of this machine has counted beside what the programs of the host have.
pub fn bring_out(machine: &System) {
    if !cfg!(coverage) {
        return;
    }
    let line = ["sh", "-c", "cat /counts/*.profraw"].map(str::to_owned);
    let parameters = ProcessParameters::default().command_args(line.to_vec()).create_std_out_pipe(true);
    let mut process = machine.run(&parameters).wait().expect("reading what was counted");
    let mut counts = Vec::new();
    let mut pipe = File::from(process.pipes.stdout.take().expect("a pipe"));
    pipe.read_to_end(&mut counts).expect("what was counted");
    assert!(!counts.is_empty(), "the agent of {} counts nothing", machine.id());
    let pattern = env::var_os(VARIABLE).expect("where to count");
    let folder = Path::new(&pattern).parent().expect("a folder");
    // Machines of other tests have the same name, and so the same id.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = folder.join(format!("guest-{}-{number}.profraw", std::process::id()));
    fs::write(file, counts).expect("writing the counts");
}
