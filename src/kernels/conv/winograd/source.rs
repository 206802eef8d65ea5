//! A blob cut into tiles, and their values at the points.

use std::ops::Range;

use super::parts::Parts;
use super::{CHANNELS, Pass, Winograd};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Grid, ImagesMut, Map, Target};

/// Values at the points: for each point, for each tile, one a channel. Of several parts of a kernel, each register of channels
/// comes once for each.
pub struct Points {
    /// Points along each axis.
    points: [usize; 2],
    pub channels: usize,
    pub tiles: usize,
    lanes: usize,
}

impl Points {
    pub fn new(of: &Winograd, channels: usize, tiles: usize) -> Self {
        let lanes = of.isa.lanes();
        Self { points: of.points, channels: channels.next_multiple_of(lanes), tiles, lanes }
    }

    /// Distance between points: a register more than they need, so that points do not meet in the same lines of the cache.
    pub fn point(&self) -> usize {
        self.tiles * self.channels + self.lanes
    }

    pub fn len(&self) -> usize {
        self.count() * self.point()
    }

    /// Where they lie: an image a point, a row a tile, a column a channel.
    pub fn images<'a>(&self, values: &'a mut [f32]) -> ImagesMut<'a> {
        ImagesMut::spaced(values, self.count(), self.point(), [self.tiles, self.channels])
    }

    /// Points of a tile.
    fn count(&self) -> usize {
        self.points[0] * self.points[1]
    }

    /// `tile` and its neighbours, from `channel` on.
    pub fn grid(&self, tile: usize, channel: usize) -> Grid {
        let (row, col) = (self.points[1] * self.point(), self.point());
        Grid { first: tile * self.channels + channel, row, col, tile: self.channels }
    }
}

/// A group of a blob that is cut into tiles.
pub struct Source<'a> {
    of: &'a Winograd,
    /// The first image's group; the next follows `image` values later.
    values: &'a [f32],
    image: usize,
    pub channels: usize,
    /// Height and width, and zeros before them.
    size: [usize; 2],
    pad: [usize; 2],
    /// Distance between the values of a tile, and how many it reads beyond its own sides.
    apart: [usize; 2],
    beyond: [usize; 2],
    /// Parts of the kernel, each of which meets tiles that begin at its first tap.
    parts: Parts,
    map: Map,
}

impl<'a> Source<'a> {
    /// What outputs are computed from: tiles overlap.
    pub fn input(of: &'a Winograd, input: &'a [f32], group: usize) -> Self {
        let area = of.input[0] * of.input[1];
        let [start, image] =
            if of.pass == Pass::Forward { [0, of.groups * of.channels * area] } else { of.place };
        Self {
            of,
            values: &input[start + group * of.channels * area..],
            image,
            channels: of.channels,
            size: of.input,
            pad: of.pad,
            apart: if of.has_phases() { [1; 2] } else { of.dilation.map(|d| d * of.parts.stride) },
            beyond: (if of.has_phases() {
                of.parts.taps
            } else {
                of.parts.padded().map(|n| n / of.parts.stride)
            })
            .map(|reads| reads - 1),
            parts: if of.has_phases() { Parts::ONE } else { of.parts },
            map: Map::Input,
        }
    }

    /// What the products of a pass read.
    pub fn factor(of: &'a Winograd, values: &'a [f32], group: usize) -> Self {
        if of.pass != Pass::Spread {
            return Self::input(of, values, group);
        }
        let [start, image] = of.place;
        Self {
            of,
            values: &values[start + group * of.channels * of.area()..],
            image,
            channels: of.channels,
            size: of.output,
            pad: [0; 2],
            apart: [1; 2],
            beyond: [0; 2],
            parts: Parts::ONE,
            map: Map::Plain(of.side()),
        }
    }

    /// The output's gradient.
    pub fn gradient(of: &'a Winograd, top_diff: &'a [f32], group: usize) -> Self {
        let [start, image] = of.place;
        Self {
            of,
            values: &top_diff[start + group * of.rows * of.area()..],
            image,
            channels: of.rows,
            size: of.output,
            pad: [0; 2],
            apart: of.dilation,
            beyond: [0; 2],
            parts: Parts::ONE,
            map: Map::Values(of.side()),
        }
    }

    /// Some of its channels.
    pub fn part(&self, channels: Range<usize>) -> Self {
        let [height, width] = self.size;
        let values = &self.values[channels.start * height * width..];
        Self { values, channels: channels.len(), ..*self }
    }

    /// Registers along an axis of as many blocks and what tiles read beyond them.
    fn length(&self, axis: usize, blocks: usize) -> usize {
        (blocks * self.of.sides()[axis] + self.beyond[axis]) * self.apart[axis]
    }

    /// Registers of a row of a plane.
    fn width(&self) -> usize {
        self.length(1, self.of.blocks_across())
    }

    /// Floats of the plane of `down` rows of tiles.
    fn plane_len(&self, down: usize) -> usize {
        self.length(0, down) * self.width() * self.of.isa.lanes()
    }

    /// The values at the points of rows of tiles, counted over all images: an image a point, a row a tile, a column a channel.
    pub fn transform_rows(&self, rows: Range<usize>, points: ImagesMut<'_>) {
        let (down, lanes, parts) = (self.of.tiles_down(), self.of.isa.lanes(), self.parts.count());
        let (points, _) = points.split_cols(self.channels.next_multiple_of(lanes) * parts);
        let block = (CHANNELS / parts).next_multiple_of(lanes) * parts;
        parallel::for_column_blocks(points, block, &|first, mut points| {
            let source = self.part(first / parts..((first + points.cols()) / parts).min(self.channels));
            scratch::lend(self.plane_len(rows.len().min(down)), |plane| {
                let mut at = rows.start;
                while at < rows.end {
                    let (image, first) = (at / down, at % down);
                    let last = down.min(first + rows.end - at);
                    let tile = (at - rows.start) * self.of.tiles_across();
                    source.transform(image, first..last, plane, tile, &mut points);
                    at += last - first;
                }
            });
        });
    }

    /// The values at the points of rows `down` of an image's tiles, the first of which is `tile` of `points`: for each
    /// register of channels a padded copy of the rows, a register a position, then its tiles for each part.
    fn transform(
        &self,
        image: usize,
        down: Range<usize>,
        plane: &mut [f32],
        tile: usize,
        points: &mut ImagesMut<'_>,
    ) {
        let (isa, side, across) = (self.of.isa, self.of.sides()[0] * self.apart[0], self.of.tiles_across());
        let ([height, width], lanes) = (self.size, isa.lanes());
        let pitch = self.width() * lanes;
        let plane = &mut plane[..self.plane_len(down.len())];
        let (start, rows) = (down.start * side, plane.len() / pitch);
        let inside = self.pad[1].min(self.width())..(self.pad[1] + width).min(self.width());
        // The plane's rows that are rows of the image.
        let valid = self.pad[0].saturating_sub(start).min(rows)
            ..(self.pad[0] + height).saturating_sub(start).min(rows);
        // Without margins, and columns that no tap meets, rows follow each other.
        let together = if inside == (0..width) && width == self.width() { valid.len().max(1) } else { 1 };
        for channel in (0..self.channels).step_by(lanes) {
            let count = lanes.min(self.channels - channel);
            let from = &self.values[image * self.image + channel * height * width..];
            plane[..valid.start * pitch].fill(0.0);
            plane[valid.end * pitch..].fill(0.0);
            let image_rows = &mut plane[valid.start * pitch..valid.end * pitch];
            for (index, rows) in image_rows.chunks_exact_mut(together * pitch).enumerate() {
                let y = start + valid.start + index * together - self.pad[0];
                rows[..inside.start * lanes].fill(0.0);
                rows[inside.end * lanes..].fill(0.0);
                let rows =
                    if together > 1 { rows } else { &mut rows[inside.start * lanes..inside.end * lanes] };
                simd::interleave(isa, &from[y * width..], height * width, count, lanes, rows);
            }
            for (y, (index, part)) in
                (0..down.len()).flat_map(|y| self.parts.all().enumerate().map(move |part| (y, part)))
            {
                let (first, dilation) = (self.parts.first(part), self.of.dilation);
                let [line, col] = [first[0] * dilation[0], first[1] * dilation[1]];
                self.of.for_starts(|start, first| {
                    let at = (y * side + line) * pitch + col * lanes;
                    let from = self.of.grid(start, pitch, self.apart).after(at);
                    let column = channel * self.parts.count() + index * lanes;
                    let to = Target::Points(points.again(), [tile + y * across + first, column]);
                    let blocks = self.of.blocks_across();
                    simd::transform(isa, self.of.points, self.map, blocks, (plane, from), to);
                });
            }
        }
    }
}
