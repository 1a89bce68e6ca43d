//! MSI-X: a table in which the guest writes by what each vector interrupts it.

use hdv::Device;

/// How many vectors there are.
pub const COUNT: usize = 2;
/// Where the bits of those lie that wait while they are masked.
pub const PENDING: u64 = 0x800;

const ENABLE: u16 = 1 << 15;
const MASK_ALL: u16 = 1 << 14;

/// The table.
#[derive(Default)]
pub struct Vectors {
    /// Address, its upper half, data, and whether it is masked.
    entries: [[u32; 4]; COUNT],
    pending: u32,
    control: u16,
}

impl Vectors {
    /// As it is after a reset: all masked.
    pub fn new() -> Vectors {
        Vectors { entries: [[0, 0, 0, 1]; COUNT], ..Vectors::default() }
    }

    /// The upper half of the first dword of the capability.
    pub fn control(&self) -> u16 {
        self.control | (COUNT as u16 - 1)
    }

    /// What the guest has written there.
    pub fn set_control(&mut self, device: &Device, control: u16) {
        self.control = control & (ENABLE | MASK_ALL);
        self.send_pending(device);
    }

    /// Reads a dword of the table, or of the bits.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            PENDING => self.pending,
            offset => {
                self.entries.get(offset as usize / 16).map_or(0, |entry| entry[offset as usize / 4 % 4])
            }
        }
    }

    /// Writes a dword of the table.
    pub fn write(&mut self, device: &Device, offset: u64, value: u32) {
        if let Some(entry) = self.entries.get_mut(offset as usize / 16) {
            entry[offset as usize / 4 % 4] = value;
        }
        self.send_pending(device);
    }

    /// Interrupts by this vector, at once or when it is not masked any more.
    pub fn interrupt(&mut self, device: &Device, vector: u16) {
        if usize::from(vector) < COUNT && self.control & ENABLE != 0 {
            self.pending |= 1 << vector;
            self.send_pending(device);
        }
    }

    fn send_pending(&mut self, device: &Device) {
        if self.control & ENABLE == 0 || self.control & MASK_ALL != 0 {
            return;
        }
        for (vector, [low, high, data, mask]) in self.entries.iter().enumerate() {
            if self.pending & 1 << vector == 0 || mask & 1 != 0 {
                continue;
            }
            // A guest that has written nonsense there is not interrupted.
            let _ = device.interrupt(u64::from(*high) << 32 | u64::from(*low), *data);
            self.pending &= !(1 << vector);
        }
    }
}
