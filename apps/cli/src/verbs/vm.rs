//! `hcs vm`

use std::path::{Path, PathBuf};

use hcs_initrd::Image;

use crate::{failure::Failure, output, programs, progress::Busy};

/// Build what virtual machines boot from.
#[derive(clap::Args)]
pub struct Vm {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Images of utility machines: a kernel, and an archive with its modules and the agent.
    #[command(subcommand)]
    Image(ImageVerb),
}

#[derive(clap::Subcommand)]
enum ImageVerb {
    /// Build one. The same files make the same image, byte for byte.
    ///
    /// A machine boots it with "LinuxKernelDirect":{"KernelFilePath":"FOLDER/kernel","InitRdPath":"FOLDER/initrd"}; with
    /// "GuestConnection":{} beside, processes run in it.
    Build(Build),
}

#[derive(clap::Args)]
struct Build {
    /// Where `kernel` and `initrd` are made.
    folder: PathBuf,
    /// The kernel [default: the one that runs here].
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Its modules: the folder lib/modules/VERSION [default: those of the kernel that runs here].
    #[arg(long, value_name = "FOLDER")]
    modules: Option<PathBuf>,
    /// The agent [default: hcs-guest beside this program].
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// A folder whose files are in it as well, for instance with a shell in bin/. May be given several times.
    #[arg(long = "add", value_name = "FOLDER")]
    trees: Vec<PathBuf>,
    /// A module beside those that every machine can need. May be given several times.
    #[arg(long = "module", value_name = "NAME")]
    more_modules: Vec<String>,
}

impl Vm {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        let What::Image(ImageVerb::Build(build)) = self.what;
        let Build { folder, kernel, modules, agent, trees, more_modules } = build;
        let version = rustix::system::uname();
        let version = version.release().to_string_lossy();
        let image = Image {
            kernel: kernel.unwrap_or_else(|| Path::new("/boot").join(format!("vmlinuz-{version}"))),
            modules: modules.unwrap_or_else(|| Path::new("/lib/modules").join(&*version)),
            agent: agent.unwrap_or_else(|| programs::beside("hcs-guest")),
            more_modules,
            trees,
        };
        let busy = Busy::with("building the image");
        let built = image.build(&folder).map_err(|error| Failure::new(error.to_string()))?;
        drop(busy);
        let rows = [("kernel", &built.kernel), ("initrd", &built.initrd)];
        for (what, path) in rows {
            output::line(&format!("{what}  {}", path.display()))?;
        }
        output::line(&format!("size    {:.1} MB", built.bytes as f64 / 1e6))?;
        Ok(())
    }
}
