//! Images of containers.
//!
//! ```text
//!   OCI layout, docker archive ──┐                                    ┌── container: documents for one ([`defaults`])
//!   (a folder or a tar, [`source`]) ── read ([`mod@read`]) ── [`store`] ──┤
//!   a registry's (program hcs-pull) ──┘                               └── OCI layout, docker archive ([`export`])
//! ```
//!
//! The store keeps each layer once, unpacked, under the digest of its tar, and each image as its configuration, which
//! names its layers. Who uses what follows from these files; there are no counts that could be wrong. Images are foreign
//! bytes: digests are checked before anything is put into the store, and names in them never lead anywhere.

mod defaults;
mod digest;
pub mod documents;
mod export;
mod name;
mod read;
mod source;
mod store;

pub use defaults::Defaults;
pub use digest::Digest;
pub use export::Form;
pub use hcs_layers::compress::Compression;
pub use name::Name;
pub use read::runs_here;
pub use store::{Image, Listed, Pruned, Scratch, Store, look_into};

/// How far an import has come with one layer.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The digest of the layer's tar.
    pub layer: &'a str,
    /// Bytes that were read of it.
    pub done: u64,
    /// All of them.
    pub total: u64,
}

/// Who is told how an import goes on; by several threads.
pub type Watcher<'a> = &'a (dyn Fn(Progress<'_>) + Sync);
