//! What is fetched: the manifest of this machine's image, its configuration, its layers.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hcs_images::{
    Digest, Name,
    documents::{
        DOCKER_LIST, DOCKER_MANIFEST, Descriptor, FULL_NAME, INDEX, Index, MANIFEST, Manifest, REF_NAME,
    },
    runs_here,
};
use oci_client::{Client, Reference, errors::OciDistributionError, secrets::RegistryAuth};
use tokio::io::AsyncWrite;

use crate::layout;

/// How long a registry may be silent.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Layers that are fetched at once.
const AT_ONCE: usize = 3;

/// An error of the registry with all that led to it.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn failed(what: &str) -> impl Fn(OciDistributionError) -> String {
    move |error| format!("fetching {what}: {}", explain(&error))
}

fn written(error: io::Error) -> String {
    format!("writing the layout: {error}")
}

/// Fetches an image.
pub async fn fetch(
    client: &Client,
    image: &Reference,
    auth: &RegistryAuth,
    folder: &File,
) -> Result<(), String> {
    let mut bytes = document(client, image, auth).await?;
    if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
        let chosen = index.manifests.iter().find(|entry| entry.platform.is_some() && runs_here(entry));
        let chosen = chosen.ok_or("the image is for other machines than this")?;
        let digest = Digest::new(&chosen.digest).map_err(|error| error.to_string())?;
        let image = Reference::with_digest(
            image.registry().to_owned(),
            image.repository().to_owned(),
            digest.to_string(),
        );
        bytes = document(client, &image, auth).await?;
        digest.check("manifest", Digest::of(&bytes).as_str()).map_err(|error| error.to_string())?;
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| format!("the manifest is damaged: {error}"))?;
    layout::begin(folder).map_err(written)?;
    // One after the other for the same digest: a layer of nothing may come several times.
    let mut seen = BTreeSet::new();
    let wanted: Vec<&Descriptor> = std::iter::once(&manifest.config)
        .chain(&manifest.layers)
        .filter(|descriptor| seen.insert(descriptor.digest.clone()))
        .collect();
    for group in wanted.chunks(AT_ONCE) {
        let mut tasks = group.iter().map(|descriptor| blob(client, image, descriptor, folder));
        let (first, second, third) = (tasks.next(), tasks.next(), tasks.next());
        tokio::try_join!(maybe(first), maybe(second), maybe(third))?;
    }
    let digest = Digest::of(&bytes);
    layout::write_blob(folder, &digest, &bytes).map_err(written)?;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": if manifest.media_type.is_empty() { MANIFEST } else { &manifest.media_type },
            "digest": digest.as_str(),
            "size": bytes.len(),
            "annotations": names(image),
        }],
    });
    layout::write(folder, "index.json", index.to_string().as_bytes()).map_err(written)
}

async fn maybe(task: Option<impl Future<Output = Result<(), String>>>) -> Result<(), String> {
    match task {
        Some(task) => task.await,
        None => Ok(()),
    }
}

async fn document(client: &Client, image: &Reference, auth: &RegistryAuth) -> Result<Vec<u8>, String> {
    let accepted = [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST];
    let fetched = client.pull_manifest_raw(image, auth, &accepted).await;
    Ok(fetched.map_err(failed("the manifest"))?.0.to_vec())
}

async fn blob(
    client: &Client,
    image: &Reference,
    descriptor: &Descriptor,
    folder: &File,
) -> Result<(), String> {
    let digest = Digest::new(&descriptor.digest).map_err(|error| error.to_string())?;
    let file = layout::create(folder, &digest.in_layout()).map_err(written)?;
    let mut bounded = Bounded { file, done: 0, total: descriptor.size, digest: digest.as_str() };
    // The digest is checked there.
    client.pull_blob(image, digest.as_str(), &mut bounded).await.map_err(failed(digest.as_str()))?;
    if bounded.done != descriptor.size {
        return Err(format!("{digest} has {} bytes, expected {}", bounded.done, descriptor.size));
    }
    Ok(())
}

fn names(image: &Reference) -> serde_json::Value {
    match (Name::new(&image.to_string()), image.tag()) {
        (Ok(name), Some(tag)) => serde_json::json!({FULL_NAME: name.full(), REF_NAME: tag}),
        _ => serde_json::json!({}),
    }
}

/// A file that takes as many bytes as were announced, and tells how many it has.
struct Bounded<'a> {
    file: File,
    done: u64,
    total: u64,
    digest: &'a str,
}

impl AsyncWrite for Bounded<'_> {
    /// Files do not wait as sockets do.
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.done + bytes.len() as u64 > self.total {
            return Poll::Ready(Err(io::Error::other("more comes than was announced")));
        }
        let length = self.file.write(bytes);
        if let Ok(length) = length {
            self.done += length as u64;
            // Who does not read it any more is gone, and the folder with him.
            if let Err(error) = writeln!(io::stdout(), "{} {} {}", self.digest, self.done, self.total) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(length)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
