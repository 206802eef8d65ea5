//! Fast convolution (Winograd, Toom-Cook) for kernels that are square or a line: fewer multiplications, by sums.
//!
//! The output is cut into tiles of `side x side`, `side + taps = points + 1`. At each of `points x points` points the
//! channels of a tile's input times a matrix of weights are the tile's products, from which its outputs are sums. So
//! 3 x 3 taps take 36 products for 16 outputs instead of 144, and 5 x 5 take 64 for 16 instead of 400. Of one row or
//! column of taps tiles are lines at as many points: 1 x 3 takes 6 products for 4 outputs instead of 12. The transforms
//! go over a register of channels at a time: neither the size of the image nor its margins leave lanes empty. With a
//! dilation of d the values of a tile are d apart, and d x d tiles, each a position further, fill a block of the image
//! together. Kernels that stride or are larger are several ([`parts`]), summed at the points; of the gradient of an
//! input that was strided over, each part makes the positions of one remainder, a phase, of the same tiles of the
//! output's gradient.

mod blocks;
mod gradient;
mod outputs;
mod parts;
mod passing;
mod product;
mod source;
mod spread;
mod weights;

use parts::Parts;
use source::{Points, Source};

use super::{ConvAxis, ConvDims, Epilogue, WORK};
use crate::kernels::simd::{Grid, Isa};

/// Channels that a task transforms: some registers.
const CHANNELS: usize = 32;

/// Products that a point sums at least where there are eight: over channels, or over tiles. With fewer, rounding errors are larger
/// than those of plain sums.
const ENOUGH_CHANNELS: usize = 20;
const ENOUGH_TILES: usize = 192;
/// Multiply-adds that the weights cost at each point, a pair of channels: transformed and written, or used while they are near.
const WRITTEN: f64 = 45.0;
const NEAR: f64 = 20.0;
/// How much longer several parts take than is counted.
const SEVERAL_PARTS: f64 = 1.2;

/// A convolution of a batch: `groups` times `channels` to `rows` channels.
#[derive(Clone, Copy, Debug)]
pub struct Winograd {
    isa: Isa,
    images: usize,
    groups: usize,
    channels: usize,
    rows: usize,
    parts: Parts,
    /// Distance between taps, where they do not stride; 1 along an axis with a single one.
    dilation: [usize; 2],
    /// Points of a tile along each axis.
    points: [usize; 2],
    /// Height and width.
    input: [usize; 2],
    pad: [usize; 2],
    output: [usize; 2],
    /// Values of the output's blob before the first output, and from image to image.
    place: [usize; 2],
    /// Height and width of what is computed, and how many lines and columns of the tiles' come before it.
    result: [usize; 2],
    crop: [usize; 2],
    pass: Pass,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Outputs, or the weights' gradient.
    Forward,
    /// The input's gradient as outputs of the output's, inputs and outputs exchanged, with the weights turned round.
    Turned,
    /// The input's gradient by the transpose of each step: tiles are those of the output's gradient, `channels` and `rows`
    /// exchanged, and what they make overlaps.
    Spread,
}

impl Winograd {
    /// The forward pass, `None` where plain sums serve better.
    pub fn forward(isa: Isa, dims: &ConvDims) -> Option<Self> {
        let this = Self::new(isa, dims)?;
        let this = this.with_points(this.channels, ENOUGH_CHANNELS);
        this.if_it_pays(this.cost_of_weights())
    }

    /// The input's gradient.
    pub fn backward(isa: Isa, dims: &ConvDims) -> Option<Self> {
        let forward = Self::new(isa, dims)?;
        let Parts { stride, taps, .. } = forward.parts;
        let (exchanged, crop) =
            (Self { channels: forward.rows, rows: forward.channels, ..forward }, forward.pad);
        let turned = Self { input: forward.output, result: forward.input, pass: Pass::Turned, ..exchanged };
        let turned = if stride == 1 {
            let reach = |axis: usize| (turned.parts.padded()[axis] - 1) * turned.dilation[axis];
            let pad = [0, 1].map(|axis| reach(axis) - crop[axis]);
            Self { pad, output: forward.input, crop: [0; 2], ..turned }
        } else if forward.parts.counts() == [stride; 2] && crop.iter().all(|&pad| pad <= 2 * stride) {
            // Phases begin where the kernel does.
            let output = [0, 1].map(|axis| (forward.input[axis] + crop[axis]).div_ceil(stride));
            Self { pad: taps.map(|taps| taps - 1), output, crop, ..turned }
        } else {
            return None;
        };
        let turned = turned.with_points(turned.channels, ENOUGH_CHANNELS);
        let turned = turned.if_it_pays(turned.cost_of_weights())?;
        let spread =
            Self { result: forward.input, crop, pass: Pass::Spread, points: turned.points, ..exchanged };
        Some(if spread.is_less_than(&turned) { spread } else { turned })
    }

    /// Whether so many fewer tiles, each of which costs more, take less time, where a task has all of an image.
    fn is_less_than(&self, turned: &Self) -> bool {
        let fewer = self.tiles() * 5 <= turned.tiles() * 4;
        self.dilation == [1; 2]
            && self.parts.count() == 1
            && fewer
            && self.tiles() <= self.tiles_together()
            && !turned.weights_pass()
    }

    /// The weights' gradient.
    pub fn gradient(isa: Isa, dims: &ConvDims) -> Option<Self> {
        let this = Self::new(isa, dims)?;
        let eight = this.with_points(1, 0);
        this.with_points(eight.images * eight.tiles(), ENOUGH_TILES).if_it_pays(WRITTEN)
    }

    /// Square kernels, strided or dilated, and rows or columns, dilated, with six points. A single axis is that of a row.
    fn new(isa: Isa, dims: &ConvDims) -> Option<Self> {
        const ONE: ConvAxis = ConvAxis { input: 1, kernel: 1, stride: 1, pad: 0, dilation: 1, output: 1 };
        let (y, x) = match dims.axes.as_slice() {
            [y, x] => (y, x),
            [x] => (&ONE, x),
            _ => return None,
        };
        let square = (x.kernel, x.dilation) == (y.kernel, y.dilation) && x.kernel > 1;
        let line = x.kernel.min(y.kernel) == 1 && x.kernel.max(y.kernel) > 1 && x.stride == 1;
        let serves = (square || line)
            && x.stride == y.stride
            && [y, x].iter().all(|a| a.pad < a.extent() && (a.stride == 1 || a.dilation == 1));
        let this = Self {
            isa,
            images: dims.batch,
            groups: dims.group,
            channels: dims.group_in(),
            rows: dims.group_out(),
            parts: Parts::new([y.kernel, x.kernel], y.stride)?,
            dilation: [y, x].map(|axis| if axis.kernel == 1 { 1 } else { axis.dilation }),
            points: [6; 2],
            input: [y.input, x.input],
            pad: [y.pad, x.pad],
            output: [y.output, x.output],
            place: dims.out_start_and_image(),
            result: [y.output, x.output],
            crop: [0; 2],
            pass: Pass::Forward,
        };
        (serves && this.channels > 0 && this.rows > 0).then(|| this.with_points(0, 1))
    }

    /// Eight points instead of six for 4 and 5 taps where a point sums at least `enough` products: rounding errors then
    /// stay near those of plain sums, which have many more. Those of lines always do.
    fn with_points(self, products: usize, enough: usize) -> Self {
        let eight = self.parts.most_taps() > 3 && (self.is_line() || products >= enough);
        let points = if eight { 8 } else { 6 };
        Self { points: self.parts.taps.map(|taps| if taps == 1 { 1 } else { points }), ..self }
    }

    /// `None` where plain sums take less time, as measured: both sides are multiply-adds for each pair of channels. What
    /// stands alone is the weights', transformed or packed at each step: `weights` at each point.
    fn if_it_pays(self, weights: f64) -> Option<Self> {
        let (c, k) = (self.channels as f64, self.rows as f64);
        let (tiles, taps) = ((self.images * self.tiles()) as f64, self.kernel_area() as f64);
        let (inputs, phases) = (self.inputs() as f64, self.phases() as f64);
        let outputs = (self.images * self.result.iter().product::<usize>()) as f64 / phases;
        // Parts of too few channels leave lanes empty.
        let inputs_filled = self.summed(self.channels) as f64 / c;
        // Of lines more of a transform is reading and writing.
        let transforms = if self.is_line() { 1.3 } else { 1.0 };
        let products =
            inputs_filled * (1.25 * phases + transforms * 38.0 / k) + transforms * 35.0 * phases / c;
        let margin = if self.parts.count() > 1 { SEVERAL_PARTS } else { 1.0 };
        let fast = margin * self.all_points() as f64 * (tiles * products + inputs * phases * weights);
        let plain = taps * (outputs * (1.0 + 40.0 / k) + 60.0);
        (outputs > 0.0 && fast < plain).then_some(self)
    }

    /// What the weights cost in the forward pass and the input's gradient.
    fn cost_of_weights(&self) -> f64 {
        if self.weights_pass() { NEAR } else { WRITTEN }
    }

    /// Floats of scratch that [`Winograd::run`] needs.
    pub fn scratch_len(&self) -> usize {
        if self.weights_pass() { self.values_len() } else { self.weights_len() }
    }

    /// Overwrites `output`.
    pub fn run(
        &self,
        input: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let scratch = &mut scratch[..self.scratch_len()];
        if self.weights_pass() {
            self.run_channels(input, weights, epilogue, output, scratch);
        } else {
            self.run_tiles(input, weights, epilogue, output, scratch);
        }
    }

    /// Whether the kernel is a row or a column, and so are tiles.
    pub fn is_line(&self) -> bool {
        self.parts.kernel.contains(&1)
    }

    /// Parts of the kernel.
    #[cfg(test)]
    pub fn parts(&self) -> usize {
        self.parts.count()
    }

    /// Height and width of a tile of outputs.
    fn sides(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.points[axis] + 1 - self.parts.taps[axis])
    }

    /// Its length along the axes that have points.
    fn side(&self) -> usize {
        let [height, width] = self.sides();
        height.max(width)
    }

    /// Weights of a pair of channels.
    fn kernel_area(&self) -> usize {
        self.parts.kernel.iter().product()
    }

    /// Whether parts of the kernel make phases of what is computed, and not sums.
    fn has_phases(&self) -> bool {
        self.pass == Pass::Turned && self.parts.stride > 1
    }

    /// Parts of the kernel that each phase sums, and phases.
    fn inputs(&self) -> usize {
        if self.has_phases() { 1 } else { self.parts.count() }
    }

    fn phases(&self) -> usize {
        if self.has_phases() { self.parts.count() } else { 1 }
    }

    /// Points of a tile.
    fn all_points(&self) -> usize {
        self.points[0] * self.points[1]
    }

    /// Distance between the outputs of a tile.
    fn apart(&self) -> [usize; 2] {
        if self.has_phases() { [self.parts.stride; 2] } else { self.dilation }
    }

    /// Height and width of the block of outputs that the tiles of a row fill together.
    fn block_sides(&self) -> [usize; 2] {
        let (sides, apart) = (self.sides(), self.apart());
        [0, 1].map(|axis| sides[axis] * apart[axis])
    }

    /// Rows of tiles, each of one block's height.
    fn tiles_down(&self) -> usize {
        self.output[0].div_ceil(self.sides()[0] * self.dilation[0])
    }

    fn blocks_across(&self) -> usize {
        self.output[1].div_ceil(self.sides()[1] * self.dilation[1])
    }

    /// Tiles of a block.
    fn starts(&self) -> usize {
        self.dilation[0] * self.dilation[1]
    }

    /// Tiles of a row: those of each block that begin at one of its positions, then those that begin at the next.
    fn tiles_across(&self) -> usize {
        self.starts() * self.blocks_across()
    }

    /// Calls `f` with the position in their blocks at which tiles of a row begin, and the number of the first of them.
    fn for_starts(&self, mut f: impl FnMut([usize; 2], usize)) {
        let across = self.dilation[1];
        for start in 0..self.starts() {
            f([start / across, start % across], start * self.blocks_across());
        }
    }

    /// Where the first of the tiles that begin at `start` lies among values a register a position, lines `pitch` apart; those of a
    /// tile are `apart`.
    fn grid(&self, [y, x]: [usize; 2], pitch: usize, apart: [usize; 2]) -> Grid {
        let lanes = self.isa.lanes();
        let (row, col) = (apart[0] * pitch, apart[1] * lanes);
        Grid { first: y * pitch + x * lanes, row, col, tile: self.sides()[1] * col }
    }

    /// Tiles of an image.
    fn tiles(&self) -> usize {
        self.tiles_down() * self.tiles_across()
    }

    fn area(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The line of what is computed at which this row of tiles begins.
    fn line(&self, down: usize) -> usize {
        (down * self.block_sides()[0]).saturating_sub(self.crop[0]).min(self.result[0])
    }

    /// Columns of the values at the points of so many channels.
    fn columns(&self, channels: usize) -> usize {
        channels.next_multiple_of(self.isa.lanes()) * self.inputs()
    }

    /// Output channels of a group, in whole registers.
    fn padded_rows(&self) -> usize {
        self.rows.next_multiple_of(self.isa.lanes())
    }

    /// Width of the panel of output channels that starts at `row` of a group.
    fn panel_width(&self, row: usize) -> usize {
        self.isa.tile_cols().min(self.padded_rows() - row)
    }
}
