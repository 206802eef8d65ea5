//! The axes of an array in another order.
//!
//! Axes that stay together count as one. Then the output's last axis is the input's, and rows are copied whole; or it is
//! not, and there are matrices to transpose: along the output's last axis and along the input's.

use super::{
    elementwise::FAR,
    parallel::{CHUNK, for_column_blocks, for_row_blocks},
    rows::copy_rows,
    simd::{Isa, MatMut, transpose_copy},
};

/// Columns of a block of a transpose: as many as it has rows, so that pieces are no shorter to read than to write.
const WIDE: usize = 128;
/// Rows of a block are a multiple of the lanes of any register.
const LANES: usize = 16;

/// An axis of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    len: usize,
    /// The distance of its values in the input.
    stride: usize,
}

/// What goes where when axes change places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permutation {
    /// Axes of more than one value, in the output's order.
    axes: Vec<Axis>,
}

impl Permutation {
    /// Of an array with these sides, whose axis `order[i]` becomes axis `i`.
    pub fn new(sides: &[usize], order: &[usize]) -> Self {
        let mut axes: Vec<Axis> = Vec::with_capacity(order.len());
        for &from in order {
            let stride = sides[from + 1..].iter().product();
            match axes.last_mut() {
                _ if sides[from] == 1 => {}
                Some(last) if last.stride == stride * sides[from] => {
                    *last = Axis { len: last.len * sides[from], stride };
                }
                _ => axes.push(Axis { len: sides[from], stride }),
            }
        }
        Self { axes }
    }

    /// The way back: from what [`Permutation::new`] of the same makes to what it was made of.
    pub fn back(sides: &[usize], order: &[usize]) -> Self {
        let made: Vec<usize> = order.iter().map(|&from| sides[from]).collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        Self::new(&made, &back)
    }

    /// Whether every value stays where it is.
    pub fn is_none(&self) -> bool {
        self.axes.len() <= 1
    }

    /// out = x in its new order.
    pub fn apply(&self, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len());
        let Some((&last, others)) = self.axes.split_last() else { return out.copy_from_slice(x) };
        if out.is_empty() {
            return;
        }
        assert_eq!(out.len(), self.axes.iter().map(|axis| axis.len).product::<usize>());
        if last.stride == 1 {
            return copy_rows(out, last.len, |i| &x[offset(others, i)..]);
        }
        let across = others.iter().position(|axis| axis.stride == 1).expect("some axis is the input's last");
        let (before, rest) = others.split_at(across);
        let squares = Squares {
            x,
            before,
            across: rest[0].len,
            between: &rest[1..],
            along: last,
            far: out.len() >= FAR,
        };
        squares.fill(out);
    }
}

/// Where value number `i` along these axes lies.
fn offset(axes: &[Axis], mut i: usize) -> usize {
    let mut at = 0;
    for axis in axes.iter().rev() {
        at += i % axis.len * axis.stride;
        i /= axis.len;
    }
    at
}

/// A transpose for each value along the axes before and between.
struct Squares<'a> {
    x: &'a [f32],
    before: &'a [Axis],
    /// Length of the input's last axis.
    across: usize,
    between: &'a [Axis],
    /// The output's last axis.
    along: Axis,
    /// Whether it is so much that nothing is near when it is read.
    far: bool,
}

impl Squares<'_> {
    fn fill(&self, out: &mut [f32]) {
        let width = self.between.iter().map(|axis| axis.len).product::<usize>() * self.along.len;
        // Whole pieces along the last axis where these are short.
        let wide = width.min(WIDE / self.along.len.min(WIDE) * self.along.len.min(WIDE));
        let high = (CHUNK / wide).next_multiple_of(LANES);
        let rows = out.len() / width;
        for_row_blocks(MatMut::new(out, rows, width, width), high, &|top, rows| {
            for_column_blocks(rows, wide, &|left, block| self.fill_block(top, left, block));
        });
    }

    /// The block of the output whose first row is `top` and whose first column is `left`.
    fn fill_block(&self, top: usize, left: usize, mut block: MatMut<'_>) {
        let (rows, cols) = (block.rows(), block.cols());
        let mut row = 0;
        while row < rows {
            let i = (top + row) % self.across;
            let high = (self.across - i).min(rows - row);
            let from = offset(self.before, (top + row) / self.across) + i;
            let mut col = 0;
            while col < cols {
                let j = (left + col) % self.along.len;
                let wide = (self.along.len - j).min(cols - col);
                let from = from + offset(self.between, (left + col) / self.along.len) + j * self.along.stride;
                let block = block.block(row..row + high, col..col + wide);
                transpose_copy(Isa::best(), &self.x[from..], self.along.stride, block, self.far);
                col += wide;
            }
            row += high;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Buffer;

    /// Value by value.
    fn plain(x: &[f32], sides: &[usize], order: &[usize]) -> Vec<f32> {
        let made: Vec<usize> = order.iter().map(|&from| sides[from]).collect();
        let stride = |from: usize| sides[from + 1..].iter().product::<usize>();
        let value = |mut i: usize| {
            let mut at = 0;
            for (&from, side) in order.iter().zip(&made).rev() {
                at += i % side * stride(from);
                i /= side;
            }
            x[at]
        };
        (0..x.len()).map(value).collect()
    }

    /// All orders of `n` axes.
    fn orders(n: usize) -> Vec<Vec<usize>> {
        match n {
            0 => vec![vec![]],
            _ => orders(n - 1)
                .into_iter()
                .flat_map(|order| (0..n).map(move |at| [&order[..at], &[n - 1], &order[at..]].concat()))
                .collect(),
        }
    }

    #[test]
    fn all_orders_equal_the_plain_one_and_go_back() {
        let shapes: [&[usize]; 9] = [
            &[],
            &[7],
            &[3, 5],
            &[1, 4, 1],
            &[2, 3, 5, 7],
            &[2, 0, 3],
            &[3, 1, 17, 2],
            &[2, 70, 33, 3],
            &[2, 1, 3, 2, 4],
        ];
        for sides in shapes {
            let n = sides.iter().product();
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            for order in orders(sides.len()) {
                let (mut out, mut back) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                let there = Permutation::new(sides, &order);
                there.apply(&x, &mut out);
                assert_eq!(out, plain(&x, sides, &order), "{sides:?} {order:?}");
                assert!(!there.is_none() || out == x);
                Permutation::back(sides, &order).apply(&out, &mut back);
                assert_eq!(back, x, "{sides:?} {order:?}");
            }
        }
    }

    /// What is written past the caches, in lines of them.
    const FAR_SQUARES: ([usize; 3], [usize; 3]) = ([2, 1120, 1008], [0, 2, 1]);

    #[test]
    fn long_axes_are_cut() {
        assert!(FAR_SQUARES.0.iter().product::<usize>() >= FAR);
        for (sides, order) in
            [([2, 1200, 37], [0, 2, 1]), ([700, 3, 40], [2, 1, 0]), ([2, 1030, 600], [1, 2, 0]), FAR_SQUARES]
        {
            let x: Vec<f32> = (0..sides.iter().product()).map(|i| i as f32).collect();
            let mut out = Buffer::zeroed(x.len());
            Permutation::new(&sides, &order).apply(&x, &mut out);
            assert!(*out == plain(&x, &sides, &order), "{sides:?} {order:?}");
        }
    }

    #[test]
    fn axes_that_stay_together_are_one() {
        let none = |sides: &[usize], order: &[usize]| Permutation::new(sides, order).is_none();
        assert!(none(&[2, 3, 4, 5], &[0, 1, 2, 3]) && none(&[2, 3, 1, 1], &[0, 2, 3, 1]));
        assert!(!none(&[2, 3, 4, 5], &[0, 2, 3, 1]));
        assert_eq!(Permutation::new(&[2, 3, 4, 5], &[0, 2, 3, 1]), Permutation::new(&[2, 3, 20], &[0, 2, 1]));
    }
}
