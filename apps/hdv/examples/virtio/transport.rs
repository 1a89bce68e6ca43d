//! The PCI device that a device of virtio is: registers behind its first base address, the table of MSI-X behind its second, and
//! capabilities that say where what lies.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use hdv::{Bar, Cause, Details, Device, Doorbell, Error, PciDevice, PnpId, Signal, Size};

use super::{
    Model,
    queue::Queue,
    vectors::{self, Vectors},
};

/// Where the registers lie behind the first base address, and how much room each kind has.
const COMMON: u64 = 0x0000;
const ISR: u64 = 0x1000;
const OWN: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
const ROOM: u64 = 0x1000;

/// The capability of MSI-X, behind those of virtio.
const MSIX: u32 = 0x94;
const VERSION_1: u64 = 1 << 32;
const DRIVER_OK: u8 = 4;
const NEEDS_RESET: u8 = 64;
const NO_VECTOR: u16 = u16::MAX;

/// A device of virtio with one queue.
pub struct Virtio<M: Model> {
    shared: Arc<Shared<M>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<M> {
    model: M,
    device: Device,
    state: Mutex<State>,
    rung: Condvar,
}

struct State {
    command: u32,
    bars: [u32; 2],
    status: u8,
    features_page: u32,
    driver_page: u32,
    driver_features: u64,
    config_vector: u16,
    queue_number: u16,
    queue: Queue,
    vectors: Vectors,
    isr: u8,
    /// How often the driver has reset the device.
    resets: u64,
    /// The driver has rung, and nobody has looked.
    is_rung: bool,
    /// The processors run.
    is_running: bool,
    /// Buffers are being served.
    is_serving: bool,
    is_over: bool,
}

impl State {
    fn new(is_running: bool) -> State {
        State {
            command: 0,
            bars: [0; 2],
            status: 0,
            features_page: 0,
            driver_page: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            queue_number: 0,
            queue: Queue::new(),
            vectors: Vectors::new(),
            isr: 0,
            resets: 0,
            is_rung: false,
            is_running,
            is_serving: false,
            is_over: false,
        }
    }
}

impl State {
    fn may_serve(&self) -> bool {
        self.is_running && !self.is_over
    }
}

impl<M: Model> Virtio<M> {
    /// A device that does what this model does.
    pub fn new(device: Device, model: M) -> Virtio<M> {
        let state = Mutex::new(State::new(false));
        let shared = Arc::new(Shared { model, device, state, rung: Condvar::new() });
        Virtio { shared, thread: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn doorbell() -> Doorbell {
    // Only the first base address; there is always one.
    let bar = Bar::new(0).unwrap_or_else(|| unreachable!());
    Doorbell { bar, offset: NOTIFY, size: Some(Size::Word), value: None }
}

impl<M: Model> Shared<M> {
    fn ring(&self) {
        lock(&self.state).is_rung = true;
        self.rung.notify_all();
    }

    /// Serves the queue whenever the driver has rung.
    fn serve(&self) {
        loop {
            let (mut queue, resets) = {
                let mut state = lock(&self.state);
                while !(state.is_over || state.is_running && state.is_rung) {
                    state = self.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.is_over {
                    return;
                }
                state.is_rung = false;
                let is_usable = state.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK;
                if !is_usable || !state.queue.is_enabled {
                    continue;
                }
                state.is_serving = true;
                (state.queue.clone(), state.resets)
            };
            let served = self.serve_all(&mut queue);
            let mut state = lock(&self.state);
            state.is_serving = false;
            self.rung.notify_all();
            // The driver may have reset the device meanwhile; then the queue is another.
            if state.resets != resets {
                continue;
            }
            state.queue = queue;
            let vector = match served {
                Ok(false) => continue,
                Ok(true) => {
                    state.isr |= 1;
                    state.queue.vector
                }
                Err(error) => {
                    eprintln!("virtio: {error}");
                    state.status |= NEEDS_RESET;
                    state.isr |= 2;
                    state.config_vector
                }
            };
            state.vectors.interrupt(&self.device, vector);
        }
    }

    /// Serves what waits. Whether the driver is to be interrupted.
    fn serve_all(&self, queue: &mut Queue) -> Result<bool, Error> {
        let mut is_served = false;
        // A driver that gives ever more does not keep the device from standing still.
        while lock(&self.state).may_serve() {
            let Some(chain) = queue.take(&self.device)? else { break };
            let written = self.model.serve(&chain)?;
            queue.give_back(&chain, written)?;
            is_served = true;
        }
        Ok(is_served && queue.wants_interrupt(&self.device)?)
    }

    fn read_common(&self, state: &State, offset: u64) -> u64 {
        let features = self.model.features() | VERSION_1;
        let queue = (state.queue_number == 0).then_some(&state.queue);
        let of_queue = |value: fn(&Queue) -> u64| queue.map_or(0, value);
        match offset {
            0x00 => state.features_page.into(),
            0x04 => page(features, state.features_page).into(),
            0x08 => state.driver_page.into(),
            0x0c => page(state.driver_features, state.driver_page).into(),
            0x10 => state.config_vector.into(),
            0x12 => 1,
            0x14 => state.status.into(),
            0x16 => state.queue_number.into(),
            0x18 => of_queue(|queue| queue.size.into()),
            0x1a => of_queue(|queue| queue.vector.into()),
            0x1c => of_queue(|queue| queue.is_enabled.into()),
            0x20 => of_queue(|queue| queue.descriptors & 0xffff_ffff),
            0x24 => of_queue(|queue| queue.descriptors >> 32),
            0x28 => of_queue(|queue| queue.available & 0xffff_ffff),
            0x2c => of_queue(|queue| queue.available >> 32),
            0x30 => of_queue(|queue| queue.used & 0xffff_ffff),
            0x34 => of_queue(|queue| queue.used >> 32),
            _ => 0,
        }
    }

    fn write_common(&self, state: &mut State, offset: u64, value: u64) {
        let vector = |value: u64| if value < vectors::COUNT as u64 { value as u16 } else { NO_VECTOR };
        let low = |place: &mut u64| *place = *place & !0xffff_ffff | value & 0xffff_ffff;
        let high = |place: &mut u64| *place = *place & 0xffff_ffff | value << 32;
        match offset {
            0x00 => state.features_page = value as u32,
            0x08 => state.driver_page = value as u32,
            0x0c if state.driver_page < 2 => {
                let shift = 32 * state.driver_page;
                state.driver_features =
                    state.driver_features & !(0xffff_ffff << shift) | (value & 0xffff_ffff) << shift;
            }
            0x10 => state.config_vector = vector(value),
            0x14 if value == 0 => {
                let (command, bars, resets) = (state.command, state.bars, state.resets + 1);
                let is_serving = state.is_serving;
                let vectors = std::mem::take(&mut state.vectors);
                *state = State { command, bars, resets, vectors, is_serving, ..State::new(state.is_running) };
            }
            0x14 => {
                state.status = value as u8;
                // What was given before is served now.
                state.is_rung = true;
                self.rung.notify_all();
            }
            0x16 => state.queue_number = value as u16,
            _ if state.queue_number != 0 => {}
            0x18 if value.is_power_of_two() && value <= super::queue::MOST.into() => {
                state.queue.size = value as u16
            }
            0x1a => state.queue.vector = vector(value),
            0x1c => state.queue.is_enabled = value == 1,
            0x20 => low(&mut state.queue.descriptors),
            0x24 => high(&mut state.queue.descriptors),
            0x28 => low(&mut state.queue.available),
            0x2c => high(&mut state.queue.available),
            0x30 => low(&mut state.queue.used),
            0x34 => high(&mut state.queue.used),
            _ => {}
        }
    }
}

fn page(features: u64, page: u32) -> u32 {
    match page {
        0 | 1 => (features >> (32 * page)) as u32,
        _ => 0,
    }
}

/// The capabilities that say where what lies: kind, where, how long.
fn capability(dword: u32) -> u32 {
    const PLACES: [(u32, u64, u64); 4] =
        [(1, COMMON, ROOM), (3, ISR, ROOM), (4, OWN, ROOM), (2, NOTIFY, ROOM)];
    // Each is sixteen bytes long, and the last has a word more.
    let (index, word) = (((dword - 0x40) / 16) as usize, (dword - 0x40) % 16 / 4);
    let Some((kind, at, length)) = PLACES.get(index) else {
        // How far the doorbells of queues are from each other.
        return if dword == 0x80 { 4 } else { 0 };
    };
    let next = if index == 3 { MSIX } else { 0x40 + 16 * (index as u32 + 1) };
    let size = if index == 3 { 20 } else { 16 };
    match word {
        0 => 0x09 | next << 8 | size << 16 | kind << 24,
        1 => 0,
        2 => *at as u32,
        _ => *length as u32,
    }
}

impl<M: Model> PciDevice for Virtio<M> {
    fn initialize(&self) -> Result<(), Error> {
        *lock(&self.shared.state) = State::new(false);
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("virtio".to_owned()).spawn(move || shared.serve());
        *lock(&self.thread) = Some(thread.map_err(|error| Error::from_io(&error, "starting a thread"))?);
        Ok(())
    }

    fn teardown(&self) {
        lock(&self.shared.state).is_over = true;
        self.shared.rung.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn details(&self) -> Result<Details, Error> {
        let ids = PnpId {
            vendor: 0x1af4,
            device: 0x1040 + M::NUMBER,
            revision: 1,
            base_class: M::CLASS[0],
            sub_class: M::CLASS[1],
            sub_vendor: 0x1af4,
            sub_system: 0x1100,
            ..PnpId::default()
        };
        Ok(Details { ids, probed_bars: [0xffff_c000, 0xffff_f000, 0, 0, 0, 0] })
    }

    fn start(&self) -> Result<(), Error> {
        let shared = self.shared.clone();
        let signal: Signal = Arc::new(move || shared.ring());
        match self.shared.device.add_doorbell(doorbell(), signal) {
            // It goes on: the doorbell is still there. And without it the write is heard all the same.
            Ok(()) | Err(Error { cause: Cause::AlreadyExists | Cause::AccessDenied, .. }) => {}
            Err(error) => return Err(error),
        }
        let mut state = lock(&self.shared.state);
        state.is_running = true;
        state.is_rung = true;
        self.shared.rung.notify_all();
        Ok(())
    }

    fn stop(&self) {
        let mut state = lock(&self.shared.state);
        state.is_running = false;
        // The guest's memory is not written any more when this returns.
        while state.is_serving {
            state = self.shared.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read_config(&self, offset: u32) -> Result<u32, Error> {
        let state = lock(&self.shared.state);
        Ok(match offset {
            0x00 => u32::from(0x1040 + M::NUMBER) << 16 | 0x1af4,
            0x04 => 0x0010_0000 | state.command,
            0x08 => u32::from(M::CLASS[0]) << 24 | u32::from(M::CLASS[1]) << 16 | 1,
            0x10 => state.bars[0],
            0x14 => state.bars[1],
            0x2c => 0x1100_1af4,
            0x34 => 0x40,
            0x40..MSIX => capability(offset),
            MSIX => 0x11 | u32::from(state.vectors.control()) << 16,
            // The table lies behind the second base address, and so do the bits.
            0x98 => 1,
            0x9c => vectors::PENDING as u32 | 1,
            _ => 0,
        })
    }

    fn write_config(&self, offset: u32, value: u32) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        match offset {
            0x04 => state.command = value & 0x0406,
            0x10 => state.bars[0] = value & 0xffff_c000,
            0x14 => state.bars[1] = value & 0xffff_f000,
            MSIX => state.vectors.set_control(&self.shared.device, (value >> 16) as u16),
            _ => {}
        }
        Ok(())
    }

    fn read_memory(&self, bar: Bar, offset: u64, data: &mut [u8]) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        let value = match (bar.number(), offset) {
            (0, COMMON..ISR) => self.shared.read_common(&state, offset),
            (0, ISR) => std::mem::take(&mut state.isr).into(),
            (0, OWN..NOTIFY) => {
                let own = self.shared.model.configuration();
                let byte = |at: usize| own.get((offset - OWN) as usize + at).copied().unwrap_or(0);
                u64::from_le_bytes(std::array::from_fn(byte))
            }
            (1, _) => {
                let low = u64::from(state.vectors.read(offset & !3)) >> (8 * (offset & 3));
                low | u64::from(state.vectors.read((offset & !3) + 4)) << 32
            }
            _ => 0,
        };
        data.copy_from_slice(&value.to_le_bytes()[..data.len()]);
        Ok(())
    }

    fn write_memory(&self, bar: Bar, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut bytes = [0; 8];
        bytes[..data.len()].copy_from_slice(data);
        let value = u64::from_le_bytes(bytes);
        let mut state = lock(&self.shared.state);
        match (bar.number(), offset) {
            (0, COMMON..ISR) => {
                // Addresses may come as one number.
                self.shared.write_common(&mut state, offset, value & 0xffff_ffff);
                if data.len() == 8 {
                    self.shared.write_common(&mut state, offset + 4, value >> 32);
                }
            }
            (0, NOTIFY) => {
                drop(state);
                self.shared.ring();
            }
            (1, _) => {
                state.vectors.write(&self.shared.device, offset, value as u32);
                if data.len() == 8 {
                    state.vectors.write(&self.shared.device, offset + 4, (value >> 32) as u32);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
