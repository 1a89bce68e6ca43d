//! A client that others have written.

use std::os::fd::AsRawFd;

use crate::{
    board::{COPIES, INSTANCE, Served},
    monitor::memory,
};

#[test]
fn a_client_of_others_uses_the_device_unchanged() {
    let served = Served::start();
    let mut client = vfio_user::Client::new(&served.path).unwrap();
    served.host.start(INSTANCE).unwrap();
    client.reset().unwrap();
    assert_eq!(client.region(0).unwrap().size, 0x1_0000);
    assert_eq!(client.region(2).unwrap().size, 0x2000);
    assert_eq!(client.region(7).unwrap().size, 4096);
    let mut ids = [0; 4];
    client.region_read(7, 0, &mut ids).unwrap();
    assert_eq!(ids, [0x34, 0x12, 0x50, 0x5e]);
    let mut capability = [0; 1];
    client.region_read(7, 0x34, &mut capability).unwrap();
    assert_eq!(capability, [0x40]);
    client.region_write(7, 0x10, &[0xff; 4]).unwrap();
    let mut bar = [0; 4];
    client.region_read(7, 0x10, &mut bar).unwrap();
    assert_eq!(bar, 0xffff_0004_u32.to_le_bytes());

    let file = memory(8192);
    rustix::io::pwrite(&file, b"for them", 4096).unwrap();
    client.dma_map(4096, 0x1000, 4096, file.as_raw_fd()).unwrap();
    let mut data = [0; 8];
    client.region_read(0, COPIES, &mut data).unwrap();
    assert_eq!(&data, b"for them");
    client.dma_unmap(0x1000, 4096).unwrap();
    client.region_read(0, COPIES, &mut data).unwrap();
    assert_eq!(data, [0xff; 8]);
    assert_eq!(client.get_irq_info(2).unwrap().count, 0);
    client.region_write(0, 0x20, &[1, 2]).unwrap();
    client.region_read(0, 0, &mut [0; 4]).unwrap();
    assert_eq!(served.board.take().last().unwrap(), "write 0 0x20 [1, 2]");
    client.shutdown().unwrap();
}
