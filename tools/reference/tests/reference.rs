//! The pages that are checked in, against the code and the `hcs` that was built from it.

use std::path::Path;

use hcs_tests::binaries;

#[test]
fn the_reference_is_what_the_code_and_the_command_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    assert_eq!(hcs_reference::check(&root, &binaries::find("hcs")), Ok(()));
}
