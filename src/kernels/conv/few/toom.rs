//! Kernels three or five high that move by one: eight products instead of 18 for six outputs of a column, or of 20 for four.
//!
//! Along one axis, so that what is transformed is whole lines of the plane and of the outputs, and lanes never change
//! places; columns of the kernel and channels are summed at the points. The README.md of kernels has the errors.

use super::planes::Planes;
use crate::kernels::conv::{ConvAxis, ConvDims, Epilogue};
use crate::kernels::gemm::panels;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Isa, Map, MatMut, POINTS, Spot};

/// The most columns of the kernel, over all channels.
const MOST: usize = 64;
/// Output channels that are many: they share the input's transforms.
const MANY_ROWS: usize = 16;
/// Registers handed to the micro-kernel at a time.
const SPOTS: usize = 64;

/// The sizes of a group.
#[derive(Clone, Copy)]
pub struct Toom {
    isa: Isa,
    axes: [ConvAxis; 2],
    /// Input channels, and output channels.
    channels: usize,
    rows: usize,
}

impl Toom {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &ConvDims, axes: [ConvAxis; 2]) -> Option<Self> {
        let [outer, inner] = axes;
        let full = |n: usize, of: usize| n > 0 && n * 4 >= n.next_multiple_of(of) * 3;
        let near = axes.iter().all(|axis| axis.stride == 1 && axis.dilation == 1);
        // As measured, so many columns outweigh the transforms; of three taps not those of each group's weights, too.
        let least = match (outer.kernel, dims.group_out() >= MANY_ROWS) {
            (3, true) if dims.group == 1 => 9,
            (5, true) => 5,
            (5, false) => 10,
            _ => return None,
        };
        let this = Self { isa, axes, channels: dims.group_in(), rows: dims.group_out() };
        let serves = near && full(outer.output, this.outputs()) && full(inner.output, isa.lanes());
        (serves && (least..=MOST).contains(&this.columns())).then_some(this)
    }

    /// Lines of outputs of a tile.
    pub fn outputs(&self) -> usize {
        simd::outputs(self.axes[0].kernel)
    }

    /// Columns of the kernel, over all channels.
    pub fn columns(&self) -> usize {
        self.channels * self.axes[1].kernel
    }

    /// Floats of the packed weights.
    pub fn weights_len(&self) -> usize {
        POINTS * self.columns() * self.rows
    }

    /// Packs a group's weights: for each panel of rows, at each point, for each column one value a row.
    pub fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        let (columns, [height, width]) = (self.columns(), self.axes.map(|axis| axis.kernel));
        for panel in panels(self.rows, self.isa.tile_rows()) {
            let len = columns * panel.len();
            let packed = &mut packed[panel.start * columns * POINTS..][..len * POINTS];
            scratch::lend(len * height, |lines| {
                for (i, &value) in
                    weights[panel.start * columns * height..][..len * height].iter().enumerate()
                {
                    let (row, channel) = (i / (columns * height), i / (width * height) % self.channels);
                    let (y, x) = (i / width % height, i % width);
                    lines[(y * columns + channel * width + x) * panel.len() + row] = value;
                }
                simd::transform_lines(self.isa, Map::Values(height), (lines, len), (packed, len), len);
            });
        }
    }

    /// Padded lines for so many lines of outputs, rounded up to tiles.
    pub fn planes(&self, lines: usize) -> Planes {
        Planes::new(self.axes, lines.next_multiple_of(self.outputs()), false)
    }

    /// Values of a channel of these planes at a point, a line a tile.
    pub fn channel_len(&self, planes: &Planes) -> usize {
        (planes.lines() + 1 - self.axes[0].kernel) / self.outputs() * planes.pitch()
    }

    /// Transforms planes: for each point, for each channel, for each tile a line.
    pub fn transform(&self, planes: &Planes, data: &[f32], points: &mut [f32]) {
        let (pitch, channel) = (planes.pitch(), self.channel_len(planes));
        let point = self.channels * channel;
        for (c, data) in data.chunks_exact(planes.channel_len()).enumerate() {
            for (tile, start) in (0..channel).step_by(pitch).enumerate() {
                let (from, to) = (&data[tile * self.outputs() * pitch..], &mut points[c * channel + start..]);
                simd::transform_lines(self.isa, Map::Input, (from, pitch), (to, point), pitch);
            }
        }
    }

    /// The outputs of a group from line `first` on, of which `c` holds as many as its columns.
    pub fn band(
        &self,
        image: &[f32],
        first: usize,
        weights: &[f32],
        epilogue: Epilogue<'_>,
        mut c: MatMut<'_>,
    ) {
        let (isa, cols, [_, inner]) = (self.isa, c.cols(), &self.axes);
        let planes = self.planes(cols / inner.output);
        let channel = self.channel_len(&planes);
        let mut offsets = [0; MOST];
        let offsets = &mut offsets[..self.columns()];
        for (i, offset) in offsets.iter_mut().enumerate() {
            *offset = (i / inner.kernel * channel + i % inner.kernel) as u32;
        }
        let (len, point) = (self.channels * planes.channel_len(), self.channels * channel);
        scratch::lend(len + POINTS * point + isa.lanes(), |scratch| {
            let (plane, data) = scratch.split_at_mut(len);
            planes.fill(isa, image, first, plane);
            self.transform(&planes, plane, data);
            // Lanes beyond the last output are read.
            data[POINTS * point..].fill(0.0);
            let across = inner.output.div_ceil(isa.lanes());
            let registers = channel / planes.pitch() * across;
            for start in (0..registers).step_by(SPOTS) {
                let mut spots = [Spot::default(); SPOTS];
                let spots = &mut spots[..SPOTS.min(registers - start)];
                for (i, spot) in (start..).zip(&mut *spots) {
                    let (tile, x) = (i / across, i % across * isa.lanes());
                    let to = tile * self.outputs() * inner.output + x;
                    let first = isa.lanes().min(inner.output - x);
                    *spot = Spot { from: tile * planes.pitch() + x, to, first, skip: 0, rest: 0 };
                }
                for panel in panels(self.rows, isa.tile_rows()) {
                    let size = self.columns() * POINTS;
                    let factors = simd::Toom {
                        height: self.axes[0].kernel,
                        data,
                        point,
                        offsets,
                        weights: &weights[panel.start * size..panel.end * size],
                        spots,
                        width: inner.output,
                        epilogue: epilogue.rows(panel.clone()),
                    };
                    simd::toom(isa, &factors, c.block(panel.clone(), 0..cols));
                }
            }
        });
    }
}
