//! Makes a disk ready to be written: one partition with ext4, made by the distribution's mke2fs.

use std::{
    fs::File,
    process::{Command, Stdio},
    time::Duration,
};

use hcs_core::{Error, host_program};

use crate::{
    gpt,
    mount::{self, Disks},
    view::View,
};

/// How long that may take, on a disk that has much to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// Formats the disk of an image, which must not be mounted. What was in it is gone.
pub fn format(disks: &Disks, image: &File) -> Result<(), Error> {
    let place = disks.place(image)?;
    place.expect_unmounted()?;
    place.clear()?;
    let formatted = mount::expect_unused(image).and_then(|()| {
        let view = View::open(image, &place)?;
        view.expect_writable()?;
        let partition = gpt::write(&view.file, view.length)?;
        let mut mke2fs = Command::new(host_program::find("mke2fs", "e2fsprogs")?);
        mke2fs
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // No room is kept for root, who is all that writes there.
            .args(["-q", "-F", "-t", "ext4", "-m", "0", "-L", "hcs", "-E"])
            .arg(format!("offset={},lazy_itable_init=1", partition.start))
            .arg(&view.path)
            .arg(format!("{}k", partition.length >> 10));
        host_program::run(&mut mke2fs, PATIENCE)?;
        view.file.sync_all().map_err(|error| Error::from_io(&error, "writing the disk"))
    });
    let cleared = place.clear().and_then(|()| place.remove());
    formatted.and(cleared)
}
