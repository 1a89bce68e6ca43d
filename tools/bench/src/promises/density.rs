//! Promises about many at once: systems, clones, processes, clients.

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
    tested(
        "many-systems-call",
        "500 systems of 64 clients: a call, beside one before them",
        "2 times",
        "load::five_hundred_systems_of_sixty_four_clients_are_made_used_and_ended_and_a_call_takes_as_long_as_before",
    ),
    tested(
        "many-systems-memory",
        "What hcsd needs for each of 500 systems of 64 clients",
        "64 KiB",
        "load::five_hundred_systems_of_sixty_four_clients_are_made_used_and_ended_and_a_call_takes_as_long_as_before",
    ),
    tested(
        "many-connections",
        "Connections at once: a call and a life beside them, beside themselves alone",
        "10,000; 2 times",
        "load::ten_thousand_connections_slow_nobody_and_those_above_the_limit_are_told_and_hold_nothing",
    ),
    tested(
        "stuck-client",
        "A call and a life while a client is stopped in the middle of a call, beside themselves alone",
        "2 times",
        "load::a_client_that_is_stopped_in_the_middle_of_a_call_slows_nobody",
    ),
    tested(
        "silent-client",
        "A call and a life while clients never read, beside themselves alone",
        "2 times",
        "load::clients_that_never_read_slow_nobody",
    ),
    tested(
        "garbage-client",
        "A call and a life while a client sends garbage, beside themselves alone",
        "2 times",
        "load::a_client_that_sends_garbage_slows_nobody",
    ),
    tested(
        "soak-memory",
        "Memory of hcsd and of a client in the last third of an hour of lives, beside the first",
        "1.05 times and 256 KiB",
        "load::after_an_hour_of_lives_nothing_has_grown",
    ),
    tested(
        "soak-descriptors",
        "Descriptors that hcsd has more in the last third of that hour",
        "4",
        "load::after_an_hour_of_lives_nothing_has_grown",
    ),
    tested(
        "soak-call",
        "A call in the last third of that hour, beside the first: the median, and at 99 of 100",
        "1.5 and 2 times",
        "load::after_an_hour_of_lives_nothing_has_grown",
    ),
];
