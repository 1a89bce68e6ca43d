//! `hcs service`

use hcs::schema::{GetPropertyType, ModificationRequest, ServicePropertyQuery};

use crate::{Context, document::Source, failure::Failure, output};

/// Ask about the service and its host, or change their settings.
#[derive(clap::Args)]
pub struct Service {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Print properties as JSON.
    #[command(visible_alias = "props")]
    Properties {
        /// Which; none asks for Basic.
        #[arg(value_parser = super::names(GetPropertyType::ALL, GetPropertyType::as_str), ignore_case = true)]
        types: Vec<String>,
    },
    /// Change a setting, such as the groups of processors, by a ModificationRequest.
    Modify {
        #[command(flatten)]
        document: Source,
    },
}

impl Service {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.what {
            What::Properties { types } => properties(context, &types),
            What::Modify { document } => {
                let request: ModificationRequest = document.read_strict()?;
                Ok(context.client()?.modify_service(&request).wait()?)
            }
        }
    }
}

fn properties(context: &Context, names: &[String]) -> Result<(), Failure> {
    let types = super::named(GetPropertyType::ALL, GetPropertyType::as_str, names);
    let query =
        ServicePropertyQuery { property_types: (!types.is_empty()).then_some(types), ..Default::default() };
    let properties = context.client()?.service_properties(Some(&query)).wait()?;
    output::json(&super::text_of(&properties)?)
}
