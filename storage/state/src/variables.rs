//! The variables of UEFI, in the two forms that they are kept in: packed one behind the other in a guest state file, and in the
//! store of the firmware, which is a volume of flash memory.

use hcs_core::{Cause, Error};

use crate::fields::{half, some, word};

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// What may be done with it.
    pub attributes: u32,
    /// When it was signed, as UEFI writes times.
    pub time: [u8; 16],
    /// Whose it is.
    pub vendor: [u8; 16],
    /// Its name in UTF-16, with the zero behind it.
    pub name: Vec<u8>,
    /// What it says.
    pub data: Vec<u8>,
}

/// The head of a packed variable.
const PACKED: usize = 48;
/// The most that is packed.
const MOST: usize = 128 << 10;

/// The head of a volume that says where its content begins, and where it says that.
const VOLUME_SIGNATURE: (usize, &[u8; 4]) = (40, b"_FVH");
const VOLUME_HEAD_LENGTH: usize = 48;
/// The head of a store: whose form it is, how long it is, and that it is whole.
const STORE_HEAD: usize = 28;
const STORE_GUID: [u8; 16] =
    [0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92];
/// The head of a variable in a store.
const STORED: usize = 60;
const BEGIN: u16 = 0x55aa;
/// A variable that is in force, and one that is until its successor is.
const IN_FORCE: [u8; 2] = [0x3f, 0x3e];

fn wrong(detail: &str) -> Error {
    Error::new(Cause::InvalidData, detail)
}

/// Packs variables.
pub fn pack(variables: &[Variable]) -> Result<Vec<u8>, Error> {
    let too_much = || {
        Error::new(Cause::DiskFull, "the variables of the firmware are more than a guest state file takes")
    };
    let length_of = |part: &[u8]| u16::try_from(part.len()).map_err(|_| too_much());
    let mut packed = Vec::new();
    for variable in variables {
        let length = PACKED + variable.name.len() + variable.data.len();
        packed.extend(0u32.to_le_bytes());
        packed.extend((length as u32).to_le_bytes());
        packed.extend(variable.attributes.to_le_bytes());
        packed.extend(variable.time);
        packed.extend(variable.vendor);
        packed.extend(length_of(&variable.name)?.to_le_bytes());
        packed.extend(length_of(&variable.data)?.to_le_bytes());
        packed.extend(&variable.name);
        packed.extend(&variable.data);
    }
    match packed.len() <= MOST {
        true => Ok(packed),
        false => Err(too_much()),
    }
}

/// Reads packed variables.
pub fn unpack(mut packed: &[u8]) -> Result<Vec<Variable>, Error> {
    let mut variables = Vec::new();
    while !packed.is_empty() {
        if packed.len() < PACKED || word(packed, 0) != 0 {
            return Err(wrong("the variables of the firmware are damaged"));
        }
        let (name, data) = (usize::from(half(packed, 44)), usize::from(half(packed, 46)));
        let length = word(packed, 4) as usize;
        if length != PACKED + name + data || length > packed.len() {
            return Err(wrong("a variable of the firmware is damaged"));
        }
        let (this, rest) = packed.split_at(length);
        variables.push(Variable {
            attributes: word(this, 8),
            time: some(this, 12),
            vendor: some(this, 28),
            name: this[PACKED..PACKED + name].to_vec(),
            data: this[PACKED + name..].to_vec(),
        });
        packed = rest;
    }
    Ok(variables)
}

/// Where the variables are in a volume.
fn store(volume: &[u8]) -> Result<std::ops::Range<usize>, Error> {
    let (at, signature) = VOLUME_SIGNATURE;
    if volume.get(at..at + 4) != Some(&signature[..]) || volume.len() < VOLUME_HEAD_LENGTH + 2 {
        return Err(wrong("the store of the firmware is no volume"));
    }
    let head = usize::from(half(volume, VOLUME_HEAD_LENGTH));
    let Some(store) = volume.get(head..).filter(|store| store.len() > STORE_HEAD) else {
        return Err(wrong("the volume of the firmware has no store"));
    };
    let size = word(store, 16) as usize;
    if store[..16] != STORE_GUID || size <= STORE_HEAD || size > store.len() {
        return Err(wrong("the store of the firmware has another form than is known"));
    }
    Ok(head + STORE_HEAD..head + size)
}

/// The variables that are in force in a volume.
pub fn of_volume(volume: &[u8]) -> Result<Vec<Variable>, Error> {
    let store = &volume[store(volume)?];
    let mut variables: Vec<(u8, Variable)> = Vec::new();
    let mut at = 0;
    while at + STORED <= store.len() && half(store, at) == BEGIN {
        let (name, data) = (word(store, at + 36) as usize, word(store, at + 40) as usize);
        let begin = at + STORED;
        let end = name.checked_add(data).and_then(|length| begin.checked_add(length));
        let Some(end) = end.filter(|end| *end <= store.len()) else {
            return Err(wrong("a variable in the store of the firmware is longer than the store"));
        };
        let state = store[at + 2];
        let variable = Variable {
            attributes: word(store, at + 4),
            time: some(store, at + 16),
            vendor: some(store, at + 44),
            name: store[begin..begin + name].to_vec(),
            data: store[begin + name..end].to_vec(),
        };
        if IN_FORCE.contains(&state) {
            let same =
                |other: &(u8, Variable)| (other.1.vendor, &other.1.name) == (variable.vendor, &variable.name);
            match variables.iter().position(same) {
                // One that is to go has a successor.
                Some(other) if variables[other].0 != IN_FORCE[0] => variables[other] = (state, variable),
                Some(_) => {}
                None => variables.push((state, variable)),
            }
        }
        at = end.next_multiple_of(4);
    }
    Ok(variables.into_iter().map(|(_, variable)| variable).collect())
}

/// Makes these the variables of a volume.
pub fn into_volume(volume: &mut [u8], variables: &[Variable]) -> Result<(), Error> {
    let store = store(volume)?;
    let store = &mut volume[store];
    // As flash memory is where nothing was written.
    store.fill(0xff);
    let mut at = 0;
    for variable in variables {
        let end = at + STORED + variable.name.len() + variable.data.len();
        let Some(place) = store.get_mut(at..end) else {
            return Err(Error::new(
                Cause::DiskFull,
                "the variables are more than the store of the firmware takes",
            ));
        };
        place[..STORED].fill(0);
        place[..2].copy_from_slice(&BEGIN.to_le_bytes());
        place[2] = IN_FORCE[0];
        place[4..8].copy_from_slice(&variable.attributes.to_le_bytes());
        place[16..32].copy_from_slice(&variable.time);
        place[36..40].copy_from_slice(&(variable.name.len() as u32).to_le_bytes());
        place[40..44].copy_from_slice(&(variable.data.len() as u32).to_le_bytes());
        place[44..60].copy_from_slice(&variable.vendor);
        place[STORED..STORED + variable.name.len()].copy_from_slice(&variable.name);
        place[STORED + variable.name.len()..].copy_from_slice(&variable.data);
        at = end.next_multiple_of(4);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, data: &[u8]) -> Variable {
        let name = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        Variable { attributes: 7, time: [1; 16], vendor: [2; 16], name, data: data.to_vec() }
    }

    /// A volume with an empty store, as firmware comes with.
    fn volume() -> Vec<u8> {
        let mut volume = vec![0xff; 64 << 10];
        volume[..72].fill(0);
        volume[40..44].copy_from_slice(b"_FVH");
        volume[48..50].copy_from_slice(&72u16.to_le_bytes());
        volume[72..88].copy_from_slice(&STORE_GUID);
        volume[88..92].copy_from_slice(&(32u32 << 10).to_le_bytes());
        volume
    }

    #[test]
    fn a_variable_that_is_too_long_for_its_length_is_refused() {
        assert_eq!(pack(&[variable("Long", &[9; 1 << 16])]).unwrap_err().cause, Cause::DiskFull);
    }

    #[test]
    fn variables_come_through_both_forms_as_they_were() {
        let variables = vec![variable("Boot0000", b"odd"), variable("x", &[]), variable("Long", &[9; 3000])];
        assert_eq!(unpack(&pack(&variables).unwrap()).unwrap(), variables);
        let mut volume = volume();
        assert_eq!(of_volume(&volume).unwrap(), []);
        into_volume(&mut volume, &variables).unwrap();
        assert_eq!(of_volume(&volume).unwrap(), variables);
        into_volume(&mut volume, &variables[..1]).unwrap();
        assert_eq!(of_volume(&volume).unwrap(), variables[..1]);
        assert!(into_volume(&mut volume, &vec![variable("big", &[1; 30_000]); 2]).is_err());
    }

    #[test]
    fn what_is_deleted_or_replaced_is_not_there() {
        let mut volume = volume();
        let both = [variable("a", b"old"), variable("a", b"new"), variable("b", b"gone")];
        into_volume(&mut volume, &both).unwrap();
        let begin = store(&volume).unwrap().start;
        // The first is to go, the third is gone.
        let step =
            |variable: &Variable| (STORED + variable.name.len() + variable.data.len()).next_multiple_of(4);
        volume[begin + 2] = 0x3e;
        volume[begin + step(&both[0]) + step(&both[1]) + 2] = 0x3c;
        assert_eq!(of_volume(&volume).unwrap(), [both[1].clone()]);
    }

    #[test]
    fn what_is_damaged_is_told() {
        let packed = pack(&[variable("a", b"b")]).unwrap();
        for length in 1..packed.len() {
            assert!(unpack(&packed[..length]).is_err());
        }
        for place in 0..8 {
            let mut damaged = packed.clone();
            damaged[place] ^= 0xff;
            assert!(unpack(&damaged).is_err());
        }
        let mut volume = volume();
        into_volume(&mut volume, &[variable("a", b"b")]).unwrap();
        for place in 0..300 {
            let mut damaged = volume.clone();
            damaged[place] ^= 0xff;
            let _ = of_volume(&damaged);
        }
        assert!(of_volume(b"short").is_err());
    }
}
