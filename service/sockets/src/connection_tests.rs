use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;

/// What may happen to a connection.
#[derive(Clone, Debug)]
enum Step {
    /// The guest says a packet, with so many bytes of data.
    Says {
        operation: u16,
        length: usize,
        flags: u32,
        room: u32,
        used: u32,
    },
    /// There is room for so much in the guest.
    Hears(usize),
    /// Who is at the other end reads, says something, or goes.
    Reads(usize),
    Writes(usize),
    Goes,
    /// The guest is told how much room there is.
    Tells,
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = (any::<u32>(), prop_oneof![Just(0), Just(u32::MAX), any::<u32>()]);
    prop_oneof![
        8 => (0_u16..9, 0_usize..70_000, 0_u32..4, numbers)
            .prop_map(|(operation, length, flags, (room, used))| Step::Says { operation, length, flags, room, used }),
        8 => (0_usize..70_000).prop_map(|length| {
            Step::Says { operation: operation::DATA, length, flags: 0, room: 1 << 18, used: 0 }
        }),
        4 => (1_usize..70_000).prop_map(Step::Hears),
        4 => (1_usize..300_000).prop_map(Step::Reads),
        2 => (1_usize..70_000).prop_map(Step::Writes),
        1 => Just(Step::Goes),
        1 => Just(Step::Tells),
    ]
}

const ROOM: u32 = 256 << 10;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_bytes_arrive_in_order_and_no_more_wait_than_there_is_room_for(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (own, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let request = Header { room: 1 << 18, ..Header::default() };
        let mut connection = Connection::from_guest(own.into(), ROOM, &request);
        let mut theirs = Some(theirs);
        let (mut said, mut arrived) = (0_usize, 0_usize);
        let byte = |at: usize| (at % 251) as u8;
        for step in steps {
            let mut fate = Stays(None);
            match step {
                Step::Says { operation, length, flags, room, used } => {
                    let length = if operation == operation::DATA { length } else { 0 };
                    let data: Vec<u8> = (said..said + length).map(byte).collect();
                    let header = Header { operation, flags, room, used, length: length as u32, ..Header::default() };
                    fate = connection.hear(&header, &data, 7);
                    if matches!(fate, Stays(_)) {
                        said += length;
                    }
                }
                Step::Hears(room) => {
                    let credit = connection.credit();
                    let (length, done) = connection.read(&mut vec![0; room]);
                    prop_assert!(length <= room.min(credit));
                    fate = done;
                }
                Step::Reads(most) => {
                    let mut heard = vec![0; most];
                    let length = theirs.as_mut().map_or(0, |stream| stream.read(&mut heard).unwrap_or(0));
                    heard.truncate(length);
                    prop_assert!(heard.iter().enumerate().all(|(at, heard)| *heard == byte(arrived + at)));
                    arrived += length;
                    fate = connection.pass_on();
                }
                Step::Writes(length) => {
                    if let Some(stream) = &mut theirs {
                        let _ = stream.write(&vec![1; length]);
                    }
                }
                Step::Goes => theirs = None,
                Step::Tells => {
                    let mut header = Header::default();
                    connection.give_credit(&mut header);
                    prop_assert!(header.room == ROOM && header.used == connection.passed);
                }
            }
            prop_assert!(connection.waiting.len() <= ROOM as usize && arrived <= said);
            if let Ends(_) = fate {
                break;
            }
        }
    }
}
