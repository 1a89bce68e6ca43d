//! `hcs service`

use hcs::schema::{GetPropertyType, ServicePropertyQuery};

use crate::{Context, failure::Failure, output};

/// Print properties of the service and its host as JSON.
#[derive(clap::Args)]
pub struct Service {
    /// Which properties; none asks for Basic.
    #[arg(value_parser = super::names(GetPropertyType::ALL, GetPropertyType::as_str), ignore_case = true)]
    types: Vec<String>,
}

impl Service {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let types: Vec<_> = GetPropertyType::ALL
            .iter()
            .copied()
            .filter(|kind| self.types.iter().any(|name| name.eq_ignore_ascii_case(kind.as_str())))
            .collect();
        let query = ServicePropertyQuery {
            property_types: (!types.is_empty()).then_some(types),
            ..Default::default()
        };
        let properties = context.client()?.service_properties(Some(&query)).wait()?;
        Ok(output::json(&super::text_of(&properties)?)?)
    }
}
