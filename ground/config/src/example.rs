//! The file that packages bring: every setting is in it, as a comment with what is usual.

use crate::settings::{Config, SETTINGS, Settings};

const HEAD: &str = "\
# Settings of hcsd, the host compute service. What stands here as a comment is what holds without it.
#
# An argument of hcsd of the same name (--group) beats this file, and so does a variable of its environment (HCS_GROUP).
# `hcs config check` finds mistakes, `hcs config show` tells what holds. A change takes effect when hcsd is restarted;
# systems go on meanwhile.
";

/// Its text.
pub fn example() -> String {
    let usual = Config::new(Settings::default(), None);
    let mut text = HEAD.to_owned();
    for setting in SETTINGS {
        text += "\n";
        for line in setting.what {
            text += &format!("#{line}\n");
        }
        text += &format!("#{} = {}\n", setting.name, usual.toml(setting));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_packages_is_what_the_list_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/config.toml");
        if std::env::var_os("HCS_WRITE_EXAMPLE").is_some() {
            std::fs::write(file, example()).unwrap();
        }
        let found = std::fs::read_to_string(file).unwrap();
        assert_eq!(found, example(), "write it anew: HCS_WRITE_EXAMPLE=1 cargo test -p hcs-config");
    }

    #[test]
    fn without_its_marks_of_comment_it_says_what_is_usual() {
        let is_value = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
        let values: Vec<&str> = example().leak().lines().filter(is_value).map(|line| &line[1..]).collect();
        assert_eq!(values.len(), SETTINGS.len());
        let said = crate::parse(&values.join("\n")).unwrap();
        assert_eq!(Config::new(said, None), Config::new(Settings::default(), None));
        assert_eq!(crate::parse(&example()).unwrap(), Settings::default());
    }
}
