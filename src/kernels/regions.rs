//! Maxima of regions of planes: each region is cut into a grid of windows, which may share places, and each window gives its largest
//! value.

use super::parallel::{CHUNK, for_chunks_mut, for_chunks_mut2, planes_per_chunk};

/// Planes, and the grid that each region is cut into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionDims {
    /// Planes of an image.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
    /// Rows of the grid.
    pub rows: usize,
    /// Columns of the grid.
    pub columns: usize,
}

impl RegionDims {
    /// Windows of a region.
    pub fn windows(&self) -> usize {
        self.rows * self.columns
    }

    /// Values of a plane.
    fn plane(&self) -> usize {
        self.height * self.width
    }
}

/// The first place of a window along an axis, and the one behind its last.
pub type Span = [u32; 2];

/// Where the grids of all regions lie.
#[derive(Clone, Copy, Debug)]
pub struct Regions<'a> {
    /// The image of each.
    pub images: &'a [u32],
    /// For each the spans of the grid's rows, then of its columns.
    pub spans: &'a [Span],
}

/// The place of a window that holds nothing.
pub const NOWHERE: u32 = u32::MAX;

/// Cuts the places from `first` to `last`, at least one, into as many spans as there are in `spans`, each of whole places; what lies
/// outside of `0..side` is left out.
pub fn cut(first: i64, last: i64, side: usize, spans: &mut [Span]) {
    let len = (last - first + 1).max(1);
    // The fork computes this in single precision.
    let share = len as f32 / spans.len() as f32;
    let place = |at: f32| (at as i64 + first).clamp(0, side as i64) as u32;
    for (i, span) in spans.iter_mut().enumerate() {
        *span = [place((i as f32 * share).floor()), place(((i + 1) as f32 * share).ceil())];
    }
}

/// y, `regions x channels x rows x columns`, becomes the largest value of each window, 0 where it holds nothing; `taken`, unless it is
/// empty, the place in its plane: the first of equal ones. A NaN counts as larger than any number.
pub fn largest(dims: &RegionDims, x: &[f32], regions: Regions<'_>, y: &mut [f32], taken: &mut [u32]) {
    let (windows, plane, grid) = (dims.windows(), dims.plane(), dims.rows + dims.columns);
    assert_eq!(y.len(), regions.images.len() * dims.channels * windows);
    let chunk = planes_per_chunk(windows) * windows;
    let of = |number: usize, y: &mut [f32], taken: &mut [u32]| {
        let (region, channel) = (number / dims.channels, number % dims.channels);
        let from = (regions.images[region] as usize * dims.channels + channel) * plane;
        let spans = regions.spans[region * grid..][..grid].split_at(dims.rows);
        largest_of_plane(&x[from..][..plane], dims.width, spans, y, taken);
    };
    if taken.is_empty() {
        for_chunks_mut(y, chunk, |start, y| {
            let planes = y.chunks_exact_mut(windows).zip(start / windows..);
            planes.for_each(|(y, number)| of(number, y, &mut []));
        });
    } else {
        for_chunks_mut2(y, taken, chunk, |start, y, taken| {
            let planes = y.chunks_exact_mut(windows).zip(taken.chunks_exact_mut(windows));
            planes.zip(start / windows..).for_each(|((y, taken), number)| of(number, y, taken));
        });
    }
}

fn largest_of_plane(
    x: &[f32],
    width: usize,
    (rows, columns): (&[Span], &[Span]),
    y: &mut [f32],
    taken: &mut [u32],
) {
    for (r, row) in rows.iter().enumerate() {
        for (c, column) in columns.iter().enumerate() {
            let at = r * columns.len() + c;
            let (value, place) = largest_of_window(x, width, *row, *column);
            y[at] = value;
            if let Some(taken) = taken.get_mut(at) {
                *taken = place;
            }
        }
    }
}

fn largest_of_window(x: &[f32], width: usize, row: Span, column: Span) -> (f32, u32) {
    let ([top, bottom], [left, right]) = (row.map(|v| v as usize), column.map(|v| v as usize));
    if top >= bottom || left >= right {
        return (0.0, NOWHERE);
    }
    let mut place = top * width + left;
    let mut value = x[place];
    for row in top..bottom {
        let first = row * width + left;
        for (at, &v) in (first..).zip(&x[first..row * width + right]) {
            if v > value || v.is_nan() {
                (value, place) = (v, at);
                if v.is_nan() {
                    return (value, place as u32);
                }
            }
        }
    }
    (value, place as u32)
}

/// dx, `images x channels x height x width`, becomes at each place the sum of the gradients of those windows that have taken it, region
/// by region.
pub fn spread(dims: &RegionDims, dy: &[f32], images: &[u32], taken: &[u32], dx: &mut [f32]) {
    let (windows, plane) = (dims.windows(), dims.plane());
    assert!(dy.len() == images.len() * dims.channels * windows && taken.len() == dy.len());
    // What a task reads counts, too.
    let values = plane.max(images.len() * windows);
    for_chunks_mut(dx, (CHUNK / values.max(1)).max(1) * plane, |start, dx| {
        for (number, dx) in (start / plane..).zip(dx.chunks_exact_mut(plane)) {
            let (image, channel) = (number / dims.channels, number % dims.channels);
            dx.fill(0.0);
            for (region, _) in images.iter().enumerate().filter(|(_, own)| **own as usize == image) {
                let from = (region * dims.channels + channel) * windows;
                for (&dy, &place) in dy[from..][..windows].iter().zip(&taken[from..][..windows]) {
                    if place != NOWHERE {
                        dx[place as usize] += dy;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Draw;
    use rand::RngExt as _;

    fn spans(first: i64, last: i64, side: usize, count: usize) -> Vec<Span> {
        let mut spans = vec![[u32::MAX; 2]; count];
        cut(first, last, side, &mut spans);
        spans
    }

    #[test]
    fn spans_by_hand() {
        assert_eq!(spans(0, 5, 10, 3), [[0, 2], [2, 4], [4, 6]]);
        assert_eq!(spans(1, 5, 10, 2), [[1, 4], [3, 6]]);
        // More spans than places: each place is in several.
        assert_eq!(spans(3, 4, 10, 4), [[3, 4], [3, 4], [4, 5], [4, 5]]);
        // Ends before it begins: one place.
        assert_eq!(spans(3, 1, 10, 2), [[3, 4], [3, 4]]);
        // Partly and wholly outside.
        assert_eq!(spans(-2, 1, 10, 2), [[0, 0], [0, 2]]);
        assert_eq!(spans(8, 11, 10, 2), [[8, 10], [10, 10]]);
        assert_eq!(spans(-9, -8, 10, 1), [[0, 0]]);
    }

    #[test]
    fn a_nan_is_the_largest() {
        let x = [1.0, f32::NAN, 3.0, 4.0];
        let (value, place) = largest_of_window(&x, 2, [0, 2], [0, 2]);
        assert!(value.is_nan() && place == 1);
        assert_eq!(largest_of_window(&x, 2, [1, 2], [0, 2]), (4.0, 3));
        assert_eq!(largest_of_window(&x, 2, [1, 1], [0, 2]), (0.0, NOWHERE));
    }

    /// The plain twin: for each window all places of its plane, and whether they lie in it.
    fn plainly(dims: &RegionDims, x: &[f32], regions: Regions<'_>) -> Vec<(f32, u32)> {
        let mut all = vec![];
        for (region, spans) in regions.spans.chunks_exact(dims.rows + dims.columns).enumerate() {
            for channel in 0..dims.channels {
                let from = (regions.images[region] as usize * dims.channels + channel) * dims.plane();
                for window in 0..dims.windows() {
                    let [row, column] =
                        [spans[window / dims.columns], spans[dims.rows + window % dims.columns]];
                    let inside = |place: &usize| {
                        let [r, c] = [(place / dims.width) as u32, (place % dims.width) as u32];
                        (row[0]..row[1]).contains(&r) && (column[0]..column[1]).contains(&c)
                    };
                    let mut best = (0.0, NOWHERE);
                    for place in (0..dims.plane()).filter(inside) {
                        if best.1 == NOWHERE || x[from + place] > best.0 {
                            best = (x[from + place], place as u32);
                        }
                    }
                    all.push(best);
                }
            }
        }
        all
    }

    #[test]
    fn agrees_with_the_plain_twin() {
        let mut rng = Draw::new(1, "regions", 0).rng(0);
        for (images, channels, height, width, rows, columns, count) in [
            (2, 3, 5, 7, 2, 3, 4),
            (1, 1, 1, 1, 1, 1, 1),
            (3, 700, 4, 4, 7, 7, 2),
            (1, 2, 6, 6, 3, 2, 0),
            (2, 2, 0, 3, 2, 2, 2),
        ] {
            let dims = RegionDims { channels, height, width, rows, columns };
            let mut draw = |below: usize| (rng.random::<f32>() * below as f32) as usize;
            // Many are equal.
            let x: Vec<f32> = (0..images * channels * height * width).map(|_| draw(9) as f32 - 6.0).collect();
            let of: Vec<u32> = (0..count).map(|_| draw(images) as u32).collect();
            let mut spans = vec![];
            for _ in 0..count {
                for (side, count) in [(height, rows), (width, columns)] {
                    let (first, last) = (draw(9) as i64 - 2, draw(9) as i64 - 1);
                    let mut own = vec![[0; 2]; count];
                    cut(first, last, side, &mut own);
                    spans.extend(own);
                }
            }
            let regions = Regions { images: &of, spans: &spans };
            let want = plainly(&dims, &x, regions);
            let (mut y, mut taken) = (vec![f32::NAN; want.len()], vec![0; want.len()]);
            largest(&dims, &x, regions, &mut y, &mut taken);
            let found: Vec<(f32, u32)> = y.iter().copied().zip(taken.iter().copied()).collect();
            assert_eq!(found, want, "{dims:?}");
            let mut again = vec![f32::NAN; want.len()];
            largest(&dims, &x, regions, &mut again, &mut []);
            assert_eq!(again, y);

            let dy: Vec<f32> = (0..want.len()).map(|i| (i % 5) as f32 - 1.0).collect();
            let mut dx = vec![f32::NAN; x.len()];
            spread(&dims, &dy, &of, &taken, &mut dx);
            let mut sums = vec![0.0; x.len()];
            for (i, (&dy, &place)) in dy.iter().zip(&taken).enumerate() {
                let (region, channel) = (i / dims.windows() / channels, i / dims.windows() % channels);
                if place != NOWHERE {
                    sums[(of[region] as usize * channels + channel) * dims.plane() + place as usize] += dy;
                }
            }
            assert_eq!(dx, sums, "{dims:?}");
        }
    }
}
