//! The results that mean something on the wire. In JSON they are signed.

/// A result: zero is success.
pub type Code = i32;

/// It was done.
pub const SUCCESS: Code = 0;
/// The message is not known, or not allowed before the negotiation.
pub const NOT_IMPLEMENTED: Code = 0x8000_4001_u32 as i32;
/// Any failure without a better code.
pub const FAILED: Code = 0x8000_4005_u32 as i32;
/// An argument makes no sense.
pub const INVALID_ARGUMENT: Code = 0x8007_0057_u32 as i32;
/// There is no such process, or none any more.
pub const NO_PROCESS: Code = 0x8007_0490_u32 as i32;
/// A wait that had an end has come to it.
pub const TIMED_OUT: Code = 0xc037_0109_u32 as i32;
/// There is no version that both sides speak.
pub const NO_COMMON_VERSION: Code = 0xc037_010c_u32 as i32;
/// The text is no JSON, or of a schema that is too old.
pub const INVALID_JSON: Code = 0xc037_010d_u32 as i32;
/// There is no container of this id.
pub const NO_CONTAINER: Code = 0xc037_010e_u32 as i32;
/// There is a container of this id already.
pub const CONTAINER_EXISTS: Code = 0xc037_010f_u32 as i32;
/// The container has stopped already.
pub const CONTAINER_STOPPED: Code = 0xc037_0110_u32 as i32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_specification() {
        assert_eq!(
            [NOT_IMPLEMENTED, FAILED, INVALID_ARGUMENT, NO_PROCESS, TIMED_OUT],
            [-2_147_467_263, -2_147_467_259, -2_147_024_809, -2_147_023_728, -1_070_137_079]
        );
        assert_eq!(
            [NO_COMMON_VERSION, INVALID_JSON, NO_CONTAINER, CONTAINER_EXISTS, CONTAINER_STOPPED],
            [-1_070_137_076, -1_070_137_075, -1_070_137_074, -1_070_137_073, -1_070_137_072]
        );
    }
}
