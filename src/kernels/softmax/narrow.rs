//! Softmax of few classes side by side: rows are turned round in scratch, so that registers hold a class of many rows each, and
//! what is done where classes lie apart is done there.

use super::{
    super::simd::{Isa, MOST_LANES, MatMut, interleave},
    columns::{Shares, TOGETHER},
};

/// The most classes.
pub const MOST: usize = 32;
/// The most values of a block: those of some of the widest registers for each class.
const BLOCK: usize = MOST * TOGETHER * MOST_LANES;

/// Softmax of the rows of `y`; `x` begins with the first.
pub fn shares(isa: Isa, classes: usize, x: &[f32], y: &mut [f32]) {
    let mut narrow = Narrow { isa, classes, turned: [0.0; BLOCK], shares: [0.0; BLOCK] };
    let (x, y) = narrow.blocks(TOGETHER * isa.lanes(), &x[..y.len()], y);
    let (x, y) = narrow.blocks(isa.lanes(), x, y);
    if !y.is_empty() {
        // Rows of zeros are as good as any.
        let (mut x_end, mut y_end) = ([0.0; BLOCK], [0.0; BLOCK]);
        x_end[..x.len()].copy_from_slice(x);
        let whole = narrow.line() * isa.lanes();
        narrow.blocks(isa.lanes(), &x_end[..whole], &mut y_end[..whole]);
        y.copy_from_slice(&y_end[..y.len()]);
    }
}

struct Narrow {
    isa: Isa,
    classes: usize,
    turned: [f32; BLOCK],
    shares: [f32; BLOCK],
}

impl Narrow {
    /// Values that are turned round as one line: a row, or as many as fit into a register.
    fn line(&self) -> usize {
        self.classes * (self.isa.lanes() / self.classes).max(1)
    }

    /// As many whole blocks of `wide` lines as there are; gives what is left.
    fn blocks<'a>(&mut self, wide: usize, x: &'a [f32], y: &'a mut [f32]) -> (&'a [f32], &'a mut [f32]) {
        let (line, class_rows) = (self.line(), self.classes * wide);
        let (x_blocks, mut y_blocks) = (x.chunks_exact(line * wide), y.chunks_exact_mut(line * wide));
        let left = x_blocks.remainder();
        for (y, x) in y_blocks.by_ref().zip(x_blocks) {
            let (turned, shares) = (&mut self.turned[..line * wide], &mut self.shares[..line * wide]);
            interleave(self.isa, x, line, wide, wide, turned);
            for (x, y) in turned.chunks_exact(class_rows).zip(shares.chunks_exact_mut(class_rows)) {
                self.isa.run(Shares { x, y: MatMut::new(y, self.classes, wide, wide) });
            }
            interleave(self.isa, shares, wide, line, line, y);
        }
        (left, y_blocks.into_remainder())
    }
}
