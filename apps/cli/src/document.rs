//! Documents from files or from the standard input.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use hcs::schema::{self, Document, DocumentError};

use crate::failure::Failure;

/// A document that was named on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Source {
    /// The document's file; - reads the standard input.
    #[arg(value_name = "DOCUMENT.JSON")]
    path: PathBuf,
}

impl Source {
    /// The document of this name.
    pub fn of(name: &str) -> Source {
        Source { path: name.into() }
    }

    /// The document; a member that is not known is an error.
    pub fn read_strict<T: Document>(&self) -> Result<T, Failure> {
        schema::read_strict(&self.read()?).map_err(|error| self.wrong(&error))
    }

    /// What is wrong with it, under its name.
    pub fn wrong(&self, error: &DocumentError) -> Failure {
        Failure::new(format!("{}: {error}", self.name()))
    }

    /// The text.
    pub fn read(&self) -> Result<String, Failure> {
        let text = if self.path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.path)
        };
        text.map_err(|error| Failure::io(&error, &self.name()))
    }

    /// How it is called in messages.
    pub fn name(&self) -> String {
        if self.path == Path::new("-") {
            "the standard input".to_owned()
        } else {
            self.path.display().to_string()
        }
    }
}
