//! The list of settings, and what is made of it: a type for what one source says, a type for what holds.

use std::{
    ffi::OsString,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use crate::value::{LogFilter, LogFormat, Program, Value};

/// What is known of a setting besides its value.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in the file, and after two dashes its argument.
    pub name: &'static str,
    /// What it is, in sentences.
    pub what: &'static [&'static str],
    /// What stands for its value in a usage.
    pub placeholder: &'static str,
    /// What it may be, to be put after "allowed is".
    pub allowed: &'static str,
    /// How TOML calls the type of its value.
    pub(crate) toml_type: &'static str,
}

impl Setting {
    /// The setting of this name.
    pub fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Its variable of the environment.
    pub fn variable(&self) -> String {
        format!("HCS_{}", self.name.replace('-', "_").to_uppercase())
    }
}

macro_rules! settings {
    (
        given $root:ident;
        $( $(#[doc = $what:literal])+ $field:ident $name:literal: $type:ty = $usual:expr; )+
    ) => {
        /// All settings.
        pub const SETTINGS: &[Setting] = &[ $( Setting {
            name: $name,
            what: &[$($what),+],
            placeholder: <$type as Value>::PLACEHOLDER,
            allowed: <$type as Value>::ALLOWED,
            toml_type: <$type as Value>::TOML_TYPE,
        } ),+ ];

        /// What one source says of the settings; `None` where it says nothing.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings { $( $(#[doc = $what])+ pub $field: Option<$type>, )+ }

        impl Settings {
            /// Takes in the text of a value; the error is what was found and what is allowed.
            pub fn set(&mut self, setting: &Setting, text: &str) -> Result<(), String> {
                let refusal = || format!("found {text:?}; allowed is {}", setting.allowed);
                match setting.name {
                    $( $name => self.$field = Some(Value::from_text(text).ok_or_else(refusal)?), )+
                    _ => return Err(refusal()),
                }
                Ok(())
            }

            /// Whether it says something of this setting.
            pub fn says(&self, setting: &Setting) -> bool {
                match setting.name { $( $name => self.$field.is_some(), )+ _ => false }
            }

            /// What it says, and where it says nothing, what the weaker source says.
            pub fn or(self, weaker: Settings) -> Settings {
                Settings { $( $field: self.$field.or(weaker.$field), )+ }
            }
        }

        /// What holds in the end.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config { $( $(#[doc = $what])+ pub $field: $type, )+ }

        impl Config {
            /// What is said, and what is usual where nothing is said. A root moves what is usual below itself.
            pub fn new(said: Settings, $root: Option<&Path>) -> Config {
                $( let $field = said.$field.unwrap_or_else(|| $usual); )+
                Config { $( $field, )+ }
            }

            /// The value of a setting as TOML.
            pub fn toml(&self, setting: &Setting) -> String {
                match setting.name { $( $name => self.$field.to_toml(), )+ _ => String::new() }
            }
        }
    };
}

settings! {
    given root;

    /// The folder of what must not survive a reboot: sockets, records of live systems.
    run_folder "run-folder": PathBuf = root.map_or("/run/hcs".into(), |root| root.join("run"));
    /// The folder of what must: settings, crash reports, the users of virtual machines.
    state_folder "state-folder": PathBuf = root.map_or("/var/lib/hcs".into(), |root| root.join("lib"));
    /// The socket of the clients. One that a service manager has opened is used instead.
    socket "socket": PathBuf = run_folder.join("hcs.sock");
    /// The group whose members may use the service besides root.
    group "group": String = "hcs".to_owned();
    /// The program of the workers; "auto" is hcs-worker beside hcsd.
    worker "worker": Program = Program::Auto;
    /// QEMU, 9.0 or newer; "auto" is the one of the system.
    qemu "qemu": Program = Program::Auto;
    /// How many seconds the start of a virtual machine waits for the agent in it.
    guest_patience "guest-patience": NonZeroU32 = number(120);
    /// How many connections are served at a time.
    max_connections "max-connections": NonZeroU32 = number(12_000);
    /// How many of them may be of one user; root may have all.
    max_connections_per_user "max-connections-per-user": NonZeroU32 = number(4_000);
    /// How many crash reports are kept; the oldest go first.
    max_crash_reports "max-crash-reports": NonZeroU32 = number(64);
    /// Whether metrics.sock beside the socket tells figures, for Prometheus, to every user of the host.
    metrics "metrics": bool = true;
    /// What is logged: a level (error, warn, info, debug, trace), or several TARGET=LEVEL with commas between them.
    log "log": LogFilter = LogFilter::default();
    /// How: "text", or "json" for one JSON object a line.
    log_format "log-format": LogFormat = LogFormat::Text;
}

/// A number of ours, which is never 0.
const fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a usual value is not 0")
}

impl Settings {
    /// What the environment says. A variable that is empty says nothing.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for setting in SETTINGS {
            let name = setting.variable();
            let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
            let set = match value.to_str() {
                Some(text) => settings.set(setting, text),
                None => Err(format!("found {value:?}, which is no UTF-8; allowed is {}", setting.allowed)),
            };
            set.map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_said_and_is_shown_as_it_was_said() {
        for setting in SETTINGS {
            let usual = Config::new(Settings::default(), None).toml(setting);
            let mut settings = Settings::default();
            assert!(!settings.says(setting));
            settings.set(setting, usual.trim_matches('"')).unwrap();
            assert!(settings.says(setting), "{}", setting.name);
            assert_eq!(Config::new(settings, None).toml(setting), usual);
        }
    }

    #[test]
    fn a_field_has_the_name_of_its_setting() {
        let fields = format!("{:?}", Settings::default()).replace('_', "-");
        for setting in SETTINGS {
            assert!(fields.contains(&format!(" {}: None", setting.name)), "{}", setting.name);
        }
    }

    #[test]
    fn the_stronger_source_wins_and_the_weaker_fills_in() {
        let with = |pairs: &[(&str, &str)]| {
            let mut settings = Settings::default();
            for (name, text) in pairs {
                settings.set(Setting::find(name).unwrap(), text).unwrap();
            }
            settings
        };
        let said = with(&[("group", "operators")]).or(with(&[("group", "wheel"), ("max-connections", "7")]));
        let config = Config::new(said, None);
        assert_eq!(config.group, "operators");
        assert_eq!(config.max_connections.get(), 7);
        assert_eq!(config.max_crash_reports.get(), 64);
    }

    #[test]
    fn a_root_and_a_run_folder_move_what_is_below_them() {
        let config = Config::new(Settings::default(), Some(Path::new("/tmp/my")));
        assert_eq!(config.socket, Path::new("/tmp/my/run/hcs.sock"));
        assert_eq!(config.state_folder, Path::new("/tmp/my/lib"));
        let said = Settings { run_folder: Some("/run/other".into()), ..Settings::default() };
        assert_eq!(Config::new(said, None).socket, Path::new("/run/other/hcs.sock"));
    }

    #[test]
    fn the_environment_is_read_and_its_mistakes_named() {
        let environment = |wanted: &'static str, value: &'static str| {
            Settings::from_environment(move |name| (name == wanted).then(|| value.into()))
        };
        assert_eq!(environment("HCS_MAX_CONNECTIONS", "5").unwrap().max_connections, Some(number(5)));
        assert_eq!(environment("HCS_SOCKET", "").unwrap(), Settings::default());
        assert_eq!(
            environment("HCS_GUEST_PATIENCE", "0").unwrap_err(),
            "HCS_GUEST_PATIENCE: found \"0\"; allowed is a whole number from 1 on"
        );
    }
}
