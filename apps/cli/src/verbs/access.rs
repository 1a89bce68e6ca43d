//! `hcs access`

use std::path::PathBuf;

use hcs::access::{self, Who};

use crate::{Context, failure::Failure, output};

/// Let virtual machines use files.
///
/// Every machine runs as a user of its own, which has no right to anything by itself. An entry for it in a file's access
/// control list is set with the rights of the caller.
#[derive(clap::Args)]
pub struct Access {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Let a machine read and write a file, or every machine read it.
    Grant(Named),
    /// Take that back.
    Revoke(Named),
}

#[derive(clap::Args)]
struct Named {
    /// The id of the machine, which need not exist yet.
    #[arg(required_unless_present = "all")]
    machine: Option<String>,
    /// The file, or a folder and what will be made in it.
    #[arg(long, value_name = "PATH")]
    file: PathBuf,
    /// Every machine, for reading.
    #[arg(long, conflicts_with = "machine")]
    all: bool,
}

impl Access {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let who = |named: &Named| match &named.machine {
            Some(machine) => client.machine_user(machine).wait(),
            None => client.machine_group().wait(),
        };
        match self.what {
            What::Grant(named) => {
                let who = who(&named)?;
                access::grant(&named.file, who)?;
                if let Who::User(user) = who
                    && let Some(folder) = access::closed_folder(&named.file, user)
                {
                    output::note(&format!(
                        "the machine may not search {}; it finds the file only if it may",
                        folder.display()
                    ));
                }
            }
            What::Revoke(named) => access::revoke(&named.file, who(&named)?)?,
        }
        Ok(())
    }
}
