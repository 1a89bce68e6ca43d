//! `hcs modify`

use hcs::schema::{Any, ModifyRequestType, ModifySettingRequest};

use crate::{Context, document::Source, failure::Failure, target::Target};

/// Change a system: its limits, devices and shares
///
/// By a request from a file, or by its parts:
///
///   hcs modify web --path Container/Memory/SizeInMB --settings 128
///   hcs modify vm request.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Modify {
    #[command(flatten)]
    target: Target,
    /// A ModifySettingRequest; - reads the standard input.
    #[arg(value_name = "REQUEST.JSON", required_unless_present = "path", conflicts_with_all = ["path", "kind", "settings"])]
    request: Option<String>,
    /// What is changed: the request's ResourcePath.
    #[arg(long, value_name = "RESOURCE-PATH")]
    path: Option<String>,
    /// How: the request's RequestType.
    #[arg(long = "type", value_name = "TYPE", ignore_case = true,
        value_parser = super::names(ModifyRequestType::ALL, ModifyRequestType::as_str))]
    kind: Option<String>,
    /// The request's Settings, JSON.
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
}

impl Modify {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let request = self.request()?;
        Ok(self.target.open(context)?.modify(&request).wait()?)
    }

    fn request(&self) -> Result<ModifySettingRequest, Failure> {
        if let Some(name) = &self.request {
            return Source::of(name).read_strict();
        }
        let kinds = super::named(ModifyRequestType::ALL, ModifyRequestType::as_str, self.kind.as_slice());
        let settings = self.settings.clone().map(Any::from_text).transpose();
        let settings = settings.map_err(|error| Failure::new(format!("--settings: {error}")))?;
        Ok(ModifySettingRequest {
            resource_path: self.path.clone(),
            request_type: kinds.first().copied(),
            settings,
            ..Default::default()
        })
    }
}
