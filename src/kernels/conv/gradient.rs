//! The weights' gradient: for every tap and output channel, the input times the output's gradient, summed over
//! positions and images.
//!
//! A tile's rows of taps are broadcast from the plane, times two registers of channels of the output's gradient, of
//! which some positions are packed at once, and as many images are summed. Of two matrices (1 x 1) the smaller is
//! packed; or, where weights are so many that one sum of each makes tasks enough, the input: then tiles are added to
//! the gradient itself, and each row of the output's gradient is read once.
//!
//! Work is cut into blocks of channels, and where taps are few times splits of the batch, by the shape alone. Each sums
//! its images in order into sums of its own (one row a tap, one column a channel), some rows a task, once it has packed
//! what all its rows need; those of the splits, `splits * weights` floats of scratch, are added to the gradient in
//! order.

use std::ops::Range;

mod sums;

use super::lines::{Line, Lines};
use super::{ConvDims, WORK};
use crate::kernels::gemm::{pack, panels};
use crate::kernels::parallel::{self, Rows};
use crate::kernels::scratch;
use crate::kernels::simd::{self, Epilogue, Isa, MatMut, Outer, Run, Transposed};
use sums::Sums;

/// Tasks that are enough for every thread of a large machine; more splits of the batch would only cost memory.
const TASKS: usize = 64;
/// Panels of channels in a task, which share its planes.
const PANELS: usize = 2;
/// Positions whose sums stay in registers, at most; and the least that a split has, on average.
const POSITIONS: usize = 512;
const LEAST: usize = 256;
/// Runs of that many positions.
const RUNS: usize = 64;
/// Such steps whose right factor is packed at a time, so that rows of the left are read in long pieces.
const STEPS: usize = 2;
/// Blocks of channels that each copy the planes they read, unless these are small: for more it is done once, which takes
/// memory.
const MOST_COPIES: usize = 2;
/// Taps whose offsets are worked out at a time.
const TAPS: usize = 256;
/// Rows that are a task at each step.
const SHARE: usize = 64;
/// Values of the right factor that stay in the second-level cache while all rows of the left meet them.
const NEAR: usize = 1 << 18;
/// Outputs of a plane: enough to outweigh its margins, few enough to stay near.
const BAND: usize = 1024;

/// One of the two blobs: its channels, those of a group, the values of a channel, those before the first, and from image to image.
#[derive(Clone, Copy)]
struct Side {
    channels: usize,
    group: usize,
    area: usize,
    start: usize,
    image: usize,
}

/// What sums are taken of: a split's images, and of a group the columns from `channel` on.
struct Part {
    split: usize,
    group: usize,
    channel: usize,
}

/// Positions whose right factor is packed, and their runs.
#[derive(Clone, Copy, Default)]
struct Step {
    positions: usize,
    first: usize,
    end: usize,
}

/// Planes of images, each image's `image` apart, each channel's `channel` apart.
struct Planes<'a> {
    lines: &'a Lines,
    values: &'a [f32],
    image: usize,
    channel: usize,
    /// The outputs to sum over, counted over images.
    outputs: Range<usize>,
}

/// How the work is cut.
pub struct Cut<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    lines: Lines,
    /// Whose taps are the rows of the sums, read in place; and whose channels are their columns, packed.
    left: Side,
    right: Side,
    /// Whether the left side is the output's gradient: where both sides are plain matrices, the smaller is packed.
    exchanged: bool,
    /// Whether sums are added to the gradient at once, tile by tile: then the left side is the output's gradient, too.
    direct: bool,
    /// Columns of a group, rounded up to registers.
    channels: usize,
    /// Parts of the batch with sums of their own.
    splits: usize,
    /// Outputs of the outermost axis in a band, and how many bands an image has.
    band: usize,
    bands: usize,
    /// Images taken together.
    together: usize,
    /// Values of the planes of all images, which are made once where many tasks read each.
    planes: usize,
}

impl<'a> Cut<'a> {
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Self {
        let lines = Lines::new(dims.axes.iter().map(Line::forward));
        let outer = lines.outer_outputs();
        let band = outer.div_ceil(lines.outputs().div_ceil(BAND).clamp(1, outer.max(1)));
        let bands = outer.div_ceil(band.max(1));
        let side = |channels: usize, area: usize, [start, image]: [usize; 2]| Side {
            channels,
            group: channels / dims.group,
            area,
            start,
            image,
        };
        let input = side(dims.in_channels, dims.in_area(), [0, dims.in_channels * dims.in_area()]);
        let output = side(dims.out_channels, dims.out_area(), dims.out_start_and_image());
        let padded = |side: &Side| side.group.next_multiple_of(isa.lanes());
        // A packed value costs about as much as ten products with it.
        let cost = |left: &Side, right: &Side| (left.group + 10) * padded(right);
        let matrices = lines.is_matrix() && lines.in_place().is_some();
        let exchanged = matrices && cost(&output, &input) < cost(&input, &output);
        let (left, right) = if exchanged { (output, input) } else { (input, output) };
        let channels = padded(&right);
        let blocks = dims.group * channels.div_ceil(PANELS * isa.tile_cols()).max(1);
        let most_copies = if lines.plane_len() <= left.area / 2 { 1 } else { MOST_COPIES };
        let once = lines.in_place().is_none() && blocks / dims.group > most_copies;
        let planes = if once { dims.batch * left.channels * lines.plane_len() } else { 0 };
        let shares = (left.group * lines.taps() / SHARE).max(1);
        let splits = (TASKS / (blocks * shares)).min(dims.batch * lines.outputs() / LEAST).max(1);
        // As many images as are packed at a time, if the splits leave so many.
        let at_a_time = STEPS * POSITIONS / lines.outputs().max(1);
        let together = if bands > 1 { 1 } else { at_a_time.min(dims.batch.div_ceil(splits)).max(1) };
        let splits = splits.min(dims.batch.div_ceil(together) * bands);
        let direct = matrices && splits == 1;
        let (left, right) = if direct { (output, input) } else { (left, right) };
        Self {
            dims,
            isa,
            lines,
            left,
            right,
            exchanged,
            direct,
            channels,
            splits,
            band,
            bands,
            together,
            planes,
        }
    }

    /// Groups of images, or bands of one: what the splits share out.
    fn units(&self) -> usize {
        self.dims.batch.div_ceil(self.together) * self.bands
    }

    /// Floats of scratch: the splits' sums and the planes.
    pub fn scratch_len(&self) -> usize {
        if self.direct { 0 } else { self.splits * self.split_len() + self.planes }
    }

    fn split_len(&self) -> usize {
        self.dims.group * self.rows() * self.channels
    }

    /// Rows of a group's sums: the left side's taps.
    fn rows(&self) -> usize {
        self.left.group * self.lines.taps()
    }

    /// Adds the gradient.
    pub fn run(&self, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32], scratch: &mut [f32]) {
        if self.direct {
            return self.add_directly(input, top_diff, weight_diff);
        }
        let k = self.rows();
        let (planes, sums) = scratch[..self.scratch_len()].split_at_mut(self.planes);
        if sums.is_empty() {
            return;
        }
        let (left, right) = if self.exchanged { (top_diff, input) } else { (input, top_diff) };
        let left = self.planes(left, planes);
        let block = k * PANELS * self.isa.tile_cols();
        parallel::for_chunks_mut(sums, k * self.channels, |start, sums| {
            let (split, group) = (start / self.split_len(), start / (k * self.channels) % self.dims.group);
            parallel::for_chunks_mut(sums, block, |start, sums| {
                let sums = Sums::new(sums, k, self.isa.tile_cols());
                self.sum(&left, right, &Part { split, group, channel: start / k }, sums);
            });
        });
        let (first, others) = sums.split_at_mut(self.split_len());
        parallel::for_chunks_mut(first, parallel::CHUNK, |start, first| {
            for other in others.chunks_exact(self.split_len()) {
                first.iter_mut().zip(&other[start..]).for_each(|(a, b)| *a += b);
            }
        });
        let group = self.right.group * k;
        parallel::for_chunks_mut(weight_diff, group, |start, diff| {
            self.add_sums(&first[start / group * k * self.channels..][..k * self.channels], diff);
        });
    }

    /// Adds the gradient where both sides are matrices: as many columns at a time as stay near while all rows meet them.
    fn add_directly(&self, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32]) {
        let (m, n, panel) = (self.left.group, self.right.group, self.isa.tile_cols());
        let positions = (self.together * self.lines.outputs()).clamp(1, STEPS * POSITIONS);
        let block = (NEAR / positions / panel).max(1) * panel;
        let left = self.planes(top_diff, &mut []);
        parallel::for_chunks_mut(weight_diff, m * n, |start, diff| {
            let group = start / (m * n);
            parallel::for_column_blocks(MatMut::new(diff, m, n, n), block, &|channel, diff| {
                let sums = Sums::rows_of(diff, self.isa.lanes());
                self.sum(&left, input, &Part { split: 0, group, channel }, sums);
            });
        });
    }

    /// Adds a group's sums, which are panels of columns, a row a tap, to its gradient.
    fn add_sums(&self, sums: &[f32], diff: &mut [f32]) {
        let (k, n, panel) = (self.rows(), self.right.group, self.isa.tile_cols());
        if self.exchanged {
            return parallel::for_chunks_mut(diff, n, |start, row| {
                for (first, row) in row.chunks_mut(panel).enumerate() {
                    let width = panel.min(self.channels - first * panel);
                    let sums = &sums[first * panel * k + start / n * width..];
                    row.iter_mut().zip(sums).for_each(|(d, s)| *d += s);
                }
            });
        }
        parallel::for_chunks_mut(diff, panel * k, |start, diff| {
            let channel = start / k;
            let width = panel.min(self.channels - channel);
            let rows = diff.len() / k;
            let how = Transposed { stride: width, add: true, epilogue: Epilogue::default() };
            simd::transpose(self.isa, &sums[channel * k..], how, MatMut::new(diff, rows, k, k));
        });
    }

    /// The planes of all images, where they are made at once; else the images.
    fn planes<'p>(&'p self, left: &'p [f32], planes: &'p mut [f32]) -> Planes<'p> {
        let (lines, side) = (&self.lines, self.left);
        if planes.is_empty() {
            let (values, image) = (&left[side.start..], side.image);
            return Planes { lines, values, image, channel: side.area, outputs: 0..0 };
        }
        let channel = lines.plane_len();
        parallel::for_chunks_mut(planes, channel * parallel::planes_per_chunk(channel), |start, planes| {
            lines.fill_planes(self.isa, &left[start / channel * side.area..], planes);
        });
        Planes { lines, values: planes, image: side.channels * channel, channel, outputs: 0..0 }
    }

    /// Sums one part: for each panel of columns, a row a tap. `left` are planes, or images to copy planes from.
    fn sum(&self, left: &Planes<'_>, right: &[f32], part: &Part, mut sums: Sums<'_>) {
        let (group, units) = (self.left.group, self.units());
        let line = self.lines.outputs() / self.lines.outer_outputs();
        let mut add = self.direct;
        for unit in part.split * units / self.splits..(part.split + 1) * units / self.splits {
            let image = unit / self.bands * self.together;
            let images = self.together.min(self.dims.batch - image);
            let outer = unit % self.bands * self.band;
            let outer = outer..(outer + self.band).min(self.lines.outer_outputs());
            let row = part.group * self.right.group + part.channel;
            let right = &right[self.right.start + image * self.right.image + row * self.right.area..];
            let values = &left.values[image * left.image + part.group * group * left.channel..];
            if self.planes > 0 || self.lines.in_place().is_some() {
                let outputs = outer.start * line..(images - 1) * self.lines.outputs() + outer.end * line;
                let planes = Planes { values, outputs, ..*left };
                self.add_images(&planes, right, part, add, &mut sums);
            } else {
                let lines = self.lines.band(outer.clone());
                let channel = lines.plane_len();
                let image = group * channel;
                scratch::lend(images * image, |copied| {
                    for (values, planes) in values.chunks(left.image).zip(copied.chunks_exact_mut(image)) {
                        lines.fill_planes(self.isa, &values[..group * left.channel], planes);
                    }
                    let outputs = 0..images * lines.outputs();
                    let planes = Planes { lines: &lines, values: copied, image, channel, outputs };
                    self.add_images(&planes, &right[outer.start * line..], part, add, &mut sums);
                });
            }
            add = true;
        }
    }

    /// Adds the planes' outputs.
    fn add_images(
        &self,
        planes: &Planes<'_>,
        right: &[f32],
        part: &Part,
        mut add: bool,
        sums: &mut Sums<'_>,
    ) {
        let outputs = &planes.outputs;
        let block = sums.cols();
        scratch::lend(block * outputs.len().min(STEPS * POSITIONS), |packed| {
            let mut at = outputs.start;
            while at < outputs.end {
                let (mut runs, mut steps, mut count) = ([Run::default(); RUNS], [Step::default(); STEPS], 0);
                let mut used = 0;
                while count < STEPS && at < outputs.end && used < RUNS {
                    let (start, first) = (at, used);
                    let end = outputs.end.min(at + POSITIONS);
                    at = planes.lines.for_runs(at..end, planes.image, RUNS - used, |_, from, len| {
                        runs[used] = Run { from, len };
                        used += 1;
                    });
                    let packed = &mut packed[block * POSITIONS * count..][..block * (at - start)];
                    self.pack(planes, right, part.channel, start..at, packed);
                    steps[count] = Step { positions: at - start, first, end: used };
                    count += 1;
                }
                self.add_steps(planes, (&runs, &steps[..count]), packed, add, sums);
                add = true;
            }
        });
    }

    /// Adds the steps, in order, to the sums of one tile after the other.
    fn add_steps(
        &self,
        planes: &Planes<'_>,
        (runs, steps): (&[Run], &[Step]),
        packed: &[f32],
        add: bool,
        sums: &mut Sums<'_>,
    ) {
        let (isa, block, rows) = (self.isa, sums.cols(), sums.rows());
        let near = planes.lines.taps() == 1 && planes.channel <= LEAST;
        let positions: usize = steps.iter().map(|step| step.positions).sum();
        let panel_count = rows.div_ceil(isa.tile_rows());
        let tasks = (rows * block * positions / WORK).clamp(rows.div_ceil(TAPS / 2), panel_count);
        let first_row = |task| pack::panel_start(rows, isa.tile_rows(), task * panel_count / tasks);
        parallel::for_row_parts(sums.again(), 0..tasks, &first_row, &|task, mut sums| {
            let mut offsets = [0; TAPS];
            let offsets = &mut offsets[..sums.rows()];
            planes.lines.fill_tap_offsets(first_row(task), planes.channel, offsets);
            let mut tile = |panel: usize, rows: Range<usize>| {
                let width = isa.tile_cols().min(block - panel);
                // Rows of small images are short pieces in slow memory.
                let ahead = if near && panel == 0 { rows.len() * planes.channel } else { 0 };
                for (i, step) in steps.iter().enumerate() {
                    let b = &packed[block * POSITIONS * i + panel * step.positions..];
                    let factors = Outer {
                        data: planes.values,
                        offsets: &offsets[rows.clone()],
                        runs: &runs[step.first..step.end],
                        b: &b[..width * step.positions],
                        add: add || i > 0,
                        longest: None,
                        next: &[],
                    };
                    simd::outer_ahead(isa, &factors, ahead, sums.tile(panel, width, rows.clone()));
                }
            };
            let (cols, rows) = ((0..block).step_by(isa.tile_cols()), panels(offsets.len(), isa.tile_rows()));
            if self.direct {
                // Rows of the left stay in the first-level cache.
                rows.for_each(|rows| cols.clone().for_each(|panel| tile(panel, rows.clone())));
            } else {
                cols.for_each(|panel| rows.clone().for_each(|rows| tile(panel, rows)));
            }
        });
    }

    /// Packs the right side at `positions`: for each panel of channels, for each position, one value a channel.
    fn pack(
        &self,
        planes: &Planes<'_>,
        right: &[f32],
        channel: usize,
        positions: Range<usize>,
        packed: &mut [f32],
    ) {
        let (isa, area, outputs) = (self.isa, self.right.area, planes.lines.outputs());
        parallel::for_chunks_mut(packed, isa.tile_cols() * positions.len(), |start, packed| {
            let (first, width) = (start / positions.len(), packed.len() / positions.len());
            let valid = width.min(self.right.group - channel - first);
            let mut at = positions.start;
            while at < positions.end {
                let (image, position) = (at / outputs, at % outputs);
                let len = (outputs - position).min(positions.end - at);
                let from = &right[image * self.right.image + first * area + position..];
                let to = &mut packed[(at - positions.start) * width..][..len * width];
                simd::interleave(isa, from, area, valid, width, to);
                at += len;
            }
        });
    }
}
