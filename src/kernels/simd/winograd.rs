//! The transforms of fast convolution: Toom-Cook with six points along each of two axes.
//!
//! A tile of `n` outputs and a kernel of `r` taps, `n + r = 7`, are polynomials whose product is found by its values at
//! the points 0, a, -a, b, -b and infinity, with a = sqrt(1/2) and b = sqrt(2). With these points (instead of 0, 1, -1, 2,
//! -2) rounding errors stay near those of plain summation.
//!
//! Reference: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"; the points: Barabasz et al. 2020,
//! "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks".

use super::{Isa, Job, Simd};

/// Values that a tile reads along an axis, and products that it needs.
pub const POINTS: usize = 6;
/// a and b.
const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;
/// a^2 + b^2; a b is 1.
const SUM: f32 = 2.5;

/// What a transform computes along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// The tile's input: 6 values to 6.
    Input,
    /// A polynomial of so many coefficients (2 to 5) to its values at the points, divided by what interpolation divides by.
    Values(usize),
    /// Values at the points to as many sums (2 to 5).
    Sums(usize),
}

/// Where a square of registers lies: `row` and `col` apart, and each tile `tile` after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// Where the first tile's first register begins.
    pub first: usize,
    /// Distance between rows.
    pub row: usize,
    /// Distance between columns.
    pub col: usize,
    /// Distance between tiles.
    pub tile: usize,
}

impl Grid {
    /// The end of what `tiles` tiles of `side x side` registers of `lanes` values touch.
    fn end(&self, side: usize, tiles: usize, lanes: usize) -> usize {
        self.first + (side - 1) * (self.row + self.col) + (tiles - 1) * self.tile + lanes
    }
}

/// Transforms `tiles` tiles, register by register.
///
/// # Panics
/// When a tile reaches outside its slice, or `map` has not 2 to 5 coefficients.
pub fn transform(
    isa: Isa,
    map: Map,
    tiles: usize,
    (from, at): (&[f32], Grid),
    (to, place): (&mut [f32], Grid),
) {
    if tiles == 0 {
        return;
    }
    let (reads, writes) = match map {
        Map::Input => (POINTS, POINTS),
        Map::Values(n) => (n, POINTS),
        Map::Sums(n) => (POINTS, n),
    };
    assert!(at.end(reads, tiles, isa.lanes()) <= from.len(), "tiles reach outside what is read");
    assert!(place.end(writes, tiles, isa.lanes()) <= to.len(), "tiles reach outside what is written");
    macro_rules! sides {
        ($name:ident, $n:expr, $($side:literal)*) => {
            match $n {
                $($side => isa.run($name::<$side> { tiles, from, at, to, place }),)*
                n => panic!("{n} coefficients"),
            }
        };
    }
    match map {
        Map::Input => isa.run(Input { tiles, from, at, to, place }),
        Map::Values(n) => sides!(Values, n, 2 3 4 5),
        Map::Sums(n) => sides!(Sums, n, 2 3 4 5),
    }
}

macro_rules! job {
    ($(#[$doc:meta])* $name:ident $(<const $side:ident>)?, $reads:expr, $writes:expr, $map:ident) => {
        $(#[$doc])*
        struct $name<'a, $(const $side: usize)?> {
            tiles: usize,
            from: &'a [f32],
            at: Grid,
            to: &'a mut [f32],
            place: Grid,
        }

        impl<$(const $side: usize)?> Job for $name<'_, $($side)?> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
                for tile in 0..self.tiles {
                    // SAFETY: `transform` checked that all rows and columns of all tiles lie inside the slices.
                    unsafe {
                        let from = from.add(self.at.first + tile * self.at.tile);
                        let to = to.add(self.place.first + tile * self.place.tile);
                        // Columns first, then rows.
                        let mut half = [[simd.splat(0.0); $reads]; $writes];
                        for j in 0..$reads {
                            let mut column = [simd.splat(0.0); $reads];
                            for (i, v) in column.iter_mut().enumerate() {
                                *v = simd.load(from.add(i * self.at.row + j * self.at.col));
                            }
                            let column: [S::V; $writes] = $map(simd, column);
                            for i in 0..$writes {
                                half[i][j] = column[i];
                            }
                        }
                        for (i, row) in half.into_iter().enumerate() {
                            let row: [S::V; $writes] = $map(simd, row);
                            for (j, v) in row.into_iter().enumerate() {
                                simd.store(to.add(i * self.place.row + j * self.place.col), v);
                            }
                        }
                    }
                }
            }
        }
    };
}

job!(Input, POINTS, POINTS, input);
job!(Values<const N>, N, POINTS, values);
job!(Sums<const N>, POINTS, N, sums);

/// `v - x * w`. A function and not a closure: intrinsics are inlined only into code compiled for them.
#[inline(always)]
fn less<S: Simd>(simd: S, v: S::V, x: f32, w: S::V) -> S::V {
    simd.fma(simd.splat(-x), w, v)
}

/// Rows of coefficients of m(x) / (x - p), m(x) = x (x^2 - a^2) (x^2 - b^2), for each point p; m(x) for infinity.
#[inline(always)]
fn input<S: Simd>(simd: S, d: [S::V; POINTS]) -> [S::V; POINTS] {
    let (even_a, odd_a) = (less(simd, d[4], B * B, d[2]), less(simd, d[3], B * B, d[1]));
    let (even_b, odd_b) = (less(simd, d[4], A * A, d[2]), less(simd, d[3], A * A, d[1]));
    [
        simd.add(less(simd, d[0], SUM, d[2]), d[4]),
        less(simd, even_a, -A, odd_a),
        less(simd, even_a, A, odd_a),
        less(simd, even_b, -B, odd_b),
        less(simd, even_b, B, odd_b),
        simd.add(less(simd, d[1], SUM, d[3]), d[5]),
    ]
}

/// The even and the odd part of a polynomial's value at `point`, times `factor`.
#[inline(always)]
fn parts<S: Simd, const N: usize>(simd: S, g: [S::V; N], point: f32, factor: f32) -> (S::V, S::V) {
    let square = simd.splat(point * point);
    let mut sums = [simd.splat(0.0); 2];
    for (k, &g) in g.iter().enumerate().rev() {
        sums[k % 2] = if k + 2 >= N { g } else { simd.fma(square, sums[k % 2], g) };
    }
    (simd.mul(simd.splat(factor), sums[0]), simd.mul(simd.splat(factor * point), sums[1]))
}

/// The polynomial's value at each point p over the product of p - q for the other points q; the last coefficient.
#[inline(always)]
fn values<S: Simd, const N: usize>(simd: S, g: [S::V; N]) -> [S::V; POINTS] {
    // That product is 2 p^2 (p^2 - q^2) with q the other of a and b; at 0 it is a^2 b^2 = 1.
    let (even_a, odd_a) = parts(simd, g, A, 1.0 / (2.0 * A * A * (A * A - B * B)));
    let (even_b, odd_b) = parts(simd, g, B, 1.0 / (2.0 * B * B * (B * B - A * A)));
    [
        g[0],
        simd.add(even_a, odd_a),
        less(simd, even_a, 1.0, odd_a),
        simd.add(even_b, odd_b),
        less(simd, even_b, 1.0, odd_b),
        g[N - 1],
    ]
}

/// Sum i is that of v_p p^i over the points p; infinity counts in the last alone.
#[inline(always)]
fn sums<S: Simd, const N: usize>(simd: S, v: [S::V; POINTS]) -> [S::V; N] {
    let a = [simd.add(v[1], v[2]), less(simd, v[1], 1.0, v[2])];
    let b = [simd.add(v[3], v[4]), less(simd, v[3], 1.0, v[4])];
    let (mut power_a, mut power_b) = (1.0, 1.0);
    let mut out = [simd.splat(0.0); N];
    for (i, out) in out.iter_mut().enumerate() {
        *out = if i == 0 {
            simd.add(v[0], simd.add(a[0], b[0]))
        } else {
            simd.fma(simd.splat(power_a), a[i % 2], simd.mul(simd.splat(power_b), b[i % 2]))
        };
        (power_a, power_b) = (power_a * A, power_b * B);
    }
    out[N - 1] = simd.add(out[N - 1], v[5]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Products of a tile with a kernel, both read from squares of registers whose lanes are all alike.
    fn tile(isa: Isa, taps: usize, d: &[f32], g: &[f32]) -> Vec<f32> {
        let (lanes, outputs) = (isa.lanes(), 7 - taps);
        let spread = |values: &[f32]| values.iter().flat_map(|&v| vec![v; lanes]).collect::<Vec<_>>();
        let square = |side: usize| Grid { first: 0, row: side * lanes, col: lanes, tile: 0 };
        let (mut v, mut u) = (vec![0.0; 36 * lanes], vec![0.0; 36 * lanes]);
        transform(isa, Map::Input, 1, (&spread(d), square(6)), (&mut v, square(6)));
        transform(isa, Map::Values(taps), 1, (&spread(g), square(taps)), (&mut u, square(6)));
        v.iter_mut().zip(&u).for_each(|(v, u)| *v *= u);
        let mut y = vec![f32::NAN; outputs * outputs * lanes];
        transform(isa, Map::Sums(outputs), 1, (&v, square(6)), (&mut y, square(outputs)));
        y.into_iter().step_by(lanes).collect()
    }

    #[test]
    fn transforms_convolve() {
        let number = |i: usize| ((i * 7919 + 13) % 64) as f32 / 32.0 - 1.0;
        let d: Vec<f32> = (0..36).map(number).collect();
        for isa in Isa::all() {
            for taps in 2..=5 {
                let g: Vec<f32> = (100..100 + taps * taps).map(number).collect();
                let outputs = 7 - taps;
                for (at, got) in tile(isa, taps, &d, &g).into_iter().enumerate() {
                    let (y, x) = (at / outputs, at % outputs);
                    let products = (0..taps * taps).map(|t| d[(y + t / taps) * 6 + x + t % taps] * g[t]);
                    let want: f32 = products.sum();
                    assert!((got - want).abs() < 1e-5, "{taps} taps, output {at}: {got}, not {want}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside what is written")]
    fn tiles_stay_inside() {
        let grid = Grid { first: 0, row: 0, col: 0, tile: 16 };
        transform(Isa::best(), Map::Input, 2, (&[0.0; 64], grid), (&mut [0.0; 16], grid));
    }
}
