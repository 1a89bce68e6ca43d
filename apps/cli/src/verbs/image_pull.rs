//! `hcs image pull`

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use hcs::images::{Name, Store};

use super::image::import;
use crate::{failure::Failure, programs, progress::Bars};

/// Fetch an image from a registry.
#[derive(clap::Args)]
pub struct Pull {
    /// The image, as registry/repository:tag; without a registry it is of docker.io.
    image: String,
    /// What it is called here.
    #[arg(long)]
    name: Option<String>,
    /// Who asks; the password is the first line of the standard input.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A certificate (PEM) that is trusted beside those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Speak HTTP: nothing is encrypted, and nobody is who they say.
    #[arg(long)]
    plain_http: bool,
}

impl Pull {
    pub fn run(self, store: &Store) -> Result<(), Failure> {
        let name = self.name.as_deref().map(Name::new).transpose()?;
        let folder = store.scratch()?;
        let program = programs::beside("hcs-pull");
        let mut command = Command::new(&program);
        command.arg(&self.image).arg(folder.path());
        for certificate in &self.ca {
            command.arg("--ca").arg(certificate);
        }
        if self.plain_http {
            command.arg("--plain-http");
        }
        let doing = |what: &str| {
            let what = format!("{what} {}", program.display());
            move |error: std::io::Error| Failure::io(&error, &what)
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(doing("running"))?;
        if let Some(mut stdin) = child.stdin.take()
            && let Some(user) = &self.user
        {
            let mut password = String::new();
            std::io::stdin().lock().read_line(&mut password).map_err(doing("reading the password for"))?;
            // If it has ended, it says why.
            let _ = write!(stdin, "{user}\n{}", password.trim_end_matches('\n'));
        }
        let bars = Bars::new();
        let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ');
            if let (Some(digest), Some(Ok(done)), Some(Ok(total))) =
                (words.next(), words.next().map(str::parse), words.next().map(str::parse))
            {
                bars.show(digest, done, total);
            }
        }
        drop(bars);
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            // Nothing is said before the end.
            let _ = stderr.read_to_string(&mut said);
        }
        if !child.wait().map_err(doing("waiting for"))?.success() {
            return Err(Failure::new(format!("{}: {}", self.image, said.trim())));
        }
        import(store, folder.path(), name.as_ref())
    }
}
