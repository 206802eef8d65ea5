//! The input's gradient: of some outputs the products with every tap, by one matrix multiplication, which are then
//! added where they belong.
//!
//! A convolution with so few rows would leave most of a tile empty, and pack each output's gradient for each tap. Here
//! the weights' rows are channels times taps. Their products with a tile's columns of outputs or more stay in the
//! first-level cache until they are added to planes, tap by tap; planes are then copied to the lines of the input. Of
//! more channels, some at a time, this serves where the input has so many more positions than the output that phases
//! would multiply a third more (7 x 7 without margins on 16 x 16). A deconvolution onto an image's three channels is
//! one of these.

use std::ops::Range;

use super::planes::{Planes, two_axes};
use crate::kernels::conv::{ConvAxis, ConvDims};
use crate::kernels::gemm::{Matrix, Packed, pack, tiles};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{Asked, Isa, Job, MatMut, Renew, Simd, renew};

/// The most input channels of a group, unless phases multiply more: a tile then has more rows of taps than of channels.
const MOST: usize = 12;
/// Rows of taps that are multiplied at a time where channels are more.
const ROWS: usize = 256;
/// The fewest outputs' channels, and taps of a group: with less, adding takes longer than multiplying.
const LEAST: usize = 8;
/// Tasks that are enough for every thread of a large machine.
const TASKS: usize = 64;
/// A band has as many times the lines that a kernel spans: at its ends outputs are multiplied twice.
const SPANS: usize = 4;
/// Packed values of the output's gradient that stay in the second-level cache, read in pieces long enough for the processor to
/// foresee them; and products that stay near the first until they are added.
const PACKED: usize = 1 << 15;
const PRODUCTS: usize = 1 << 13;

/// How the work is cut.
pub struct Products<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
    /// Channels of a task.
    channels: usize,
    /// Lines of the input in a band.
    band: usize,
    /// Outputs that are packed at a time, and that are multiplied.
    packed: usize,
    multiplied: usize,
}

impl<'a> Products<'a> {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        let (rows, phases) = (dims.group_in(), axes[0].stride * axes[1].stride);
        // Phases multiply at each position of the input, this at each output.
        let fewer = dims.out_area() * phases * 4 <= dims.in_area() * 3;
        if !(1..=MOST).contains(&rows) && !fewer
            || dims.group_out() < LEAST
            || dims.depth() < LEAST
            || dims.out_area() == 0
            || dims.in_area() == 0
        {
            return None;
        }
        let channels = if rows <= MOST { rows } else { (ROWS / dims.kernel_area()).clamp(1, rows) };
        let taps = channels * dims.kernel_area();
        let tasks = dims.batch * dims.group * rows.div_ceil(channels);
        let bands = TASKS.div_ceil(tasks.max(1)).min(axes[0].input / (SPANS * axes[0].extent())).max(1);
        let multiplied = (PRODUCTS / taps).max(1).next_multiple_of(isa.tile_cols());
        let packed = (PACKED / dims.group_out()).next_multiple_of(multiplied).max(multiplied);
        Some(Self { dims, isa, axes, channels, band: axes[0].input.div_ceil(bands), packed, multiplied })
    }

    /// Floats of scratch: the packed weights.
    pub fn scratch_len(&self) -> usize {
        self.dims.weight_len()
    }

    /// Overwrites the gradient.
    pub fn run(&self, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32], scratch: &mut [f32]) {
        let dims = self.dims;
        let (rows, taps, area, k) = (dims.group_in(), dims.depth(), dims.in_area(), dims.group_out());
        let packed = &mut scratch[..self.scratch_len()];
        let block = self.channels * dims.kernel_area();
        parallel::for_chunks_mut(packed, k * taps, |start, packed| {
            let weights = Matrix { data: &weights[start..][..k * taps], row_stride: 1, col_stride: taps };
            parallel::for_chunks_mut(packed, k * block, |start, packed| {
                let first = start / k;
                pack::rows(self.isa, &weights, first..first + packed.len() / k, 0..k, packed);
            });
        });
        let (weights, width) = (&*packed, self.axes[1].input);
        parallel::for_chunks_mut(bottom_diff, rows * area, |start, image| {
            let index = start / (rows * area);
            let top_diff = &top_diff[index * k * dims.out_area()..][..k * dims.out_area()];
            let weights = &weights[index % dims.group * k * taps..][..k * taps];
            let c = MatMut::new(image, rows, area, area);
            parallel::for_row_blocks(c, self.channels, &|row, c| {
                let weights = &weights[row * dims.kernel_area() * k..];
                parallel::for_column_blocks(c, self.band * width, &|first, c| {
                    let lines = first / width..(first + c.cols()) / width;
                    self.band(top_diff, weights, lines, c);
                });
            });
        });
    }

    /// The lines `inputs` of some channels, which are `c`. `weights` are theirs, and what follows.
    fn band(&self, top_diff: &[f32], weights: &[f32], inputs: Range<usize>, mut c: MatMut<'_>) {
        let (dims, isa, [axis, last]) = (self.dims, self.isa, self.axes);
        let (taps, width, k) = (c.rows() * dims.kernel_area(), last.output, dims.group_out());
        // Lines of outputs that meet a line of the band.
        let end = ((inputs.end - 1 + axis.pad) / axis.stride + 1).min(axis.output);
        let start =
            (inputs.start + axis.pad + 1).saturating_sub(axis.extent()).div_ceil(axis.stride).min(end);
        if start == end {
            return (0..c.rows()).for_each(|i| c.row(i).fill(0.0));
        }
        let planes = Planes::new(self.axes, end - start, true);
        let len = c.rows() * planes.channel_len();
        let top_diff = Matrix::row_major(top_diff, dims.out_area());
        scratch::lend(taps * self.multiplied + k * self.packed + len, |data| {
            let (products, data) = data.split_at_mut(taps * self.multiplied);
            let (packed, sums) = data.split_at_mut(k * self.packed);
            sums.fill(0.0);
            for first in (start * width..end * width).step_by(self.packed) {
                let cols = first..(first + self.packed).min(end * width);
                pack::columns(isa, &top_diff, 0..k, cols.clone(), packed);
                for col in cols.clone().step_by(self.multiplied) {
                    let count = self.multiplied.min(cols.end - col);
                    let factors = Packed { k, a: weights, b: &packed[(col - first) * k..] };
                    tiles(isa, &factors, (1.0, 0.0), MatMut::new(products, taps, count, self.multiplied));
                    let products = (&*products, self.multiplied);
                    let first = col - start * width;
                    isa.run(AddTaps { planes: &planes, axes: self.axes, products, first, count, sums });
                }
            }
            planes.give(isa, sums, start, inputs, c);
        });
    }
}

/// Adds products, a row a tap, those of `count` outputs from `first` on, to the planes where the taps are.
struct AddTaps<'a> {
    planes: &'a Planes,
    axes: [ConvAxis; 2],
    /// And how far apart the rows are.
    products: (&'a [f32], usize),
    first: usize,
    count: usize,
    sums: &'a mut [f32],
}

#[derive(Clone, Copy)]
struct Plus;

impl Renew<1, 1> for Plus {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [value]: [S::V; 1], [own]: [S::V; 1]) -> [S::V; 1] {
        [simd.add(own, value)]
    }
}

impl Job for AddTaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { planes, axes, products: (products, stride), first, count, sums } = self;
        let ([rows, cols], width) = (axes.map(|axis| axis.kernel), axes[1].output);
        let (line, column) = (first / width, first % width);
        // Neighbours along a line last: what one tap has just written is not read by the next.
        for x in 0..cols {
            for (i, row) in products.chunks(stride).skip(x).step_by(cols).enumerate() {
                let tap = planes.tap(i / rows, i % rows, x) + line * planes.pitch();
                let (mut from, mut at, mut len) = (0, tap + column, (width - column).min(count));
                while len > 0 {
                    let to = &mut sums[at..at + len];
                    renew(simd, [&row[from..from + len]], [to], Asked::NOTHING, Plus);
                    from += len;
                    at = at + planes.pitch() + len - width;
                    len = width.min(count - from);
                }
            }
        }
    }
}
