//! From what `hcs run` is given to the documents of a system and of its process.

use std::path::Path;

use hcs::{
    images,
    schema::{
        ComputeSystem, Container, ContainerMemory, ContainerProcessor, GuestOs, MappedDirectory,
        NetworkLinux, NetworkMode, Networking, OciLinux, OciPids, OciResources, OciRoot, ProcessParameters,
        Storage, Version,
    },
};

use crate::{attach::How, document::Source, failure::Failure, host_path, size};

/// What a container may use, and what it has beside its root file system.
#[derive(clap::Args)]
#[command(next_help_heading = "Options of containers")]
pub struct Limits {
    /// How much memory: bytes, or with K, M, G or T.
    #[arg(short, long, value_name = "SIZE", value_parser = size::megabytes)]
    memory: Option<u64>,
    /// How many processors, also parts of one: 0.5.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<f64>,
    /// How many processes.
    #[arg(long, value_name = "NUMBER")]
    pids: Option<i64>,
    /// The network: none, host, user, or bridge:NAME [default: none].
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Option<Attached>,
    /// A folder of the host that appears in the container.
    #[arg(short, long = "volume", value_name = "HOST:CONTAINER[:ro]", value_parser = volume)]
    volumes: Vec<MappedDirectory>,
    /// The container's host name [default: its id].
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Nothing can be written to its root file system.
    #[arg(long)]
    read_only: bool,
}

/// How a container is attached to a network; `None` is not at all.
type Attached = Option<NetworkLinux>;

/// What is to be made.
pub struct Recipe {
    /// The system.
    pub document: ComputeSystem,
    /// The process.
    pub parameters: ProcessParameters,
    /// Whether the folder for what the container writes is needed.
    pub needs_scratch: bool,
}

impl Recipe {
    /// Reads the source: a document, a folder, or an image, which writes to `scratch`.
    pub fn new(
        source: &str,
        command: &[String],
        how: &How,
        limits: &Limits,
        scratch: &Path,
    ) -> Result<Recipe, Failure> {
        let is_document =
            source == "-" || Path::new(source).extension().is_some_and(|ending| ending == "json");
        if is_document {
            if limits.are_given() {
                return Err(Failure::new(
                    "the options of containers are for images and folders; a document says all that itself",
                ));
            }
            let document = Source::of(source).read_strict()?;
            return Ok(Recipe { document, parameters: how.parameters(command), needs_scratch: false });
        }
        if source.contains('/') || Path::new(source).is_dir() {
            let folder = Path::new(source);
            if !folder.is_dir() {
                return Err(Failure::not_there(format!("there is no folder {source}")));
            }
            if command.is_empty() {
                return Err(Failure::new(format!(
                    "a folder does not say what to run in it; name a program: hcs run {source} sh"
                )));
            }
            let container = Container::default().storage(Storage::default().path(host_path::text(folder)?));
            let document = ComputeSystem::default()
                .schema_version(Version { major: Some(2), minor: Some(1) })
                .container(limits.add_to(container)?);
            return Ok(Recipe { document, parameters: how.parameters(command), needs_scratch: false });
        }
        of_image(source, command, how, limits, scratch)
    }
}

/// A container of an image: its process is the container's, so that what is not said here is said by the image.
fn of_image(
    name: &str,
    command: &[String],
    how: &How,
    limits: &Limits,
    scratch: &Path,
) -> Result<Recipe, Failure> {
    let image = images::store()?.find(name).map_err(|error| {
        Failure::from(error).and(&format!(
            "`hcs image list` shows those that are there; a folder is told by a / in its name: ./{name}"
        ))
    })?;
    let mut document = image.document(scratch, command)?;
    let container = document.container.take().unwrap_or_default();
    let mut container = limits.add_to(container)?;
    if let Some(process) = container.oci_specification.as_mut().and_then(|oci| oci.process.as_mut()) {
        if process.args.is_none() {
            return Err(Failure::new(format!(
                "the image {name} does not say what to run in it; name a program: hcs run {name} sh"
            )));
        }
        how.add_to(process);
    }
    document.container = Some(container);
    Ok(Recipe { document, parameters: how.streams(), needs_scratch: true })
}

impl Limits {
    fn are_given(&self) -> bool {
        let Limits { memory, cpus, pids, network, volumes, hostname, read_only } = self;
        memory.is_some()
            || cpus.is_some()
            || pids.is_some()
            || network.is_some()
            || !volumes.is_empty()
            || hostname.is_some()
            || *read_only
    }

    fn add_to(&self, mut container: Container) -> Result<Container, Failure> {
        if let Some(megabytes) = self.memory {
            container.memory = Some(ContainerMemory::default().size_in_mb(megabytes));
        }
        if let Some(number) = self.cpus {
            container.processor = Some(processor(number)?);
        }
        if !self.volumes.is_empty() {
            container.mapped_directories = Some(self.volumes.clone());
        }
        if let Some(network) = self.network.clone().flatten() {
            container.networking = Some(Networking::default().linux(network));
        }
        if let Some(name) = &self.hostname {
            container.guest_os = Some(GuestOs::default().host_name(name.clone()));
        }
        if self.pids.is_some() || self.read_only {
            let mut oci = container.oci_specification.take().unwrap_or_default();
            if let Some(limit) = self.pids {
                let resources = OciResources::default().pids(OciPids::default().limit(limit));
                oci.linux = Some(OciLinux::default().resources(resources));
            }
            if self.read_only {
                oci.root = Some(OciRoot::default().readonly(true));
            }
            container.oci_specification = Some(oci);
        }
        Ok(container)
    }
}

/// So many processors, of those that this host has.
fn processor(number: f64) -> Result<ContainerProcessor, Failure> {
    /// All processors, in the unit of `Maximum`.
    const ALL: f64 = 10_000.0;
    let here = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    if number.is_nan() || number <= 0.0 || number > here {
        return Err(Failure::new(format!(
            "--cpus: found {number}, expected more than 0 and at most {here}, which is what this host has"
        )));
    }
    let processor = ContainerProcessor::default();
    Ok(if number.fract() == 0.0 {
        processor.count(number as u32)
    } else {
        processor.maximum(((number / here * ALL).round() as i64).max(1))
    })
}

fn network(text: &str) -> Result<Attached, String> {
    let mode = |mode| Some(NetworkLinux::default().mode(mode));
    match text.split_once(':') {
        Some(("bridge", name)) if !name.is_empty() => {
            Ok(Some(NetworkLinux::default().mode(NetworkMode::Bridge).name(name)))
        }
        None if text == "none" => Ok(None),
        None if text == "host" => Ok(mode(NetworkMode::Host)),
        None if text == "user" => Ok(mode(NetworkMode::User)),
        _ => {
            Err("expected none, host, user, or bridge:NAME with the name of a bridge of the host".to_owned())
        }
    }
}

fn volume(text: &str) -> Result<MappedDirectory, String> {
    let mut parts = text.split(':');
    let (Some(host), Some(inside), option, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("expected HOST:CONTAINER, with :ro behind it if nothing may be written".to_owned());
    };
    let is_read_only = match option {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(other) => return Err(format!("found the option {other:?}, expected ro or rw")),
    };
    if !inside.starts_with('/') {
        return Err(format!("found {inside:?}, expected a path in the container that begins with /"));
    }
    let host = std::path::absolute(host).map_err(|error| format!("{host}: {error}"))?;
    let host = host.to_str().ok_or("the path is no text")?;
    Ok(MappedDirectory::default().host_path(host).container_path(inside).read_only(is_read_only))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_by_one_word_or_by_that_of_a_bridge() {
        assert_eq!(network("none"), Ok(None));
        let bridge = network("bridge:br0").expect("a bridge").expect("attached");
        assert_eq!((bridge.mode, bridge.name.as_deref()), (Some(NetworkMode::Bridge), Some("br0")));
        for wrong in ["", "bridge", "bridge:", "host:x", "Host"] {
            assert!(network(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_volume_says_both_ends_and_whether_it_can_be_written() {
        let volume_of = |text: &str| volume(text).expect("a volume");
        let plain = volume_of("/a:/b");
        assert_eq!((plain.host_path.as_deref(), plain.container_path.as_deref()), (Some("/a"), Some("/b")));
        assert_eq!(volume_of("/a:/b:ro").read_only, Some(true));
        for wrong in ["/a", "/a:b", "/a:/b:rx", "/a:/b:ro:x"] {
            assert!(volume(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn processors_are_counted_or_shared() {
        assert_eq!(processor(1.0).expect("one").count, Some(1));
        let here = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        assert_eq!(processor(0.5).expect("half of one").maximum, Some((5000.0 / here).round() as i64));
        for wrong in [0.0, -1.0, f64::NAN, here + 1.0] {
            assert!(processor(wrong).is_err(), "{wrong}");
        }
    }
}
