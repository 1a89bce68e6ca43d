//! `hcs create`

use hcs::schema::{self, Any, ComputeSystem};

use crate::{Context, document::Source, failure::Failure, output};

/// Create a system from its document, and print its runtime id.
///
/// A member that is not known is an error, because it is most likely a typo; --tolerant makes it a warning. The
/// system stays when this command has ended.
#[derive(clap::Args)]
pub struct Create {
    /// The id of the new system.
    id: String,
    #[command(flatten)]
    document: Source,
    /// Accept members that are not known, as the API does, and warn of them.
    #[arg(long)]
    tolerant: bool,
}

impl Create {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let text = self.document.read()?;
        let document = self.check(&text)?;
        if document.should_terminate_on_last_handle_closed == Some(true) {
            return Err(Failure::new(
                "$.ShouldTerminateOnLastHandleClosed: found true, so the system would end at once, with this \
                 command. Leave it out.",
            ));
        }
        let text = Any::from_text(text).map_err(|error| Failure::new(error.to_string()))?;
        let system = context.client()?.create_from(&self.id, text, !self.tolerant).wait()?;
        output::warn_of(&system);
        output::line(system.runtime_id())
    }

    fn check(&self, text: &str) -> Result<ComputeSystem, Failure> {
        let document = if self.tolerant {
            schema::read(text).map(|reading| reading.value)
        } else {
            schema::read_strict(text)
        };
        document.map_err(|error| self.document.wrong(&error))
    }
}
