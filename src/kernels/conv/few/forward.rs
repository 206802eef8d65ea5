//! The forward pass: positions along the lanes, read from the planes where they lie.
//!
//! Planes, taken apart by both strides, are small enough to be read again, unaligned, for each few rows of weights:
//! nothing is gathered. Lanes follow them over the ends of lines, so that lines need not be whole registers long; what
//! is no output is left out when they are stored.

use super::planes::{Planes, two_axes};
use super::toom::Toom;
use super::{CHANNELS, few_pairs};
use crate::kernels::conv::{ConvAxis, ConvDims, Epilogue};
use crate::kernels::gemm::{Matrix, pack, panels};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Direct, Isa, MatMut, Spot};

/// The most taps, over all channels of a group.
pub const TAPS: usize = 1024;
/// Outputs of a band: enough to outweigh its margins.
const BAND: usize = 2048;
/// Registers that each panel of weights serves in turn.
const SPOTS: usize = 64;

/// How the work is cut.
pub struct Forward<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
    /// The way by points, where it serves.
    toom: Option<Toom>,
    /// Lines of outputs in a band.
    band: usize,
}

impl<'a> Forward<'a> {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        let taps = dims.depth();
        if dims.group_in() > CHANNELS && !few_pairs(dims)
            || dims.out_channels == 0
            || dims.kernel_area() < 2
            || taps > TAPS
            || dims.out_area() == 0
        {
            return None;
        }
        // A register of lanes goes over the end of a line, but of what lies between lines nothing is an output.
        let (lanes, width) = (isa.lanes(), axes[1].output);
        let between = Planes::new(axes, 1, true).pitch() - width;
        let (of_line, of_next) = (lanes.min(width), lanes.saturating_sub(width + between).min(width));
        if (of_line + of_next) * 4 < lanes {
            return None;
        }
        let lines = axes[0].output;
        let toom = Toom::new(isa, dims, axes);
        let band = lines.div_ceil(dims.out_area().div_ceil(BAND).min(lines));
        let band = band.next_multiple_of(toom.map_or(1, |toom| toom.outputs()));
        Some(Self { dims, isa, axes, toom, band })
    }

    /// Floats of scratch: the packed weights.
    pub fn scratch_len(&self) -> usize {
        self.dims.group * self.weights_len()
    }

    /// Floats of the packed weights of a group.
    fn weights_len(&self) -> usize {
        self.toom.map_or(self.dims.group_out() * self.dims.depth(), |toom| toom.weights_len())
    }

    /// output = input * weights, then the epilogue.
    pub fn run(
        &self,
        input: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let dims = self.dims;
        let (m, k, area) = (dims.group_out(), dims.depth(), dims.out_area());
        let packed = &mut scratch[..self.scratch_len()];
        let len = self.weights_len();
        for (weights, packed) in weights.chunks(m * k).zip(packed.chunks_mut(len)) {
            match &self.toom {
                Some(toom) => toom.pack(weights, packed),
                None => pack::rows(self.isa, &Matrix::row_major(weights, k), 0..m, 0..k, packed),
            }
        }
        let packed = &*packed;
        parallel::for_chunks_mut(output, m * area, |start, output| {
            let (index, values) = (start / (m * area), dims.group_in() * dims.in_area());
            let group = index % dims.group;
            let image = &input[index * values..][..values];
            let weights = &packed[group * len..][..len];
            let epilogue = epilogue.rows(group * m..(group + 1) * m);
            let (width, c) = (self.axes[1].output, MatMut::new(output, m, area, area));
            parallel::for_column_blocks(c, self.band * width, &|first, c| match &self.toom {
                Some(toom) => toom.band(image, first / width, weights, epilogue, c),
                None => self.band(image, first / width, weights, epilogue, c),
            });
        });
    }

    /// The outputs of a group from line `first` on, of which `c` holds as many as its columns.
    fn band(&self, image: &[f32], first: usize, weights: &[f32], epilogue: Epilogue<'_>, c: MatMut<'_>) {
        let (dims, lanes) = (self.dims, self.isa.lanes());
        let (k, width) = (dims.depth(), self.axes[1].output);
        let lines = c.cols() / width;
        let planes = Planes::new(self.axes, lines, true);
        let mut offsets = [0; TAPS];
        let offsets = &mut offsets[..k];
        planes.fill_taps(offsets);
        let len = dims.group_in() * planes.channel_len();
        scratch::lend(len + lanes, |data| {
            planes.fill(self.isa, image, first, &mut data[..len]);
            // Lanes beyond the last output are read.
            data[len..].fill(0.0);
            let outputs = Outputs {
                isa: self.isa,
                data,
                offsets,
                weights,
                epilogue,
                size: (lines, width),
                pitch: planes.pitch(),
            };
            outputs.run(c);
        });
    }
}

/// A group's outputs, straight from planes.
pub struct Outputs<'a> {
    pub isa: Isa,
    /// The planes, and a register more.
    pub data: &'a [f32],
    /// Where each tap reads for the first output.
    pub offsets: &'a [u32],
    /// For each panel of rows, for each tap, one value a row.
    pub weights: &'a [f32],
    pub epilogue: Epilogue<'a>,
    /// Lines of outputs, and their width.
    pub size: (usize, usize),
    /// Distance between lines in the planes.
    pub pitch: usize,
}

impl Outputs<'_> {
    /// Overwrites the rows.
    pub fn run(&self, mut c: MatMut<'_>) {
        let (k, rows, cols) = (self.offsets.len(), c.rows(), c.cols());
        let mut next = (cols > 0).then_some((0, 0));
        while next.is_some() {
            let (mut spots, mut count) = ([Spot::default(); SPOTS], 0);
            while let Some(at) = next.filter(|_| count < SPOTS) {
                (spots[count], next) = spot(at, self.isa.lanes(), self.size, self.pitch);
                count += 1;
            }
            for panel in panels(rows, self.isa.tile_rows()) {
                let factors = Direct {
                    data: self.data,
                    offsets: self.offsets,
                    weights: &self.weights[panel.start * k..panel.end * k],
                    spots: &spots[..count],
                    epilogue: self.epilogue.rows(panel.clone()),
                };
                simd::direct(self.isa, &factors, c.block(panel.clone(), 0..cols));
            }
        }
    }
}

/// The register whose lane 0 is output `(y, x)`, and the first output after it.
fn spot(
    (y, x): (usize, usize),
    lanes: usize,
    (lines, width): (usize, usize),
    pitch: usize,
) -> (Spot, Option<(usize, usize)>) {
    let (first, skip) = (lanes.min(width - x), pitch - width);
    let more = if y + 1 < lines { (lanes - first).saturating_sub(skip).min(width) } else { 0 };
    let skip = if more > 0 { skip } else { 0 };
    let spot = Spot { from: y * pitch + x, to: y * width + x, first, skip, rest: more };
    let (y, x) = if more > 0 { (y + 1, more) } else { (y, x + first) };
    let (y, x) = if x == width { (y + 1, 0) } else { (y, x) };
    (spot, (y < lines).then_some((y, x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_cover_all_outputs_once() {
        for (lines, width, pitch) in
            [(1, 1, 1), (3, 24, 28), (4, 16, 18), (9, 2, 3), (5, 31, 31), (2, 17, 40)]
        {
            for lanes in [4, 8, 16] {
                let (mut next, mut columns) = (Some((0, 0)), 0);
                while let Some(at) = next {
                    let (spot, after) = spot(at, lanes, (lines, width), pitch);
                    assert_eq!(spot.to, columns);
                    let places =
                        (0..spot.first).chain(spot.first + spot.skip..spot.first + spot.skip + spot.rest);
                    for place in places {
                        assert!(place < lanes);
                        assert_eq!(spot.from + place, columns / width * pitch + columns % width);
                        columns += 1;
                    }
                    next = after;
                }
                assert_eq!(columns, lines * width);
            }
        }
    }
}
