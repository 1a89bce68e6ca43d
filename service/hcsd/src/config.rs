//! Where hcsd's settings come from: its arguments, then the environment, then the file, then what is usual.
//!
//! The settings themselves are listed in `hcs_config`, and the arguments are made of that list.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hcs_config::{Program, SETTINGS, Settings};

use crate::clean_up::Extent;

const AFTER_HELP: &str = "\
Every setting is also a line of the configuration file (group = \"hcs\") and a variable of the environment (HCS_GROUP).
An argument beats a variable, a variable beats the file. `hcs config show` prints what holds.";

/// The service's settings, and what follows from them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings.
    pub settings: hcs_config::Config,
    /// The worker's program.
    pub worker: PathBuf,
    /// The folder with everything, which goes when the standard input ends; `None` if the service is to stay.
    pub temporary: Option<PathBuf>,
    /// What crashed runs have left is to be removed, instead of a service to be run.
    pub clean_up: Option<Extent>,
    /// The folder of this service's cgroups. Services with different folders never meet there.
    pub cgroup_parent: String,
}

impl Config {
    /// From the arguments, the environment and the file. With `--help`, or arguments that are wrong, the process ends.
    pub fn load() -> Result<Config, String> {
        let arguments = command().get_matches();
        let root = match arguments.get_one::<PathBuf>("root") {
            Some(root) => Some(std::path::absolute(root).map_err(|error| format!("--root: {error}"))?),
            None => None,
        };
        let said = said_by(&arguments)?
            .or(Settings::from_environment(|name| std::env::var_os(name))?)
            .or(read_file(arguments.get_one::<PathBuf>("config"), root.as_deref())?);
        let config = Config::of(hcs_config::Config::new(said, root.as_deref()), root.as_deref());
        let clean_up = match (arguments.get_flag("clean-up"), arguments.get_flag("dry-run")) {
            (false, _) => None,
            (true, false) => Some(Extent::Remove),
            (true, true) => Some(Extent::Tell),
        };
        Ok(Config { temporary: root.filter(|_| arguments.get_flag("temporary")), clean_up, ..config })
    }

    fn of(settings: hcs_config::Config, root: Option<&Path>) -> Config {
        let worker = match &settings.worker {
            Program::At(path) => path.clone(),
            Program::Auto => std::env::current_exe().unwrap_or_default().with_file_name("hcs-worker"),
        };
        let own = root.or(Some(&settings.run_folder)).filter(|folder| *folder != Path::new("/run/hcs"));
        let cgroup_parent = match own {
            Some(folder) => self::cgroup_parent(folder),
            None => "hcs".to_owned(),
        };
        Config { settings, worker, temporary: None, clean_up: None, cgroup_parent }
    }

    /// The folder that holds a folder for each live system.
    pub fn systems(&self) -> PathBuf {
        self.settings.run_folder.join("systems")
    }
}

fn command() -> Command {
    let root = Arg::new("root")
        .long("root")
        .env("HCS_ROOT")
        .value_name("FOLDER")
        .value_parser(value_parser!(PathBuf))
        .help("Keep everything below this folder instead of in /etc/hcs, /run/hcs and /var/lib/hcs");
    let file = Arg::new("config")
        .long("config")
        .env("HCS_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(
            "Read this configuration file instead of /etc/hcs/config.toml, or etc/config.toml below the root",
        );
    let temporary = Arg::new("temporary")
        .long("temporary")
        .requires("root")
        .action(ArgAction::SetTrue)
        .help("End all systems, remove the root folder and stop when the standard input ends");
    let clean_up = Arg::new("clean-up")
        .long("clean-up")
        .action(ArgAction::SetTrue)
        .conflicts_with("temporary")
        .help("Remove what crashed runs have left, if no service lives here, and end");
    let dry_run = Arg::new("dry-run")
        .long("dry-run")
        .requires("clean-up")
        .action(ArgAction::SetTrue)
        .help("Only tell what would be removed");
    Command::new("hcsd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The host compute service: containers and virtual machines for the clients of its socket")
        .after_help(AFTER_HELP)
        .args([root, file, temporary, clean_up, dry_run])
        .args(SETTINGS.iter().map(|setting| {
            Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.placeholder)
                .action(ArgAction::Set)
                .help(setting.what.concat().trim().trim_end_matches('.').to_owned())
        }))
}

fn said_by(arguments: &ArgMatches) -> Result<Settings, String> {
    let mut said = Settings::default();
    for setting in SETTINGS {
        if let Some(text) = arguments.get_one::<String>(setting.name) {
            said.set(setting, text).map_err(|error| format!("--{}: {error}", setting.name))?;
        }
    }
    Ok(said)
}

/// What the file says. One that nobody has named need not be there.
fn read_file(named: Option<&PathBuf>, root: Option<&Path>) -> Result<Settings, String> {
    let path = named.cloned().unwrap_or_else(|| hcs_config::usual_path(root));
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            return Ok(Settings::default());
        }
        read => read.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    hcs_config::parse(&text).map_err(|mistakes| {
        let lines: Vec<String> =
            mistakes.iter().map(|mistake| format!("{}, {mistake}", path.display())).collect();
        lines.join("\n")
    })
}

/// The cgroup folder of the service with this root.
pub fn cgroup_parent(root: &Path) -> String {
    format!("hcs-{:016x}", fingerprint(root.as_os_str().as_encoded_bytes()))
}

/// FNV-1a: the same for the same path in every run and release, which is all that is asked of it.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn services_with_other_folders_have_other_cgroups() {
        let parent = |run: Option<&str>, root: Option<&str>| {
            let said = Settings { run_folder: run.map(PathBuf::from), ..Settings::default() };
            let root = root.map(Path::new);
            Config::of(hcs_config::Config::new(said, root), root).cgroup_parent
        };
        assert_eq!(parent(None, None), "hcs");
        let others =
            [parent(Some("/run/other"), None), parent(None, Some("/tmp/a")), parent(None, Some("/tmp/b"))];
        assert!(others.iter().all(|one| others.iter().filter(|other| *other == one).count() == 1));
        assert!(others.iter().all(|one| one.starts_with("hcs-")));
    }
}
