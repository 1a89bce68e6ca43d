//! Names of images: as people write them, as files of the store, as they are shown. One image has one name, however it was written.

use std::fmt;

use hcs_core::{Cause, Error};

/// A name as people write it: a repository, and a tag. What docker.io has by default is left out, so one image has one
/// name however it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    repository: String,
    tag: String,
}

const LONGEST: usize = 200;
const LATEST: &str = "latest";

impl Name {
    /// Reads one; without a tag it is `latest`.
    pub fn new(text: &str) -> Result<Name, Error> {
        let wrong = |why: &str| Error::new(Cause::InvalidArgument, format!("the name {text:?} {why}"));
        let usual = ["docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/"];
        let short = usual.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        if short.contains('@') {
            return Err(wrong("has a digest in it, expected a tag"));
        }
        // The colon of a tag comes after the last slash; another one is a port.
        let (repository, tag) = match short.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (short, LATEST),
        };
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let is_part = |part: &str| {
            part.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && part.chars().all(is_letter)
        };
        let (host, path) = match repository.split_once('/') {
            // Only the first part can have a port.
            Some((host, path)) => match host.split_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => (host, path),
                _ => (host, path),
            },
            None => (repository, "x"),
        };
        if text.len() > LONGEST || !is_part(host) || !path.split('/').all(is_part) {
            return Err(wrong("is none of an image"));
        }
        if tag.is_empty() || tag.len() > 128 || !tag.chars().all(is_letter) || tag.starts_with(['.', '-']) {
            return Err(wrong("has a tag that is none"));
        }
        Ok(Name { repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// The name of the file that stands for it, of which it can be read again.
    pub(crate) fn as_file(&self) -> String {
        // Neither is in a name.
        self.to_string().replace('/', "+").replace(':', "=")
    }

    pub(crate) fn of_file(file: &str) -> Option<Name> {
        Name::new(&file.replace('+', "/").replace('=', ":")).ok()
    }

    /// The name with all that is left out.
    pub fn full(&self) -> String {
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        match self.repository.split_once('/') {
            Some((host, _)) if is_host(host) => self.to_string(),
            Some(_) => format!("docker.io/{self}"),
            None => format!("docker.io/library/{self}"),
        }
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_one_name_however_it_is_written() {
        for (text, name) in [
            ("alpine", "alpine:latest"),
            ("docker.io/library/alpine:3.20", "alpine:3.20"),
            ("docker.io/me/tool", "me/tool:latest"),
            ("localhost:5000/team/web", "localhost:5000/team/web:latest"),
            ("localhost:5000/team/web:1.0", "localhost:5000/team/web:1.0"),
        ] {
            let read = Name::new(text).unwrap();
            assert_eq!(read.to_string(), name);
            assert_eq!(Name::of_file(&read.as_file()), Some(read));
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in [
            "",
            "/",
            "../x",
            "a/../b",
            "a//b",
            "a:",
            "a:b:c",
            ".hidden",
            "a b",
            "a/b@sha256:0",
            "a\0",
            "a:../b",
        ] {
            assert!(Name::new(text).is_err(), "{text:?}");
        }
        assert!(Name::new(&"a".repeat(300)).is_err());
    }
}
