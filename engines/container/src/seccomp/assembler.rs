//! Writes classic BPF back to front.
//!
//! Its jumps lead forwards only, and those of comparisons reach 255 instructions. Written from the end, the
//! place that a jump leads to is known when the jump is written, and where it is out of reach a way-station is
//! put in. Returns are shared wherever one is near.

use std::collections::BTreeMap;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    sock_filter,
};

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const AND: u32 = BPF_ALU | BPF_AND | BPF_K;
const JUMP: u32 = BPF_JMP | BPF_JA;
const IF_EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const IF_GREATER: u32 = BPF_JMP | BPF_JGT | BPF_K;
const IF_AT_LEAST: u32 = BPF_JMP | BPF_JGE | BPF_K;
const RETURN: u32 = BPF_RET | BPF_K;

/// How far a comparison jumps, with room for the way-station of the other branch.
const REACH: usize = 250;

/// A place in the program: how many instructions there are from it to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a place that is already written.
    At(Label),
    /// Out of the filter with this value.
    Return(u32),
}

/// What a comparison asks of the loaded word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is this value.
    Equal(u32),
    /// It is greater.
    Greater(u32),
    /// It is greater or this value.
    AtLeast(u32),
}

/// A program under construction.
#[derive(Default)]
pub struct Assembler {
    reversed: Vec<sock_filter>,
    /// The return of each value that was written last, which is the nearest.
    returns: BTreeMap<u32, Label>,
}

impl Assembler {
    /// The program, first instruction first.
    pub fn finish(mut self) -> Vec<sock_filter> {
        self.reversed.reverse();
        self.reversed
    }

    fn write(&mut self, code: u32, if_true: u8, if_false: u8, value: u32) -> Label {
        self.reversed.push(sock_filter { code: code as u16, jt: if_true, jf: if_false, k: value });
        Label(self.reversed.len())
    }

    /// How many instructions a jump that is written now would leave out.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0
    }

    /// Loads a word of what the filter is told about the call, then goes on at `next`.
    pub fn load(&mut self, offset: u32, next: Target) -> Target {
        self.lead_to(next);
        Target::At(self.write(LOAD, 0, 0, offset))
    }

    /// Keeps these bits of the loaded word, then goes on at `next`.
    pub fn mask(&mut self, bits: u32, next: Target) -> Target {
        self.lead_to(next);
        Target::At(self.write(AND, 0, 0, bits))
    }

    /// Goes on at one place or the other.
    pub fn branch(&mut self, test: Test, if_true: Target, if_false: Target) -> Target {
        if if_true == if_false {
            return if_true;
        }
        let if_false = self.bring_near(if_false);
        let if_true = self.bring_near(if_true);
        let (code, value) = match test {
            Test::Equal(value) => (IF_EQUAL, value),
            Test::Greater(value) => (IF_GREATER, value),
            Test::AtLeast(value) => (IF_AT_LEAST, value),
        };
        // Both are within REACH, plus at most the one instruction that bringing the other near has cost.
        let (if_true, if_false) = (self.distance(if_true) as u8, self.distance(if_false) as u8);
        Target::At(self.write(code, if_true, if_false, value))
    }

    /// Lets what is written next fall through to `target`.
    fn lead_to(&mut self, target: Target) {
        match target {
            Target::At(label) if self.distance(label) == 0 => {}
            Target::At(label) => {
                let distance = self.distance(label) as u32;
                self.write(JUMP, 0, 0, distance);
            }
            Target::Return(value) => {
                self.write_return(value);
            }
        }
    }

    /// A place within reach that is, or leads to, the target.
    fn bring_near(&mut self, target: Target) -> Label {
        match target {
            Target::At(label) if self.distance(label) <= REACH => label,
            Target::At(label) => {
                let distance = self.distance(label) as u32;
                self.write(JUMP, 0, 0, distance)
            }
            Target::Return(value) => match self.returns.get(&value) {
                Some(label) if self.distance(*label) <= REACH => *label,
                _ => self.write_return(value),
            },
        }
    }

    fn write_return(&mut self, value: u32) -> Label {
        let label = self.write(RETURN, 0, 0, value);
        self.returns.insert(value, label);
        label
    }
}
