//! What is there, and when, after something has died; and what is left.

use super::{Limit::AtMost, Promise, measured, tested};
use crate::units::{SECOND, Unit::Microseconds};

/// The promises.
pub const PROMISES: &[Promise] = &[
    measured(
        "restart-20",
        "20 systems adopted after kill -9 of hcsd, from its start",
        "recovery",
        AtMost(SECOND, Microseconds),
    ),
    tested(
        "restart-handles",
        "Handles, exit codes and processes that are lost by it",
        "0 of 20",
        "restarts::twenty_running_systems_are_adopted_within_a_second_and_handles_go_on",
    ),
    tested(
        "restart-half-made",
        "A restart with something half made, which is removed",
        "1 s",
        "half_made::nothing_half_made_survives_the_death_of_the_service",
    ),
    tested(
        "client-returns",
        "How long the systems of a client that does not come back are kept after a restart",
        "10 s",
        "clients::the_systems_of_a_client_that_died_while_the_service_was_down_end_after_ten_seconds",
    ),
    tested(
        "service-gone",
        "How long a client waits for a service that stays away, before it is told",
        "10 s",
        "restarts::a_service_that_stays_away_is_told_to_the_client_after_ten_seconds",
    ),
    tested(
        "worker-dies",
        "Until the end of a system is told whose worker was killed",
        "2 s",
        "workers::the_death_of_a_worker_ends_its_system_as_unexpected",
    ),
    tested(
        "lives-leave",
        "Mounts, cgroups, namespaces, processes, descriptors and files left after 1,000 lives cut off at random",
        "0",
        "random_deaths::a_thousand_lives_cut_off_at_random_leave_exactly_nothing",
    ),
    tested(
        "machines-leave",
        "What is left when service, worker or QEMU is killed in a step of a machine's life",
        "0",
        "machine_deaths::nothing_is_left_whoever_dies_in_whichever_step",
    ),
    tested(
        "save-whole",
        "Files of saved machines that are neither the old nor the new one, whoever dies",
        "0",
        "machine_deaths::a_saved_machine_is_the_old_or_the_new_one_whoever_dies",
    ),
    tested(
        "layers-whole",
        "Layers that are neither whole nor absent, after 100 deaths each of an import and an export",
        "0",
        "layers::an_import_or_an_export_that_is_killed_anywhere_leaves_nothing_or_the_whole",
    ),
    tested(
        "images-whole",
        "Images that are neither whole nor absent, after 40 deaths of an import",
        "0",
        "images::an_import_that_is_killed_anywhere_leaves_whole_layers_or_nothing",
    ),
    tested(
        "interrupts",
        "Interrupts lost of 100,000, one request at a time",
        "0",
        "hosted_devices::a_gigabyte_through_a_disk_of_a_program_is_the_same_and_no_interrupt_is_lost",
    ),
];
