//! Classic BPF with names for places. Jumps go forward only, as the kernel demands.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
};

/// A place in the program, named before it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The loaded value is this.
    Equal,
    /// The loaded value is this or more.
    AtLeast,
}

#[derive(Clone, Copy)]
enum Line {
    Plain(sock_filter),
    /// On to one place or the other. Needs as many instructions as the places are far.
    Branch {
        compare: Compare,
        value: u32,
        yes: Label,
        no: Label,
    },
}

/// A program in the making.
#[derive(Default)]
pub struct Assembler {
    lines: Vec<Line>,
    /// The line at which each label stands.
    places: Vec<usize>,
}

/// The farthest that a conditional jump reaches.
const NEAR: usize = 255;
/// Instructions of a branch whose places may be far: the test, and a long jump for each outcome.
const FAR_BRANCH: usize = 3;

impl Assembler {
    /// A name for a place that comes later.
    pub fn label(&mut self) -> Label {
        self.places.push(usize::MAX);
        Label(self.places.len() - 1)
    }

    /// The place of the label is here.
    pub fn place(&mut self, label: Label) {
        self.places[label.0] = self.lines.len();
    }

    /// Loads a word of the call's data.
    pub fn load(&mut self, offset: u32) {
        self.plain(BPF_LD | BPF_W | BPF_ABS, offset);
    }

    /// Keeps these bits of the loaded word.
    pub fn keep(&mut self, bits: u32) {
        self.plain(BPF_ALU | BPF_AND | BPF_K, bits);
    }

    /// Ends with a value.
    pub fn end(&mut self, value: u32) {
        self.plain(BPF_RET | BPF_K, value);
    }

    /// Goes on at one of two places.
    pub fn branch(&mut self, compare: Compare, value: u32, yes: Label, no: Label) {
        self.lines.push(Line::Branch { compare, value, yes, no });
    }

    fn plain(&mut self, code: u32, k: u32) {
        self.lines.push(Line::Plain(sock_filter { code: code as u16, jt: 0, jf: 0, k }));
    }

    /// The program. Every label must have a place, behind the branches to it.
    pub fn finish(&self) -> Vec<sock_filter> {
        // As if every branch were far: then no place moves nearer than it is counted here, and a branch that is
        // near by this count is near.
        let mut starts = Vec::with_capacity(self.lines.len() + 1);
        let mut far = 0;
        for line in &self.lines {
            starts.push(far);
            far += match line {
                Line::Plain(_) => 1,
                Line::Branch { .. } => FAR_BRANCH,
            };
        }
        starts.push(far);
        let is_near = |from: usize, to: Label| starts[self.places[to.0]] - starts[from] <= NEAR;
        let length = |index: usize| match &self.lines[index] {
            Line::Branch { yes, no, .. } if !(is_near(index, *yes) && is_near(index, *no)) => FAR_BRANCH,
            _ => 1,
        };
        let mut positions = Vec::with_capacity(self.lines.len() + 1);
        let mut position = 0;
        for index in 0..self.lines.len() {
            positions.push(position);
            position += length(index);
        }
        positions.push(position);
        let mut program = Vec::with_capacity(position);
        for (index, line) in self.lines.iter().enumerate() {
            match *line {
                Line::Plain(instruction) => program.push(instruction),
                Line::Branch { compare, value, yes, no } => {
                    let code =
                        (BPF_JMP | BPF_K | if compare == Compare::Equal { BPF_JEQ } else { BPF_JGE }) as u16;
                    let distance = |from: usize, to: Label| positions[self.places[to.0]] - from - 1;
                    let here = positions[index];
                    if length(index) == 1 {
                        let (jt, jf) = (distance(here, yes) as u8, distance(here, no) as u8);
                        program.push(sock_filter { code, jt, jf, k: value });
                    } else {
                        program.push(sock_filter { code, jt: 0, jf: 1, k: value });
                        let jump = (BPF_JMP | BPF_JA) as u16;
                        for (step, to) in [(1, yes), (2, no)] {
                            let k = distance(here + step, to) as u32;
                            program.push(sock_filter { code: jump, jt: 0, jf: 0, k });
                        }
                    }
                }
            }
        }
        program
    }
}
