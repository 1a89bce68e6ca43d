//! Finds the images in a source, and reads what they are made of. Nothing is unpacked here.

use hcs_core::Error;
use serde::de::DeserializeOwned;

use crate::{
    Digest, Name,
    documents::{
        Config, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, DockerImage, FULL_NAME, INDEX, Index, MANIFEST,
        Manifest, REF_NAME,
    },
    source::{Source, invalid},
};

/// An image in a source.
#[derive(Debug)]
pub struct Found {
    /// What it is called there.
    pub names: Vec<Name>,
    /// The digest of its configuration.
    pub id: Digest,
    /// Its configuration, byte by byte.
    pub config: Vec<u8>,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A layer in a source.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The name of its file.
    pub file: String,
    /// The digest of the file, where it is known.
    pub digest: Option<Digest>,
    /// The digest of the tar.
    pub diff_id: Digest,
}

/// The most layers of an image; no union has more.
const MOST_LAYERS: usize = hcs_layers::union::MOST;
/// The most images of a source.
const MOST_IMAGES: usize = 1000;

/// Finds them. `stem` names the repository where the source only has a tag.
pub fn find(source: &Source, stem: Option<&str>) -> Result<Vec<Found>, Error> {
    let docker: Option<Vec<DockerImage>> = document(source, "manifest.json")?;
    let Some(index) = document::<Index>(source, "index.json")? else {
        let images = docker.ok_or_else(|| {
            invalid("there is no image: neither index.json of an OCI layout nor manifest.json of docker save")
        })?;
        return limited(images)?.iter().map(|image| of_docker(source, image)).collect();
    };
    let manifests = limited(index.manifests)?;
    // Several entries may be one image for several platforms.
    let ours: Vec<Descriptor> = choose(&manifests);
    let mut found = Vec::new();
    for descriptor in ours {
        let mut image = of_layout(source, &descriptor, 0)?;
        let annotations = &descriptor.annotations;
        image.names = match (annotations.get(FULL_NAME), annotations.get(REF_NAME), &docker) {
            (Some(name), _, _) => vec![Name::new(name)?],
            (None, Some(name), _) if name.contains(['/', ':']) => vec![Name::new(name)?],
            (None, tag, Some(images)) if manifests.len() == 1 && images.len() == 1 => {
                let named = names_of(&images[0])?;
                if named.is_empty() { with_stem(stem, tag) } else { named }
            }
            (None, tag, _) => with_stem(stem, tag),
        };
        found.push(image);
    }
    Ok(found)
}

/// What is called after nothing has no name.
fn with_stem(stem: Option<&str>, tag: Option<&String>) -> Vec<Name> {
    let text = match (stem, tag) {
        (Some(stem), Some(tag)) => format!("{stem}:{tag}"),
        (Some(stem), None) => stem.to_owned(),
        (None, _) => return Vec::new(),
    };
    Name::new(&text).into_iter().collect()
}

fn limited<T>(images: Vec<T>) -> Result<Vec<T>, Error> {
    match images.len() {
        0 => Err(invalid("there is no image")),
        1..=MOST_IMAGES => Ok(images),
        more => Err(invalid(format!("found {more} images, expected at most {MOST_IMAGES}"))),
    }
}

fn document<T: DeserializeOwned>(source: &Source, name: &str) -> Result<Option<T>, Error> {
    let Some(bytes) = source.document(name)? else { return Ok(None) };
    parse(name, &bytes).map(Some)
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("{name:?} of the image is damaged: {error}")))
}

/// A document that is named by its digest.
fn blob(source: &Source, descriptor: &Descriptor, what: &str) -> Result<(Digest, Vec<u8>), Error> {
    let digest = Digest::new(&descriptor.digest)?;
    let name = digest.in_layout();
    let bytes = source
        .document(&name)?
        .ok_or_else(|| invalid(format!("the image has no {name:?}, which is its {what}")))?;
    digest.check(what, Digest::of(&bytes).as_str())?;
    Ok((digest, bytes))
}

/// Whether an image runs on this machine, as far as is said of it.
pub fn runs_here(descriptor: &Descriptor) -> bool {
    let platform = descriptor.platform.as_ref();
    platform.is_none_or(|platform| platform.os == "linux" && platform.architecture == architecture())
}

/// Those that run here: entries for other platforms count only if there is none for ours.
fn choose(manifests: &[Descriptor]) -> Vec<Descriptor> {
    // What says something of an image (where it was built, say) is listed beside it, and is no image.
    let is_image = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
            && [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST, ""].contains(&descriptor.media_type.as_str())
    };
    let images: Vec<&Descriptor> = manifests.iter().filter(is_image).collect();
    let ours: Vec<Descriptor> = images.iter().copied().filter(|image| runs_here(image)).cloned().collect();
    if ours.is_empty() { images.into_iter().cloned().collect() } else { ours }
}

/// This machine's, as images call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn of_layout(source: &Source, descriptor: &Descriptor, depth: u32) -> Result<Found, Error> {
    const DEEPEST: u32 = 3;
    let (_, bytes) = blob(source, descriptor, "manifest")?;
    let shape: serde_json::Value = parse("manifest", &bytes)?;
    if shape.get("manifests").is_some() {
        if depth == DEEPEST {
            return Err(invalid("the image is a list in a list and so on"));
        }
        let index: Index = parse("index", &bytes)?;
        let chosen = choose(&index.manifests);
        let [chosen] = &chosen[..] else {
            return Err(invalid(format!(
                "found {} images for linux/{}, expected one",
                chosen.len(),
                architecture()
            )));
        };
        return of_layout(source, chosen, depth + 1);
    }
    let manifest: Manifest = parse("manifest", &bytes)?;
    let (id, config) = blob(source, &manifest.config, "configuration")?;
    let files = manifest.layers.iter().map(|layer| {
        if layer.media_type.ends_with("+encrypted") {
            return Err(invalid("a layer of the image is encrypted"));
        }
        let digest = Digest::new(&layer.digest)?;
        Ok((digest.in_layout(), Some(digest)))
    });
    image(id, config, files.collect::<Result<_, Error>>()?)
}

fn of_docker(source: &Source, docker: &DockerImage) -> Result<Found, Error> {
    let config = source.document(&docker.config)?.ok_or_else(|| {
        invalid(format!("the image has no {:?}, which is its configuration", docker.config))
    })?;
    let id = Digest::of(&config);
    // Such a file is mostly named after its digest; then it has to be that.
    let stem = docker.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    if let Ok(named) = Digest::new(&format!("sha256:{stem}")) {
        named.check("configuration", id.as_str())?;
    }
    let mut found = image(id, config, docker.layers.iter().map(|file| (file.clone(), None)).collect())?;
    found.names = names_of(docker)?;
    Ok(found)
}

fn names_of(docker: &DockerImage) -> Result<Vec<Name>, Error> {
    docker.repo_tags.iter().flatten().map(|name| Name::new(name)).collect()
}

/// Files and digests of layers, put together.
fn image(id: Digest, config: Vec<u8>, files: Vec<(String, Option<Digest>)>) -> Result<Found, Error> {
    let read: Config = parse("configuration", &config)?;
    let diff_ids = &read.rootfs.diff_ids;
    if files.len() != diff_ids.len() {
        return Err(invalid(format!(
            "the image has {} layers, and its configuration names {}",
            files.len(),
            diff_ids.len()
        )));
    }
    if files.is_empty() || files.len() > MOST_LAYERS {
        return Err(invalid(format!("the image has {} layers, expected 1 to {MOST_LAYERS}", files.len())));
    }
    if !(read.os.is_empty() || read.os == "linux") {
        return Err(invalid(format!("the image is for {}, expected linux", read.os)));
    }
    if !(read.architecture.is_empty() || read.architecture == architecture()) {
        return Err(invalid(format!(
            "the image is for {}, and this machine is {}",
            read.architecture,
            architecture()
        )));
    }
    let layers = files
        .into_iter()
        .zip(diff_ids)
        .map(|((file, digest), diff_id)| Ok(Layer { file, digest, diff_id: Digest::new(diff_id)? }));
    Ok(Found { names: Vec::new(), id, config, layers: layers.collect::<Result<_, Error>>()? })
}
