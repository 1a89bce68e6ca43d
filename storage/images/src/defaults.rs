//! What an image says of how it is run, as documents.

use std::path::Path;

use hcs_core::{Cause, Error};
use hcs_schema::{ComputeSystem, Container, Layer, OciProcess, OciSpecification, OciUser, Storage, Version};

use crate::Image;

/// What the configuration of an image says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// What always comes first on the command line.
    pub entrypoint: Vec<String>,
    /// What comes behind it if nothing else is said.
    pub command: Vec<String>,
    /// Variables, as NAME=value.
    pub environment: Vec<String>,
    /// A user, as `name`, `uid`, `name:group` or `uid:gid`.
    pub user: Option<String>,
    /// Where it begins.
    pub working_directory: Option<String>,
}

impl Image {
    /// What it says of how it is run.
    pub fn defaults(&self) -> Defaults {
        let runs = self.read.config.clone().unwrap_or_default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Defaults {
            entrypoint: runs.entrypoint.unwrap_or_default(),
            command: runs.cmd.unwrap_or_default(),
            environment: runs.env.unwrap_or_default(),
            user: filled(runs.user),
            working_directory: filled(runs.working_dir),
        }
    }

    /// A container of it, with what it writes in `scratch`, a folder. A process that says nothing of its own is the one
    /// of the image; `arguments`, if there are any, take the place of its command.
    pub fn document(&self, scratch: &Path, arguments: &[String]) -> Result<ComputeSystem, Error> {
        let text = |path: &Path| match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::new(Cause::InvalidArgument, format!("{} is no text", path.display()))),
        };
        let layers = self.layers.iter().map(|path| Ok(Layer::default().path(text(path)?)));
        let storage =
            Storage::default().path(text(scratch)?).layers(layers.collect::<Result<Vec<_>, Error>>()?);
        let defaults = self.defaults();
        let behind = if arguments.is_empty() { &defaults.command[..] } else { arguments };
        let args: Vec<String> = defaults.entrypoint.iter().chain(behind).cloned().collect();
        let mut process = OciProcess::default()
            .cwd(defaults.working_directory.unwrap_or_else(|| "/".to_owned()))
            .env(with_path(defaults.environment));
        if !args.is_empty() {
            process = process.args(args);
        }
        if let Some(user) = defaults.user {
            process = process.user(OciUser::default().username(user));
        }
        let container = Container::default()
            .storage(storage)
            .oci_specification(OciSpecification::default().process(process));
        Ok(ComputeSystem::default()
            .schema_version(Version { major: Some(2), minor: Some(1) })
            .container(container))
    }
}

/// An image without a PATH expects the usual one.
fn with_path(mut environment: Vec<String>) -> Vec<String> {
    if !environment.iter().any(|variable| variable.starts_with("PATH=")) {
        environment.insert(0, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    }
    environment
}
