//! Forward: for each image and group C (one row a channel, one column an output) = weights times the image's taps.
//!
//! The matrix of taps (`im2col`) is never stored: a block of outputs and taps is gathered from the planes into the
//! second-level cache, used for all rows of weights, and forgotten. Where planes are rows of a matrix (1 x 1) that is a
//! copy line by line. Weights are packed once a batch, or, where they meet few outputs, read as they are.
//!
//! A task is an image and group, or a band of it. Images that would leave registers part empty are taken together, 7 of
//! 7 x 7 or 2 of 14 x 14: their outputs follow one another in a block, and a tile writes to each image what it has of
//! it, straight from registers. Where that makes few tasks, a block is packed once and its rows of weights are cut,
//! too.

use std::ops::Range;

use super::lines::Lines;
use super::{Onto, Place, WORK};
use crate::kernels::gemm::{DEPTH, pack, panels};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{
    self, Columns, Epilogue, ImagesMut, Isa, MOST_COLS, MOST_LANES, Mat, Next, Piece, Tiles,
};

/// Outputs of a task: enough to outweigh the margins of its planes, few enough for planes and C to stay near.
const BAND: usize = 1024;
/// Images are taken together up to so many outputs, and those of fewer than the least always.
const TOGETHER: usize = 512;
const LEAST: usize = 128;
/// Products of an output that take longer than to write it.
const MANY_TAPS: usize = 128;
/// Lanes in a hundred that are used where enough images are together.
const FILLED: usize = 97;
/// Values of a block of taps and outputs, which stays in the second-level cache; twice as many where the weights do not, and
/// would be read more often.
const BLOCK: usize = 1 << 17;
/// Of that a block has this part where the next one is fetched meanwhile: both stay there, beside what else passes.
const FETCHED: usize = 4;
/// Enough tasks for every thread of a large machine; where images and bands are fewer, rows are cut, too.
const TASKS: usize = 64;

/// How many tasks may share the rows of each of `units` images or bands.
pub fn row_tasks(units: usize) -> usize {
    (TASKS / units.max(1)).max(1)
}

/// How many images of `outputs` values a channel are taken together, of `batch`: the fewest that fill their registers.
/// Where an image has a good many outputs, of few `taps`, it is better written from end to end.
pub fn images_together(batch: usize, outputs: usize, taps: usize) -> usize {
    if outputs >= LEAST && taps < MANY_TAPS {
        return 1;
    }
    let filled = |images: usize| {
        let values = (images * outputs).max(1);
        100 * values / values.next_multiple_of(MOST_LANES)
    };
    let most = (TOGETHER / outputs.max(1)).clamp(1, batch.max(1));
    let least = LEAST.div_ceil(outputs.max(1)).min(most);
    let full = (least..=most).find(|&images| filled(images) >= FILLED);
    full.or_else(|| (least..=most).max_by_key(|&images| filled(images))).unwrap_or(1)
}

/// A group's weights.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// As [`super::weights`] packs them.
    Packed(&'a [f32]),
    /// As they are: of so few outputs to pack them would take as long as to multiply.
    Rows(&'a [f32]),
}

impl<'a> Weights<'a> {
    /// `len` of them from `start` on.
    fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::Packed(all) => Self::Packed(&all[start..][..len]),
            Self::Rows(all) => Self::Rows(&all[start..][..len]),
        }
    }

    /// Those of `rows` for `k` taps from number `depth` on, of `m` rows of `all` taps: values, and the distance between taps and
    /// between rows.
    fn panel(self, rows: &Range<usize>, m: usize, [depth, k, all]: [usize; 3]) -> (&'a [f32], usize, usize) {
        match self {
            Self::Packed(packed) => {
                (&packed[depth * m + rows.start * k..depth * m + rows.end * k], rows.len(), 1)
            }
            Self::Rows(weights) => (&weights[rows.start * all + depth..rows.end * all], 1, all),
        }
    }

    /// What follows that panel, if it lies together.
    fn after(self, rows: &Range<usize>, m: usize, [depth, k, _]: [usize; 3]) -> &'a [f32] {
        match self {
            Self::Packed(packed) => &packed[depth * m + rows.end * k..(depth + k) * m],
            Self::Rows(_) => &[],
        }
    }
}

/// A convolution of some images.
#[derive(Clone, Copy)]
pub struct Convolve<'a> {
    pub isa: Isa,
    pub lines: &'a Lines,
    /// Input channels of a group.
    pub channels: usize,
    /// The first image's group; the next follows `image_stride` later.
    pub input: &'a [f32],
    pub image_stride: usize,
    pub weights: Weights<'a>,
    pub epilogue: Epilogue<'a>,
    pub onto: Onto<'a>,
    /// How many tasks may share the rows of a block.
    pub row_tasks: usize,
}

/// The images' planes, `image` apart, each channel's `channel` apart.
struct Planes<'a> {
    values: &'a [f32],
    image: usize,
    channel: usize,
}

/// Packed taps, from number `depth` on, of the outputs `cols`.
struct Block<'a> {
    depth: usize,
    k: usize,
    cols: Range<usize>,
    values: &'a [f32],
    /// What is packed after them, a row for each tap; of planes that are matrices.
    next: Option<Mat<'a>>,
}

impl Convolve<'_> {
    /// Overwrites `rows` rows of each image of `output`, those at `place`, for all threads; `self` describes all images and groups.
    pub fn run_groups(&self, groups: usize, rows: usize, place: Place, output: &mut [f32]) {
        let area = self.lines.outputs();
        let image = place.of * area;
        let batch = output.len() / image.max(1);
        let together = images_together(batch, area, self.channels * self.lines.taps());
        let m = rows / groups;
        let (in_group, weights) =
            (self.channels * self.lines.inputs(), m * self.channels * self.lines.taps());
        let row_tasks = row_tasks(groups * batch.div_ceil(together) * self.band_count());
        parallel::for_chunks_mut(output, together * image, |start, output| {
            let beside = self.onto.part(start, output.len());
            let c = ImagesMut::new(output, output.len() / image, place.of, area).where_above_0(beside);
            let c = c.split_rows(place.first).1.split_rows(rows).0;
            parallel::for_row_blocks(c, m, &|first, c| {
                let group = first / m;
                let of_group = Convolve {
                    input: &self.input[start / image * self.image_stride + group * in_group..],
                    weights: self.weights.part(group * weights, weights),
                    epilogue: self.epilogue.rows(first..first + m),
                    row_tasks,
                    ..*self
                };
                let outer = self.lines.outer_outputs();
                let (band, line) = (outer.div_ceil(self.band_count()), area / outer.max(1));
                parallel::for_column_blocks(c, band * line, &|first, c| {
                    let lines = self.lines.band(first / line..(first + c.cols()) / line);
                    Convolve { lines: &lines, ..of_group }.run(c);
                });
            });
        });
    }

    /// Bands of the outermost axis that large images are cut into.
    fn band_count(&self) -> usize {
        self.lines.outputs().div_ceil(BAND).min(self.lines.outer_outputs()).max(1)
    }

    /// Overwrites `c`, whose columns are the outputs of `lines`.
    pub fn run(&self, mut c: ImagesMut<'_>) {
        let k = self.channels * self.lines.taps();
        if k == 0 || c.rows() == 0 {
            return self.without_taps(&mut c);
        }
        let n = c.images() * self.lines.outputs();
        let panel_len = DEPTH.min(k) * self.block_cols(k, c.rows()).min(n.next_multiple_of(self.isa.lanes()));
        if let Some(start) = self.lines.in_place() {
            let (image, channel) = (self.image_stride, self.lines.inputs());
            let planes = Planes { values: &self.input[start..], image, channel };
            scratch::lend(panel_len, |panel| self.blocks(&planes, panel, &mut c));
        } else {
            let channel = self.lines.plane_len();
            let image = self.channels * channel;
            scratch::lend(panel_len + c.images() * image, |scratch| {
                let (panel, values) = scratch.split_at_mut(panel_len);
                self.fill_planes(values, channel);
                self.blocks(&Planes { values, image, channel }, panel, &mut c);
            });
        }
    }

    /// Copies the planes of all images.
    fn fill_planes(&self, values: &mut [f32], channel: usize) {
        let inputs = self.lines.inputs();
        parallel::for_chunks_mut(values, self.channels * channel, |start, planes| {
            let input = &self.input[start / (self.channels * channel) * self.image_stride..];
            let part = self.channels.div_ceil(self.row_tasks) * channel;
            parallel::for_chunks_mut(planes, part, |start, planes| {
                self.lines.fill_planes(self.isa, &input[start / channel * inputs..], planes);
            });
        });
    }

    /// An empty sum: only the epilogue.
    fn without_taps(&self, c: &mut ImagesMut<'_>) {
        for image in 0..c.images() {
            for i in 0..c.rows() {
                c.row(image, i).fill(self.epilogue.of_zero(self.isa, i));
            }
        }
    }

    /// Columns of a block: as many as its taps leave room for; one panel where it is used only once.
    fn block_cols(&self, k: usize, rows: usize) -> usize {
        let panel = self.isa.tile_cols();
        if rows <= self.isa.tile_rows() && !self.lines.is_matrix() {
            return panel;
        }
        let depth = DEPTH.min(k).max(1);
        let mut block = if rows * depth < BLOCK { BLOCK } else { 2 * BLOCK };
        if self.fetches_next() {
            block /= FETCHED;
        }
        (block / depth / panel * panel).max(panel)
    }

    /// Whether what a block packs is fetched while the one before it is multiplied.
    fn fetches_next(&self) -> bool {
        /// Fewer channels are packed in less time than fetching them takes; of smaller planes blocks hold many images'.
        const CHANNELS: usize = 128;
        const OUTPUTS: usize = 256;
        self.lines.is_matrix() && self.channels >= CHANNELS && self.lines.outputs() >= OUTPUTS
    }

    /// What a block from output number `start` on packs, a row for each tap; to the end of an image if there are `wide` outputs.
    fn rows_from<'p>(&self, planes: &Planes<'p>, offsets: &[u32], start: usize, wide: usize) -> Mat<'p> {
        let outputs = self.lines.outputs();
        let (image, col) = (start / outputs, start % outputs);
        let values = &planes.values[image * planes.image + offsets[0] as usize + col..];
        Mat::new(values, offsets.len(), wide.min(outputs - col), planes.channel)
    }

    /// Sums the blocks of taps, in order.
    fn blocks(&self, planes: &Planes<'_>, block: &mut [f32], c: &mut ImagesMut<'_>) {
        let (m, n) = (c.rows(), c.images() * self.lines.outputs());
        let all = self.channels * self.lines.taps();
        let wide = self.block_cols(all, m);
        let panel_count = m.div_ceil(self.isa.tile_rows());
        let mut offsets = [0; DEPTH];
        for depth in (0..all).step_by(DEPTH) {
            let k = DEPTH.min(all - depth);
            let offsets = &mut offsets[..k];
            self.lines.fill_tap_offsets(depth, planes.channel, offsets);
            for j in (0..n).step_by(wide) {
                let cols = j..n.min(j + wide);
                let values = &mut block[..k * cols.len().next_multiple_of(self.isa.lanes())];
                self.pack(planes, offsets, cols.clone(), values);
                let tasks = (m * k * cols.len() / WORK).clamp(1, self.row_tasks.min(panel_count));
                let first_panel = |task: usize| task * panel_count / tasks;
                let first_row = |task| pack::panel_start(m, self.isa.tile_rows(), first_panel(task));
                let more = self.fetches_next() && cols.end < n;
                let next = more.then(|| self.rows_from(planes, offsets, cols.end, wide));
                let block = Block { depth, k, cols, values, next };
                parallel::for_row_parts(c.again(), 0..tasks, &first_row, &|task, mut c| {
                    self.tiles(&block, first_row(task), m, &mut c);
                });
            }
        }
    }

    /// Multiplies a block by the weights of `c`'s rows, which are those from `first` on, of `m`.
    fn tiles(&self, block: &Block<'_>, first: usize, m: usize, c: &mut ImagesMut<'_>) {
        let Block { depth, k, ref cols, values, next } = *block;
        let all = self.channels * self.lines.taps();
        let (last, taps) = (depth + k == all, [depth, k, all]);
        let end = first + c.rows();
        for rows in panels(m, self.isa.tile_rows()).filter(|rows| first <= rows.start && rows.start < end) {
            // The next rows' weights may lie in slow memory; and each row of tiles fetches some rows of the next block.
            let part = |row: usize| row * k / m;
            let to_pack = next.map(|all| all.block(part(rows.start)..part(rows.end), 0..all.cols()));
            let next = Next { values: self.weights.after(&rows, m, taps), rows: to_pack };
            let (a, a_stride, a_row) = self.weights.panel(&rows, m, taps);
            // Along the rows of C, which then stream through the cache.
            let tiles = Tiles {
                k,
                a,
                a_stride,
                a_row,
                b: Columns::Panels(values),
                alpha: 1.0,
                beta: if depth == 0 && self.onto == Onto::Nothing { 0.0 } else { 1.0 },
                epilogue: if last { self.epilogue.rows(rows.clone()) } else { Epilogue::default() },
            };
            let rows = rows.start - first..rows.end - first;
            simd::multiply_across(self.isa, &tiles, next, c, rows, cols.clone());
        }
    }

    /// The tiles' columns of a block.
    fn panels(&self, cols: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (wide, end) = (self.isa.tile_cols(), cols.end);
        cols.clone().step_by(wide).map(move |start| start..end.min(start + wide))
    }

    /// Packs the taps at `offsets` of the outputs `cols`, panel by panel.
    fn pack(&self, planes: &Planes<'_>, offsets: &[u32], cols: Range<usize>, block: &mut [f32]) {
        /// Panels that one task packs, where rows are shared.
        const PANELS: usize = 4;
        let k = offsets.len();
        let part = if self.row_tasks > 1 { PANELS * self.isa.tile_cols() * k } else { block.len() };
        parallel::for_chunks_mut(block, part, |start, block| {
            let cols = cols.start + start / k..cols.end.min(cols.start + (start + block.len()) / k);
            if self.lines.is_matrix() {
                return self.copy(planes, offsets, cols, block);
            }
            for panel in self.panels(&cols) {
                self.gather(planes, offsets, panel.clone(), &mut block[(panel.start - cols.start) * k..]);
            }
        });
    }

    /// Packs outputs `cols` where planes are rows of a matrix, image by image.
    fn copy(&self, planes: &Planes<'_>, offsets: &[u32], cols: Range<usize>, block: &mut [f32]) {
        let outputs = self.lines.outputs();
        let mut at = cols.start;
        while at < cols.end {
            let (image, col) = (at / outputs, at % outputs);
            let data = &planes.values[image * planes.image + offsets[0] as usize + col..];
            let end = cols.end.min(at + outputs - col);
            let place = at - cols.start..end - cols.start;
            simd::copy_panels(self.isa, data, planes.channel, offsets.len(), place, block);
            at = end;
        }
    }

    /// Packs the taps at `offsets` of the outputs `cols`.
    fn gather(&self, planes: &Planes<'_>, offsets: &[u32], cols: Range<usize>, panel: &mut [f32]) {
        let lanes = self.isa.lanes();
        // A panel may consist of as many pieces as it has columns.
        let (mut pieces, mut count) = ([Piece::default(); MOST_COLS], 0);
        self.lines.for_runs(cols.clone(), planes.image, MOST_COLS, |at, from, len| {
            for i in (0..len).step_by(lanes) {
                pieces[count] = Piece { lane: at - cols.start + i, from: from + i, len: lanes.min(len - i) };
                count += 1;
            }
        });
        let width = cols.len().next_multiple_of(lanes);
        simd::gather(self.isa, planes.values, offsets, &pieces[..count], width, panel);
    }
}
