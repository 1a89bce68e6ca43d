//! `hcs config`

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use hcs_config::{Config as Effective, SETTINGS, Settings};

use crate::{failure::Failure, output};

/// Check and show the settings of the service, without a service.
#[derive(clap::Args)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Check a configuration file: every mistake with its line and what is allowed.
    Check(File),
    /// Print the settings that a service started here would have, as TOML, each with where it comes from.
    ///
    /// Arguments of hcsd, and variables that only its unit sets, are not known here.
    Show(File),
}

#[derive(clap::Args)]
struct File {
    /// The file [default: that of HCS_CONFIG, or etc/config.toml below HCS_ROOT, or /etc/hcs/config.toml].
    file: Option<PathBuf>,
}

impl Config {
    pub fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Check(file) => file.check(),
            What::Show(file) => file.show(),
        }
    }
}

impl File {
    fn check(&self) -> Result<(), Failure> {
        let (path, text) = self.read()?;
        match text {
            None => output::line(&format!("there is no {}; everything is as usual", path.display())),
            Some(text) => {
                parse(&path, &text)?;
                output::line(&format!("{} is valid", path.display()))
            }
        }
    }

    fn show(&self) -> Result<(), Failure> {
        let (path, text) = self.read()?;
        let by_file = text.map_or(Ok(Settings::default()), |text| parse(&path, &text))?;
        let by_environment = Settings::from_environment(|name| env::var_os(name)).map_err(Failure::new)?;
        let config = Effective::new(by_environment.clone().or(by_file.clone()), root().as_deref());
        for setting in SETTINGS {
            let from = if by_environment.says(setting) {
                setting.variable()
            } else if by_file.says(setting) {
                path.display().to_string()
            } else {
                "as usual".to_owned()
            };
            let line = format!("{} = {}", setting.name, config.toml(setting));
            output::line(&format!("{line:<50} # {from}"))?;
        }
        Ok(())
    }

    /// The file's path and text; one that nobody has named need not be there.
    fn read(&self) -> Result<(PathBuf, Option<String>), Failure> {
        let named = self.file.clone().or_else(|| variable("HCS_CONFIG"));
        let path = named.clone().unwrap_or_else(|| hcs_config::usual_path(root().as_deref()));
        match fs::read_to_string(&path) {
            Ok(text) => Ok((path, Some(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok((path, None)),
            Err(error) => Err(Failure::io(&error, &format!("reading {}", path.display()))),
        }
    }
}

/// Tells every mistake of a file, or what it says.
fn parse(path: &Path, text: &str) -> Result<Settings, Failure> {
    let mistakes = match hcs_config::parse(text) {
        Ok(settings) => return Ok(settings),
        Err(mistakes) => mistakes,
    };
    for mistake in &mistakes {
        output::line(&format!("{}, {mistake}", path.display()))?;
    }
    Err(Failure::new(match mistakes.len() {
        1 => format!("{} has a mistake", path.display()),
        count => format!("{} has {count} mistakes", path.display()),
    }))
}

fn root() -> Option<PathBuf> {
    variable("HCS_ROOT").map(|root| std::path::absolute(&root).unwrap_or(root))
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
