//! Layers of container file systems.
//!
//! A layer is a folder with the mark `layer.json` and its files in `fs/`, where deletions are kept as overlayfs keeps
//! them. A writable layer has `upper/`, `work/` and `rootfs/`, at which the union with its parents is attached. In
//! transport a layer is a tar as OCI images have it, or the same as a tree, with whiteouts for deletions.
//!
//! ```text
//!   archive (tar, gzip, zstd) ──┐                       ┌── unpack: files, beside the target
//!   tree (a folder) ────────────┴── entries ([`entry`]) ┴── pack: tar
//! ```
//!
//! [`import`] and [`export`] join one of the left with one of the right. Both are all or nothing: they build beside the
//! target, sync and rename. Nothing from outside decides where something is written: names are resolved below an open
//! folder, and links of the layer never lead out of it.
//!
//! Everything here is called by clients, in their own process and with their own rights; it takes root.

mod ahead;
pub mod archive;
pub mod archive_of_files;
pub mod base;
pub mod compress;
pub mod destroy;
pub mod digest;
mod dresser;
pub mod entry;
pub mod export;
mod failure;
pub mod import;
pub mod layer;
mod pack;
pub mod stage;
mod tar;
mod tree;
pub mod union;
mod unpack;
pub mod writable;
