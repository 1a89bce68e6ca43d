use super::*;

/// A file that goes with the test.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let path = std::env::temp_dir().join(format!("hcs-vmgs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        create_empty(&path).unwrap();
        Temporary(path)
    }

    fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.0).unwrap()
    }

    fn open(&self) -> Result<GuestState, Error> {
        GuestState::open(self.file(), true)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn headers_are_those_of_the_format() {
    for (sequence, table, expected) in [
        (1, 2, "47554553545254530000030028ed2e6d01000000a80000000200000001000000"),
        (2, 4, "47554553545254530000030034bd86d102000000a80000000400000001000000"),
        (3, 2, "4755455354525453000003000b40129603000000a80000000200000001000000"),
        (4, 4, "475545535452545300000300104cb20704000000a80000000400000001000000"),
    ] {
        let bytes = Header { sequence, table }.bytes();
        let text: String = bytes[..32].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, expected);
        assert!(bytes[32..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn files_lie_where_the_format_puts_them() {
    let temporary = Temporary::new("places");
    assert_eq!(std::fs::metadata(&temporary.0).unwrap().len(), 4_194_816);
    let mut state = temporary.open().unwrap();
    let places = |state: &GuestState| {
        let of = |id: usize| (state.files[id].block, state.files[id].blocks);
        (of(TABLE).0, of(KEYS).0, of(1), of(3), state.slot, state.sequence)
    };
    assert_eq!(places(&state), (2, 3, (0, 0), (0, 0), 0, 1));
    state.write(Content::Variables, &[1; 100]).unwrap();
    assert_eq!(places(&state), (4, 3, (5, 1), (0, 0), 1, 2));
    state.write(Content::Tpm, &[2; 5000]).unwrap();
    assert_eq!(places(&state), (2, 3, (5, 1), (6, 2), 0, 3));
    state.write(Content::Variables, &[3; 100]).unwrap();
    assert_eq!(places(&state), (4, 3, (8, 1), (6, 2), 1, 4));
    let again = temporary.open().unwrap();
    assert_eq!(places(&again), places(&state));
    assert_eq!(again.read(Content::Variables).unwrap().unwrap(), [3; 100]);
    assert_eq!(again.read(Content::Tpm).unwrap().unwrap(), [2; 5000]);
    state.write(Content::Tpm, &[]).unwrap();
    assert_eq!(temporary.open().unwrap().read(Content::Tpm).unwrap().unwrap(), [0u8; 0]);
}

#[test]
fn a_header_that_was_torn_leaves_the_state_before() {
    let temporary = Temporary::new("torn");
    let mut state = temporary.open().unwrap();
    state.write(Content::Variables, b"old").unwrap();
    state.write(Content::Variables, b"new").unwrap();
    assert_eq!(temporary.open().unwrap().read(Content::Variables).unwrap().unwrap(), b"new");
    // However much of the last sector was written, and whatever is there instead.
    let at = state.slot * SECTOR;
    for torn in [0, 1, 100, 167] {
        let mut sector = vec![0xaa; SECTOR as usize];
        temporary.file().read_exact_at(&mut sector[..torn], at).unwrap();
        let copy = Temporary::new(&format!("torn-{torn}"));
        std::fs::copy(&temporary.0, &copy.0).unwrap();
        copy.file().write_all_at(&sector, at).unwrap();
        assert_eq!(copy.open().unwrap().read(Content::Variables).unwrap().unwrap(), b"old", "{torn}");
    }
}

#[test]
fn whatever_is_wrong_is_told_and_nothing_is_read_that_is_not_there() {
    let temporary = Temporary::new("wrong");
    temporary.open().unwrap().write(Content::Variables, &[7; 5000]).unwrap();
    let whole = std::fs::read(&temporary.0).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = whole.clone();
        change(&mut changed);
        std::fs::write(&temporary.0, changed).unwrap();
        temporary.open().and_then(|state| state.read(Content::Variables))
    };
    assert!(with(&|_| {}).unwrap().is_some());
    // Without headers it is as if nothing had been written.
    assert!(with(&|bytes| bytes[..1024].fill(0)).unwrap().is_none());
    let footer = whole.len() - vhd::FOOTER as usize;
    let (table, slot) = (4 * BLOCK as usize, SECTOR as usize);
    for (change, words) in [
        (&(|bytes: &mut Vec<u8>| bytes.truncate(100)) as &dyn Fn(&mut Vec<u8>), "bytes"),
        (&|bytes| bytes.truncate(4 << 20), "footer"),
        (&|bytes| bytes[footer + 100] = 1, "footer"),
        (&|bytes| bytes[..1024].fill(0xee), "no guest state"),
        (&|bytes| bytes[slot..slot + 8].copy_from_slice(b"EFI PART"), "version 1"),
        (&|bytes| bytes[table + ENTRY + 1] = 0xff, "behind its end"),
        (&|bytes| bytes[table + ENTRY] = 3, "share blocks"),
        (&|bytes| bytes[table] = 9, "does not know"),
    ] {
        let error = with(change).unwrap_err();
        assert!(error.detail.contains(words), "{words}: {}", error.detail);
    }
    let encrypted = with(&|bytes| {
        for at in [0, slot] {
            bytes[at + 32] = 1;
            bytes[at + 12..at + 16].fill(0);
            let sum = crc32fast::hash(&bytes[at..at + HEADER]);
            bytes[at + 12..at + 16].copy_from_slice(&sum.to_le_bytes());
        }
    });
    assert_eq!(encrypted.unwrap_err().cause, Cause::NotSupported);
}

#[test]
fn a_full_file_says_so_and_stays_as_it_is() {
    let temporary = Temporary::new("full");
    let mut state = temporary.open().unwrap();
    state.write(Content::Variables, &vec![1; 3 << 20]).unwrap();
    let error = state.write(Content::Tpm, &vec![2; 2 << 20]).unwrap_err();
    assert!(error.detail.contains("no room"), "{}", error.detail);
    let again = temporary.open().unwrap();
    assert_eq!(again.read(Content::Variables).unwrap().unwrap().len(), 3 << 20);
    assert!(again.read(Content::Tpm).unwrap().is_none());
}
