//! Promises about how large the files of the product are.

use super::{Limit::Times, Promise, measured, tested};

/// The promises.
pub const PROMISES: &[Promise] = &[
    measured(
        "save-size",
        "What the file of a saved machine allocates, beside the memory that was touched",
        "clone",
        Times(1.05),
    ),
    tested(
        "utility-image",
        "The image of a utility machine, kernel and archive",
        "20 MB",
        "cli::an_image_of_a_utility_machine_is_small_and_the_same_each_time",
    ),
];
