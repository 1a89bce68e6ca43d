//! A container that a program runs something in: `cargo run -p hcs --example embed -- ROOTFS`.

use std::{error::Error, fs::File, io::Read};

use hcs::schema::{ComputeSystem, Container, ContainerMemory, ProcessParameters, Storage, Version};

/// Runs a command in a container of its own, and returns what it said and its exit code.
pub async fn run(
    client: &hcs::Client,
    root: &str,
    command: &str,
) -> Result<(String, Option<i64>), Box<dyn Error>> {
    // Types for every document. A typo is a mistake at compile time.
    let document = ComputeSystem::default()
        .schema_version(Version::default().major(2u32).minor(1u32))
        .owner("embed")
        // The container ends with this program, however that ends.
        .should_terminate_on_last_handle_closed(true)
        .container(
            Container::default()
                .storage(Storage::default().path(root))
                .memory(ContainerMemory::default().size_in_mb(64u64)),
        );
    let system = client.create("embedded", &document).await?;
    // What was accepted without effect is told, never hidden.
    for warning in system.warnings() {
        eprintln!("{warning:?}");
    }
    system.start().await?;

    let parameters = ProcessParameters::default().command_line(command).create_std_out_pipe(true);
    let mut process = system.run(&parameters).await?;
    let mut said = String::new();
    if let Some(output) = process.pipes.stdout.take() {
        // A pipe straight from the process: in an async program read it with tokio's AsyncFd, or on a thread as here.
        said = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            File::from(output).read_to_string(&mut said).map(|_| said)
        })
        .await??;
    }
    let status = process.wait().await?;

    system.terminate().await?;
    system.wait().await?;
    Ok((said, status.exit_code.map(i64::from)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("usage: embed ROOTFS")?;
    let client = hcs::Client::connect()?;
    let (said, code) = run(&client, &root, "uname -n").await?;
    print!("{said}");
    println!("exit code {code:?}");
    Ok(())
}
