//! Many at once.

use super::{
    Limit::{AtMost, Times},
    Promise, measured, tested,
};
use crate::units::{MILLISECOND, Unit::Microseconds};

/// The promises.
pub const PROMISES: &[Promise] = &[
    measured("many-last", "500 containers at once: the last made, beside the first", "many", Times(1.5)),
    measured("many-list", "A list of 500 containers", "many", AtMost(10.0 * MILLISECOND, Microseconds)),
    tested(
        "many-lives",
        "Lives of containers at once, without an error",
        "64",
        "repetition::sixty_four_lifecycles_at_once_succeed",
    ),
    tested(
        "many-clones",
        "Clones of a template at once",
        "10",
        "machine_saved::ten_clones_of_a_template_go_their_own_ways",
    ),
    tested(
        "many-processes",
        "Processes at once in a machine, of which those that nobody reads hold up no other",
        "50",
        "guests::of_fifty_processes_at_once_those_that_nobody_listens_to_hold_up_no_other",
    ),
    tested("many-layers", "Layers under a container", "100", "storage::a_hundred_layers_are_united"),
];
