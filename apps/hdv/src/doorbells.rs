//! Doorbells: writes of the guest that wake somebody and are not told to the device otherwise.

use std::sync::Arc;

use hcs_core::{Cause, Error};

use crate::Bar;

/// What a doorbell does. It is called on the thread of the device and should return at once.
pub type Signal = Arc<dyn Fn() + Send + Sync>;

/// How long a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Size {
    Byte,
    Word,
    Double,
    Quad,
}

impl Size {
    fn bytes(self) -> usize {
        match self {
            Size::Byte => 1,
            Size::Word => 2,
            Size::Double => 4,
            Size::Quad => 8,
        }
    }
}

/// Which writes ring. The same doorbell is taken away by the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Behind this base address.
    pub bar: Bar,
    /// There.
    pub offset: u64,
    /// So long; or of any length.
    pub size: Option<Size>,
    /// This value; or any.
    pub value: Option<u64>,
}

/// The most doorbells of a device: more than any queue of a device has.
const MOST: usize = 4096;

/// The doorbells of a device.
#[derive(Default)]
pub struct Doorbells(Vec<(Doorbell, Signal)>);

impl Doorbells {
    /// One more.
    pub fn add(&mut self, doorbell: Doorbell, signal: Signal) -> Result<(), Error> {
        if self.0.iter().any(|(other, _)| *other == doorbell) {
            return Err(Error::new(Cause::AlreadyExists, "there is a doorbell like this already"));
        }
        if self.0.len() == MOST {
            return Err(Error::new(Cause::NotEnoughQuota, format!("a device has {MOST} doorbells at most")));
        }
        self.0.push((doorbell, signal));
        Ok(())
    }

    /// One less.
    pub fn remove(&mut self, doorbell: &Doorbell) -> Result<Signal, Error> {
        let found = self.0.iter().position(|(other, _)| other == doorbell);
        let found = found.ok_or_else(|| Error::new(Cause::NotFound, "there is no doorbell like this"))?;
        Ok(self.0.swap_remove(found).1)
    }

    /// What a write rings; nothing if it is for the device.
    pub fn rung(&self, bar: Bar, offset: u64, data: &[u8]) -> Option<Signal> {
        if self.0.is_empty() {
            return None;
        }
        let mut bytes = [0; 8];
        bytes.get_mut(..data.len())?.copy_from_slice(data);
        let value = u64::from_le_bytes(bytes);
        let rings = |doorbell: &Doorbell| {
            doorbell.bar == bar
                && doorbell.offset == offset
                && doorbell.size.is_none_or(|size| size.bytes() == data.len())
                && doorbell.value.is_none_or(|wanted| wanted == value)
        };
        self.0.iter().find(|(doorbell, _)| rings(doorbell)).map(|(_, signal)| signal.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_value_both_decide() {
        let bar = Bar::new(2).unwrap();
        let mut doorbells = Doorbells::default();
        let signal: Signal = Arc::new(|| ());
        let exact = Doorbell { bar, offset: 8, size: Some(Size::Word), value: Some(7) };
        doorbells.add(exact, signal.clone()).unwrap();
        doorbells.add(Doorbell { value: Some(8), ..exact }, signal.clone()).unwrap();
        assert_eq!(doorbells.add(exact, signal).unwrap_err().cause, Cause::AlreadyExists);
        let rings = |doorbells: &Doorbells, offset, data: &[u8]| doorbells.rung(bar, offset, data).is_some();
        assert!(rings(&doorbells, 8, &[7, 0]));
        assert!(rings(&doorbells, 8, &[8, 0]));
        assert!(!rings(&doorbells, 8, &[9, 0]));
        assert!(!rings(&doorbells, 8, &[7, 0, 0, 0]));
        assert!(!rings(&doorbells, 10, &[7, 0]));
        assert!(doorbells.rung(Bar::new(1).unwrap(), 8, &[7, 0]).is_none());
        doorbells.remove(&exact).unwrap();
        assert!(!rings(&doorbells, 8, &[7, 0]));
        assert_eq!(doorbells.remove(&exact).map(drop).unwrap_err().cause, Cause::NotFound);
        let any = Doorbell { size: None, value: None, ..exact };
        doorbells.add(any, Arc::new(|| ())).unwrap();
        assert!(rings(&doorbells, 8, &[0; 8]));
        assert!(!rings(&doorbells, 8, &[0; 16]));
    }
}
