//! Words for whoever reads the log of a program that has no other way to say them. Written by the caller, not here.

/// Says a line on the standard error, as `eprintln!` does, and goes on when that takes nothing: a log on a full disk is no
/// reason for a worker to die with its system.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(format!("{}\n", format_args!($($words)*)).as_bytes());
    }};
}
