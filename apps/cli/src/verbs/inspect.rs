//! `hcs inspect`

use hcs::schema::{SystemPropertyQuery, SystemPropertyType};

use super::Target;
use crate::{Context, failure::Failure, output};

/// Print properties of a system as JSON: the basic ones, and those that are named.
#[derive(clap::Args)]
#[command(visible_alias = "props")]
pub struct Inspect {
    #[command(flatten)]
    target: Target,
    /// Further properties.
    #[arg(value_parser = super::names(SystemPropertyType::ALL, SystemPropertyType::as_str), ignore_case = true)]
    types: Vec<String>,
}

impl Inspect {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let types = super::named(SystemPropertyType::ALL, SystemPropertyType::as_str, &self.types);
        let query = SystemPropertyQuery { property_types: Some(types), ..Default::default() };
        let properties = self.target.open(context)?.properties(Some(&query)).wait()?;
        output::json(&super::text_of(&properties)?)
    }
}
