//! What nothing names any more, and goes.

use std::{collections::BTreeSet, fs};

use hcs_core::{Cause, Error, io_failure};
use hcs_layers::destroy;

use super::Store;
use crate::Digest;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Images without a name.
    pub images: usize,
    /// Layers of no image.
    pub layers: usize,
    /// Layers of no image that somebody uses; they stay.
    pub in_use: usize,
}

impl Store {
    /// Removes images without a name, and layers of no image. What somebody uses stays.
    pub fn prune(&self) -> Result<Pruned, Error> {
        let _lock = self.lock()?;
        let mut pruned = Pruned::default();
        let named: BTreeSet<Digest> = self.names()?.into_values().collect();
        for id in self.ids()?.into_iter().filter(|id| !named.contains(id)) {
            let file = self.image_file(&id);
            fs::remove_file(&file).map_err(io_failure(&file, "removing"))?;
            pruned.images += 1;
        }
        let mut needed = BTreeSet::new();
        for id in self.ids()? {
            needed.extend(self.image(&id)?.layers);
        }
        for name in self.layer_names()? {
            let layer = self.folder.join("layers").join(&name);
            if needed.contains(&layer) {
                continue;
            }
            match destroy::destroy(&layer) {
                Ok(()) => pruned.layers += 1,
                Err(error) if error.cause == Cause::InUse => pruned.in_use += 1,
                Err(error) => return Err(error),
            }
        }
        self.sweep_locked(false)?;
        Ok(pruned)
    }
}
