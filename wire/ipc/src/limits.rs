//! What a peer may ask of us. Every limit is enforced where bytes arrive, before anything is parsed.

/// The largest document, in bytes.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// The largest message: a document and the envelope around it.
pub const MAX_MESSAGE: usize = MAX_DOCUMENT + (64 << 10);

/// The most file descriptors that one message may carry.
pub const MAX_FDS_PER_MESSAGE: usize = 16;

/// The most messages that a peer may send ahead of our answers.
pub const MAX_PIPELINED: usize = 64;

/// The most events that may wait for a listener; one that is slower is disconnected.
pub const MAX_QUEUED_EVENTS: usize = 4_096;
