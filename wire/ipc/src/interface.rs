//! The interface text of hcsd. The text is the manual: it is served by introspection and read by people.

use std::fmt::Write;

use hcs_core::Cause;

/// The name of our interface.
pub const NAME: &str = "io.hcs.Compute";

/// The name of the interface that every Varlink service has.
pub const SERVICE: &str = "org.varlink.service";

const METHODS: &str = include_str!("../interfaces/io.hcs.Compute.varlink");

/// The text of `org.varlink.service`, as its specification has it.
pub const SERVICE_TEXT: &str = include_str!("../interfaces/org.varlink.service.varlink");

/// The whole text of our interface: the file, and one error for each line of the table of causes.
///
/// The errors are appended here rather than written down twice; the table is their only source.
pub fn text() -> String {
    let mut text = METHODS.replace("# @ERRORS@\n", "");
    for cause in Cause::ALL {
        let _ = write!(
            text,
            "\n# {} HRESULT {}.\nerror {} (hresult: int, message: string, document: object)\n",
            cause.text(),
            cause.hresult(),
            cause.name()
        );
    }
    text
}
