//! Both sides against each other, over a pipe that breaks off anywhere.

use proptest::prelude::*;

use crate::{
    Event, Mux, Session, Stream,
    frame::{self, MOST, Said},
    mux::{MOST_STREAMS, MOST_UNSENT, WINDOW},
};

const FIRST: Session = [7; 16];
const SECOND: Session = [0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];

/// Two sides, and what is under way between them.
struct Link {
    host: Mux,
    guest: Mux,
    down: Vec<u8>,
    up: Vec<u8>,
}

impl Link {
    fn new() -> Link {
        Link { host: Mux::host(), guest: Mux::guest(), down: Vec::new(), up: Vec::new() }
    }

    fn begun() -> Link {
        let mut link = Link::new();
        // That the guest asks is nothing new to a host that has not begun.
        assert_eq!(link.settle(10_000, SECOND), (vec![], vec![]));
        link.host.begin(FIRST);
        assert_eq!(link.settle(10_000, SECOND), (vec![Event::Begun], vec![Event::Begun]));
        link
    }

    /// What is to be sent is under way.
    fn leave(&mut self) {
        for (mux, pipe) in [(&mut self.host, &mut self.down), (&mut self.guest, &mut self.up)] {
            let bytes = mux.output().to_vec();
            mux.sent(bytes.len());
            pipe.extend(bytes);
        }
    }

    /// Up to so many bytes arrive in each direction.
    fn arrive(&mut self, most: usize) -> bool {
        let (down, up) = (self.down.len().min(most), self.up.len().min(most));
        self.guest.push(&self.down.drain(..down).collect::<Vec<_>>());
        self.host.push(&self.up.drain(..up).collect::<Vec<_>>());
        down + up > 0
    }

    /// All arrives, in pieces; a host that loses its session begins this one. What has happened, on each side.
    fn settle(&mut self, step: usize, again: Session) -> (Vec<Event>, Vec<Event>) {
        let (mut of_host, mut of_guest) = (Vec::new(), Vec::new());
        loop {
            self.leave();
            let moved = self.arrive(step);
            while let Some(event) = self.host.next_event() {
                if event == Event::Lost {
                    self.host.begin(again);
                }
                of_host.push(event);
            }
            of_guest.extend(std::iter::from_fn(|| self.guest.next_event()));
            if !moved {
                return (of_host, of_guest);
            }
        }
    }

    /// A stream of the host's at port 5, that the guest has accepted: it has the same name on both sides.
    fn stream(&mut self) -> Stream {
        let stream = self.host.open(5).unwrap();
        let (_, heard) = self.settle(10_000, SECOND);
        assert_eq!(heard, [Event::Wanted(stream, 5)]);
        self.guest.accept(stream);
        let (heard, _) = self.settle(10_000, SECOND);
        assert_eq!(heard, [Event::Opened(stream)]);
        stream
    }
}

fn data(events: &[Event], of: Stream) -> Vec<u8> {
    let each = events.iter().filter_map(|event| match event {
        Event::Data(stream, bytes) if *stream == of => Some(bytes.as_slice()),
        _ => None,
    });
    each.collect::<Vec<_>>().concat()
}

#[test]
fn a_stream_brings_all_bytes_and_its_end_and_is_over_then() {
    let mut link = Link::begun();
    let stream = link.stream();
    let all: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    let (mut sent, mut came) = (0, Vec::new());
    while sent < all.len() {
        sent += link.host.send(stream, &all[sent..]);
        let (_, heard) = link.settle(4999, SECOND);
        let bytes = data(&heard, stream);
        assert!(!bytes.is_empty());
        link.guest.took(stream, bytes.len());
        link.settle(4999, SECOND);
        came.extend(bytes);
    }
    assert!(came == all);
    link.host.end(stream);
    assert_eq!(link.host.send(stream, b"more"), 0);
    assert_eq!(link.settle(10_000, SECOND).1, [Event::Ended(stream)]);
    assert_eq!(link.guest.send(stream, b"answer"), 6);
    link.guest.end(stream);
    let (heard, _) = link.settle(10_000, SECOND);
    assert_eq!(heard, [Event::Data(stream, b"answer".to_vec()), Event::Ended(stream)]);
    // Nothing of it is left: neither side can do anything with it.
    link.host.reset(stream);
    link.guest.reset(stream);
    assert_eq!(link.settle(10_000, SECOND), (vec![], vec![]));
}

#[test]
fn a_stream_that_nobody_takes_from_holds_up_no_other() {
    let mut link = Link::begun();
    let (slow, quick) = (link.stream(), link.stream());
    let bytes = vec![1; MOST];
    let mut sent = 0;
    for _ in 0..40 {
        sent += link.host.send(slow, &bytes);
        link.settle(10_000, SECOND);
        let now = link.host.send(quick, &bytes);
        assert_eq!(now, MOST);
        link.settle(10_000, SECOND);
        link.guest.took(quick, now);
    }
    assert_eq!(sent, WINDOW as usize);
    link.guest.took(slow, WINDOW as usize);
    link.settle(10_000, SECOND);
    assert_eq!(link.host.send(slow, &bytes), MOST);
}

#[test]
fn what_is_refused_or_reset_is_gone_on_the_other_side() {
    let mut link = Link::begun();
    let refused = link.guest.open(1).unwrap();
    let (heard, _) = link.settle(10_000, SECOND);
    assert_eq!(heard, [Event::Wanted(refused, 1)]);
    link.host.reset(refused);
    assert_eq!(link.settle(10_000, SECOND).1, [Event::Gone(refused)]);
    let stream = link.stream();
    link.host.reset(stream);
    // The guest has not heard of that, and what it says crosses with it.
    assert_eq!(link.guest.send(stream, b"late"), 4);
    assert_eq!(link.settle(10_000, SECOND), (vec![], vec![Event::Gone(stream)]));
    assert_eq!(Mux::host().open(1), None);
}

#[test]
fn more_streams_than_there_may_be_are_refused() {
    let mut link = Link::begun();
    for _ in 0..MOST_STREAMS {
        link.host.open(1).unwrap();
    }
    assert_eq!(link.host.open(1), None);
    // The guest has none of its own, and does not know that there are too many.
    let mut frames = Vec::new();
    for stream in 0..=MOST_STREAMS as u32 {
        frame::frame(&FIRST, 2 * stream + 1, &Said::Open(1), &mut frames);
    }
    let mut host = Link::begun().host;
    host.push(&frames);
    let wanted = std::iter::from_fn(|| host.next_event()).count();
    assert_eq!(wanted, MOST_STREAMS);
    let mut gone = Vec::new();
    frame::frame(&FIRST, 2 * MOST_STREAMS as u32 + 1, &Said::Gone, &mut gone);
    assert_eq!(host.output(), gone);
}

#[test]
fn what_breaks_a_rule_loses_the_session() {
    let open = |stream| (stream, Said::Open(1));
    let nonsense: &[&[(u32, Said)]] = &[
        &[open(2)],
        &[open(1), open(1)],
        &[open(3), open(1)],
        &[open(u32::MAX)],
        &[open(1), (1, Said::Data(vec![1]))],
        &[(3, Said::End)],
        &[(2, Said::Opened)],
        &[(4, Said::Gone)],
    ];
    let of_a_stream: &[&[Said]] = &[
        &[Said::Opened],
        &[Said::Credit(1)],
        &[Said::Credit(u32::MAX)],
        &[Said::Data(vec![])],
        &[Said::End, Said::End],
        &[Said::End, Said::Data(vec![1])],
    ];
    let full = vec![Said::Data(vec![1; MOST]); WINDOW as usize / MOST + 1];
    for said in nonsense {
        let mut host = Link::begun().host;
        loses(&mut host, said.iter().cloned());
    }
    for said in of_a_stream.iter().copied().chain([full.as_slice()]) {
        let mut link = Link::begun();
        let Stream { .. } = link.stream();
        loses(&mut link.host, said.iter().map(|said| (2, said.clone())));
    }
}

fn loses(host: &mut Mux, said: impl IntoIterator<Item = (u32, Said)>) {
    let mut frames = Vec::new();
    let mut all = Vec::new();
    for (stream, said) in said {
        frame::frame(&FIRST, stream, &said, &mut frames);
        all.push((stream, said));
    }
    host.push(&frames);
    let last = std::iter::from_fn(|| host.next_event()).last();
    assert_eq!(last, Some(Event::Lost), "{:?}", &all[..all.len().min(3)]);
    assert_eq!(host.open(1), None);
}

#[test]
fn an_agent_that_takes_the_place_of_another_is_heard() {
    let mut link = Link::begun();
    let stream = link.stream();
    assert_eq!(link.guest.send(stream, &[3; 1000]), 1000);
    link.leave();
    // It dies in the middle of a frame.
    link.up.truncate(500);
    link.guest = Mux::guest();
    let (of_host, of_guest) = link.settle(usize::MAX, SECOND);
    assert_eq!(of_host, [Event::Lost, Event::Begun]);
    assert_eq!(of_guest, [Event::Begun]);
    link.stream();
}

proptest! {
    #[test]
    fn a_machine_that_goes_on_elsewhere_hears_its_new_host_and_nothing_of_the_old_one(
        sends in prop::collection::vec((1..3000usize, any::<bool>()), 1..20),
        arrived in 0..40_000usize,
        kept_down in 0..40_000usize,
        lost_up in 0..40_000usize,
        step in 1..70_000usize,
    ) {
        let mut link = Link::begun();
        let stream = link.stream();
        for (length, is_host) in sends {
            let bytes = vec![0xab; length];
            if is_host { link.host.send(stream, &bytes) } else { link.guest.send(stream, &bytes) };
        }
        link.leave();
        link.arrive(arrived);
        // Some of what the old host has sent was with the machine already; the rest is lost with it. Of what the machine
        // has sent, the end reaches the new host.
        link.down.truncate(kept_down);
        link.up.drain(..lost_up.min(link.up.len()));
        link.host = Mux::host();
        link.host.begin(SECOND);
        let (of_host, of_guest) = link.settle(step, [5; 16]);
        // The guest may have asked before it heard who is there: then its host begins once more.
        let only = |events: &[Event]| events.iter().all(|event| matches!(event, Event::Lost | Event::Begun));
        prop_assert!(only(&of_host) && of_host.last() == Some(&Event::Begun), "{of_host:?}");
        let lost = of_guest.iter().position(|event| *event == Event::Lost).unwrap();
        prop_assert!(only(&of_guest[lost..]) && of_guest.last() == Some(&Event::Begun), "{of_guest:?}");
        let stream = link.stream();
        prop_assert_eq!(link.host.send(stream, b"anew"), 4);
        let (_, heard) = link.settle(step, [5; 16]);
        prop_assert_eq!(heard, [Event::Data(stream, b"anew".to_vec())]);
    }

    #[test]
    fn whatever_a_guest_says_a_host_keeps_a_bounded_answer(
        frames in prop::collection::vec((0..8u8, 0..9u32, any::<u32>(), 0..200usize, any::<bool>()), 0..200),
    ) {
        let mut host = Link::begun().host;
        host.open(1);
        for (kind, stream, value, length, is_marked) in frames {
            let mut bytes = Vec::new();
            let said = match kind {
                1 => Said::Open(value),
                2 => Said::Opened,
                3 => Said::Data(vec![9; length]),
                4 => Said::Credit(value % WINDOW),
                5 => Said::End,
                6 => Said::Gone,
                _ => Said::Data(vec![0; length]),
            };
            frame::frame(if is_marked { &FIRST } else { &SECOND }, stream, &said, &mut bytes);
            host.push(&bytes);
            while let Some(event) = host.next_event() {
                match event {
                    Event::Wanted(stream, port) if port % 2 == 0 => host.accept(stream),
                    Event::Wanted(stream, _) => host.reset(stream),
                    Event::Data(stream, bytes) => host.took(stream, bytes.len()),
                    _ => {}
                }
            }
            prop_assert!(host.output().len() <= MOST_UNSENT);
        }
    }
}
