//! What a client may ask for at most. Who asks for more is refused, and harms nobody else.

use super::{Promise, tested};

/// The promises.
pub const PROMISES: &[Promise] = &[
    tested(
        "limit-document",
        "A document",
        "4 MiB",
        "limits::a_document_beyond_four_mib_is_refused_on_both_sides",
    ),
    tested(
        "limit-pipelined",
        "Calls sent ahead on a connection",
        "64",
        "limits::calls_sent_ahead_are_answered_in_order_up_to_a_limit",
    ),
    tested(
        "limit-descriptors",
        "Descriptors beside a message",
        "16",
        "limits::descriptors_that_nobody_asked_for_are_closed_and_too_many_end_the_connection",
    ),
    tested(
        "limit-events",
        "Events that wait for a listener, before it is disconnected",
        "fewer than 12,000",
        "limits::a_listener_that_does_not_keep_up_is_disconnected_and_comes_back_to_its_handles",
    ),
    tested(
        "limit-id",
        "Characters of the id of a system",
        "256",
        "malformed::an_id_must_be_a_short_line_of_text",
    ),
    tested(
        "limit-layers",
        "Layers that are united",
        "128",
        "layers::as_many_layers_are_united_as_are_promised_and_no_more",
    ),
];
