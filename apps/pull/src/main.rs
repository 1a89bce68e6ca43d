//! hcs-pull: fetches an image from a registry, into an OCI layout in a folder. `hcs image pull` runs it.
//!
//! It is a program of its own because it speaks with strangers: before the first word it gives up root and every other
//! privilege, and owns nothing but its folder. What it brings is checked again by who imports it.
//!
//! Credentials come on the standard input: nothing, or a line with a user and a line with a password. How far each blob
//! has come goes to the standard output: digest, bytes, all bytes.
#![forbid(unsafe_code)]

mod confine;
mod layout;
mod transfer;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use oci_client::{
    Client, Reference,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};

/// Fetch an image from a registry.
#[derive(Parser)]
#[command(name = "hcs-pull", version)]
struct Arguments {
    /// The image, as registry/repository:tag or @digest.
    image: String,
    /// An empty folder for the layout.
    folder: PathBuf,
    /// A certificate (PEM) that is trusted beside those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Speak HTTP: nothing is encrypted, and nobody is who they say.
    #[arg(long)]
    plain_http: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody takes that, the exit code still tells.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let at = |error: io::Error, path: &std::path::Path| format!("{}: {error}", path.display());
    let folder = File::open(&arguments.folder).map_err(|error| at(error, &arguments.folder))?;
    let certificates = arguments.ca.iter().map(|path| {
        let data = std::fs::read(path).map_err(|error| at(error, path))?;
        Ok(Certificate { encoding: CertificateEncoding::Pem, data })
    });
    let extra_root_certificates = certificates.collect::<Result<Vec<_>, String>>()?;
    let auth = credentials().map_err(|error| format!("reading the credentials: {error}"))?;
    let image: Reference =
        arguments.image.parse().map_err(|error| format!("{:?} names no image: {error}", arguments.image))?;
    // Everything that takes rights is open.
    confine::confine(&folder).map_err(|error| format!("giving up privileges: {error}"))?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(ClientConfig {
        protocol: if arguments.plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates,
        connect_timeout: Some(transfer::PATIENCE),
        read_timeout: Some(transfer::PATIENCE),
        user_agent: concat!("hcs/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
    .map_err(|error| transfer::explain(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting: {error}"))?;
    runtime.block_on(transfer::fetch(&client, &image, &auth, &folder))
}

fn credentials() -> io::Result<RegistryAuth> {
    const LONGEST: u64 = 64 << 10;
    let mut text = String::new();
    io::stdin().take(LONGEST).read_to_string(&mut text)?;
    Ok(match text.trim_end_matches('\n').split_once('\n') {
        Some((user, password)) => RegistryAuth::Basic(user.to_owned(), password.to_owned()),
        None => RegistryAuth::Anonymous,
    })
}
