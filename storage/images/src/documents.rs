//! The documents of images, as far as they are read here. What else is in them is kept where it matters: in the bytes of
//! the configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The manifest of an image.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The configuration of an image.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer that is not compressed.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The manifest as docker has it.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A list as docker has it.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Where the name of an image stands in a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same as containerd and docker write it: with the repository.
pub const FULL_NAME: &str = "io.containerd.image.name";

/// Says what other bytes are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of document.
    #[serde(default)]
    pub media_type: String,
    /// Which bytes.
    pub digest: String,
    /// How many.
    pub size: u64,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Platform {
    /// The machine.
    pub architecture: String,
    /// The system.
    pub os: String,
}

/// A list of manifests.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// What kind of document.
    #[serde(default)]
    pub media_type: String,
    /// What is listed.
    pub manifests: Vec<Descriptor>,
}

/// What an image is made of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What kind of document.
    #[serde(default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image in `manifest.json` of a docker archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    /// The file of the configuration.
    pub config: String,
    /// Its names.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The files of its layers.
    pub layers: Vec<String>,
}

/// The configuration of an image.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Config {
    /// When it was made.
    #[serde(default)]
    pub created: Option<String>,
    /// The machine.
    #[serde(default)]
    pub architecture: String,
    /// The system.
    #[serde(default)]
    pub os: String,
    /// How it is run.
    #[serde(default)]
    pub config: Option<Runs>,
    /// Its layers.
    pub rootfs: RootFs,
}

/// How an image is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Runs {
    /// Who it runs as.
    #[serde(default)]
    pub user: Option<String>,
    /// Its variables.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// What is always run.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// What comes behind.
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    /// Where it begins.
    #[serde(default)]
    pub working_dir: Option<String>,
}

/// The layers of an image, the lowest first, by the digests of their tars.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RootFs {
    /// The digests.
    pub diff_ids: Vec<String>,
}
