//! The transforms of fast convolution: Toom-Cook with six or eight points along each of two axes, or along one.
//!
//! A tile of `n` outputs and a kernel of `r` taps, `n + r = points + 1`, are polynomials whose product is found by its
//! values at 0, infinity and pairs of points: +-sqrt(1/2) and +-sqrt(2) of six, +-1/2, +-1 and +-2 of eight. No others
//! make rounding errors as small: a search over any seven numbers ends at those of eight as well. The README.md of
//! kernels has the errors.
//!
//! Reference: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"; the points: Barabasz et al.
//! 2020, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks".

use super::{ImagesMut, Isa, Job, Simd};

/// Most pairs of points.
const PAIRS: usize = 3;

/// What a transform computes along each axis that has points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// The tile's input: as many values as there are points to as many.
    Input,
    /// A polynomial of so many coefficients to its values at the points, divided by what interpolation divides by.
    Values(usize),
    /// The same of the coefficients in reverse order.
    Turned(usize),
    /// A polynomial of so many coefficients to its values at the points, as they are.
    Plain(usize),
    /// Values at the points to so many sums.
    Sums(usize),
    /// Products of values, one of them divided, to the coefficients of the product, as many as there are points, which are
    /// added to what is there. The transpose of `Input`.
    Spread,
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
    /// The same squares, `by` values further on.
    pub fn after(self, by: usize) -> Self {
        Self { first: self.first + by, ..self }
    }

    /// The end of what `tiles` tiles of `height x width` registers of `lanes` values touch.
    fn end(&self, [height, width]: [usize; 2], tiles: usize, lanes: usize) -> usize {
        self.first + (height - 1) * self.row + (width - 1) * self.col + (tiles - 1) * self.tile + lanes
    }

    /// The same registers, rows and columns exchanged.
    fn turned(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }
}

/// Where transforms write.
pub enum Target<'a> {
    /// To squares of registers of a slice.
    Squares(&'a mut [f32], Grid),
    /// To an image for each point: a tile is a row from this one on, its register the columns from that one on.
    Points(ImagesMut<'a>, [usize; 2]),
}

impl Target<'_> {
    /// The first value, and where the registers lie.
    ///
    /// # Panics
    /// When `tiles` tiles of `height x width` registers of `lanes` values do not lie in the slice, or are not all of the images.
    fn place(&mut self, [height, width]: [usize; 2], tiles: usize, lanes: usize) -> (*mut f32, Grid) {
        match self {
            Self::Squares(to, grid) => {
                let end = grid.end([height, width], tiles, lanes);
                assert!(end <= to.len(), "tiles reach outside what is written");
                (to.as_mut_ptr().wrapping_add(grid.first), *grid)
            }
            Self::Points(images, [row, col]) => {
                assert_eq!(images.images(), height * width, "one image a point");
                let inside = *row + tiles <= images.rows() && *col + lanes <= images.cols();
                assert!(inside, "tiles reach outside what is written");
                let (col_step, tile) = (images.image_stride(), images.stride());
                let grid = Grid { first: 0, row: width * col_step, col: col_step, tile };
                (images.row_ptr(0, *row).wrapping_add(*col), grid)
            }
        }
    }
}

/// Transforms `tiles` tiles, register by register, by so many `points` down and across: as many, or one of either, along which
/// tiles are one register wide and nothing is done.
///
/// # Panics
/// When a tile reaches outside its slice, or `map` has not 2 to 5 coefficients with six points, 4 or 5 with eight.
pub fn transform(
    isa: Isa,
    points: [usize; 2],
    map: Map,
    tiles: usize,
    (from, at): (&[f32], Grid),
    mut to: Target<'_>,
) {
    if tiles == 0 {
        return;
    }
    let most = points[0].max(points[1]);
    let (reads, writes) = match map {
        Map::Input | Map::Spread => (most, most),
        Map::Values(n) | Map::Turned(n) | Map::Plain(n) => (n, most),
        Map::Sums(n) => (most, n),
    };
    let sides = |side: usize| points.map(|points| if points == 1 { 1 } else { side });
    assert!(at.end(sides(reads), tiles, isa.lanes()) <= from.len(), "tiles reach outside what is read");
    let (to, place) = to.place(sides(writes), tiles, isa.lanes());
    macro_rules! maps {
        ($line:literal, $at:expr, $place:expr, $($points:literal: $($side:literal)*;)*) => {{
            let (at, place) = ($at, $place);
            match (most, map) {
                $(
                    ($points, Map::Input) => isa.run(Input::<$line, $points> { tiles, from, at, to, place }),
                    ($points, Map::Spread) => isa.run(Spread::<$line, $points> { tiles, from, at, to, place }),
                    $(
                        ($points, Map::Values($side)) => isa.run(Values::<$line, $points, $side> { tiles, from, at, to, place }),
                        ($points, Map::Turned($side)) => isa.run(Turned::<$line, $points, $side> { tiles, from, at, to, place }),
                        ($points, Map::Plain($side)) => isa.run(Plain::<$line, $points, $side> { tiles, from, at, to, place }),
                        ($points, Map::Sums($side)) => isa.run(Sums::<$line, $points, $side> { tiles, from, at, to, place }),
                    )*
                )*
                _ => panic!("{points:?} points, {map:?}"),
            }
        }};
        ($line:literal, $at:expr, $place:expr) => { maps!($line, $at, $place, 6: 2 3 4 5; 8: 4 5;) };
    }
    match points {
        [down, across] if down == across => maps!(false, at, place),
        [1, _] => maps!(true, at, place),
        [_, 1] => maps!(true, at.turned(), place.turned()),
        _ => panic!("{points:?} points"),
    }
}

macro_rules! job {
    ($name:ident<$(const $side:ident),*>, $reads:expr, $writes:expr, $map:ident, $add:expr) => {
        /// Of squares, or of the first rows of them.
        struct $name<'a, const LINE: bool, $(const $side: usize),*> {
            tiles: usize,
            from: &'a [f32],
            at: Grid,
            to: *mut f32,
            place: Grid,
        }

        impl<const LINE: bool, $(const $side: usize),*> Job for $name<'_, LINE, $($side),*> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                let (from, to) = (self.from.as_ptr(), self.to);
                // Outside the loop and never moved: it may be too large for registers.
                let mut half = [[simd.splat(0.0); $reads]; $writes];
                for tile in 0..self.tiles {
                    // SAFETY: `transform` checked that all rows and columns of all tiles lie inside what is read and written.
                    unsafe {
                        let from = from.add(self.at.first + tile * self.at.tile);
                        let to = to.add(tile * self.place.tile);
                        let rows = if LINE { 1 } else { $writes };
                        // Columns first, then rows.
                        for j in 0..$reads {
                            if LINE {
                                half[0][j] = simd.load(from.add(j * self.at.col));
                                continue;
                            }
                            let mut column = [simd.splat(0.0); $reads];
                            for (i, v) in column.iter_mut().enumerate() {
                                *v = simd.load(from.add(i * self.at.row + j * self.at.col));
                            }
                            let column: [S::V; $writes] = $map(simd, column);
                            for i in 0..$writes {
                                half[i][j] = column[i];
                            }
                        }
                        for (i, row) in half[..rows].iter().enumerate() {
                            let row: [S::V; $writes] = $map(simd, *row);
                            for (j, v) in row.into_iter().enumerate() {
                                let p = to.add(i * self.place.row + j * self.place.col);
                                simd.store(p, if $add { simd.add(simd.load(p), v) } else { v });
                            }
                        }
                    }
                }
            }
        }
    };
}

job!(Input<const P>, P, P, input, false);
job!(Values<const P, const N>, N, P, values, false);
job!(Turned<const P, const N>, N, P, turned, false);
job!(Plain<const P, const N>, N, P, plain, false);
job!(Sums<const P, const N>, P, N, sums, false);
job!(Spread<const P>, P, P, spread, true);

/// The pairs +-p of points, and what the transforms make of them.
struct Pairs {
    point: [f32; PAIRS],
    square: [f32; PAIRS],
    /// Coefficients of the product of x^2 - q^2 over the other pairs, by powers of x^2; the last is 1.
    others: [[f32; PAIRS]; PAIRS],
    /// That over all pairs.
    all: [f32; PAIRS + 1],
    /// 1 over the product of p - q for the other points q.
    factor: [f32; PAIRS],
}

/// The pairs of 6 or 8 points. The product of all their squares is 1.
const fn pairs(points: usize) -> Pairs {
    let (count, point, square): (_, [f64; PAIRS], [f64; PAIRS]) = match points {
        6 => (2, [std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2, 0.0], [0.5, 2.0, 0.0]),
        8 => (3, [0.5, 1.0, 2.0], [0.25, 1.0, 4.0]),
        _ => panic!("6 or 8 points"),
    };
    let mut pairs = Pairs {
        point: [0.0; PAIRS],
        square: [0.0; PAIRS],
        others: [[0.0; PAIRS]; PAIRS],
        all: [0.0; PAIRS + 1],
        factor: [0.0; PAIRS],
    };
    // Loops of a constant are `while` loops. The last turn skips no pair.
    let mut skip = 0;
    while skip <= count {
        let mut product = [0.0; PAIRS + 1];
        product[0] = 1.0;
        let (mut k, mut factor) = (0, 1.0);
        while k < count {
            if k != skip {
                let mut power = PAIRS;
                while power > 0 {
                    product[power] = product[power - 1] - square[k] * product[power];
                    power -= 1;
                }
                product[0] *= -square[k];
                if skip < count {
                    factor *= square[skip] - square[k];
                }
            }
            k += 1;
        }
        let mut power = 0;
        while power <= PAIRS {
            if skip == count {
                pairs.all[power] = product[power] as f32;
            } else if power < PAIRS {
                pairs.others[skip][power] = product[power] as f32;
            }
            power += 1;
        }
        if skip < count {
            pairs.point[skip] = point[skip] as f32;
            pairs.square[skip] = square[skip] as f32;
            pairs.factor[skip] = (1.0 / (2.0 * square[skip] * factor)) as f32;
        }
        skip += 1;
    }
    pairs
}

/// Rows of coefficients of m(x) / (x - p), m(x) = x times the product of x^2 - q^2 over all pairs, for each point p; m(x)
/// for infinity. 0 has the opposite sign where there are three pairs, as it has in [`values`].
#[inline(always)]
pub(super) fn input<S: Simd, const P: usize>(simd: S, d: [S::V; P]) -> [S::V; P] {
    let pairs = const { &pairs(P) };
    let (mut out, last) = ([d[0]; P], P - 1);
    out[last] = d[last];
    for pair in 0..P / 2 - 1 {
        let even = simd.splat(pairs.all[pair + 1] * pairs.all[0]);
        out[0] = simd.fma(even, d[2 * pair + 2], out[0]);
        let odd = simd.splat(pairs.all[P / 2 - 2 - pair]);
        out[last] = simd.fma(odd, d[last - 2 - 2 * pair], out[last]);
    }
    for pair in 0..P / 2 - 1 {
        let (mut even, mut odd) = (d[last - 1], d[last - 2]);
        for k in 1..P / 2 - 1 {
            let factor = simd.splat(pairs.others[pair][P / 2 - 2 - k]);
            even = simd.fma(factor, d[last - 1 - 2 * k], even);
            odd = simd.fma(factor, d[last - 2 - 2 * k], odd);
        }
        let point = pairs.point[pair];
        out[2 * pair + 1] = simd.fma(simd.splat(point), odd, even);
        out[2 * pair + 2] = simd.fma(simd.splat(-point), odd, even);
    }
    out
}

/// The polynomial's value at each point p over the product of p - q for the other points q; the last coefficient.
#[inline(always)]
pub(super) fn values<S: Simd, const P: usize, const N: usize>(simd: S, g: [S::V; N]) -> [S::V; P] {
    let pairs = const { &pairs(P) };
    let mut out = plain(simd, g);
    for pair in 0..P / 2 - 1 {
        let factor = simd.splat(pairs.factor[pair]);
        out[2 * pair + 1] = simd.mul(factor, out[2 * pair + 1]);
        out[2 * pair + 2] = simd.mul(factor, out[2 * pair + 2]);
    }
    out
}

/// The polynomial's value at each point; the last coefficient.
#[inline(always)]
fn plain<S: Simd, const P: usize, const N: usize>(simd: S, g: [S::V; N]) -> [S::V; P] {
    let pairs = const { &pairs(P) };
    let mut out = [g[0]; P];
    for pair in 0..P / 2 - 1 {
        let square = simd.splat(pairs.square[pair]);
        // The even and the odd part.
        let mut sums = [simd.splat(0.0); 2];
        for (k, &g) in g.iter().enumerate().rev() {
            sums[k % 2] = if k + 2 >= N { g } else { simd.fma(square, sums[k % 2], g) };
        }
        let point = pairs.point[pair];
        out[2 * pair + 1] = simd.fma(simd.splat(point), sums[1], sums[0]);
        out[2 * pair + 2] = simd.fma(simd.splat(-point), sums[1], sums[0]);
    }
    out[P - 1] = g[N - 1];
    out
}

/// [`values`] of the polynomial whose coefficients have the reverse order.
#[inline(always)]
fn turned<S: Simd, const P: usize, const N: usize>(simd: S, mut g: [S::V; N]) -> [S::V; P] {
    g.reverse();
    values(simd, g)
}

/// Sum i is that of v_p p^i over the points p; infinity counts in the last alone.
#[inline(always)]
pub(super) fn sums<S: Simd, const P: usize, const N: usize>(simd: S, v: [S::V; P]) -> [S::V; N] {
    let pairs = const { &pairs(P) };
    let mut out = [v[0]; N];
    for pair in 0..P / 2 - 1 {
        let (plus, minus) = (v[2 * pair + 1], v[2 * pair + 2]);
        let parts = [simd.add(plus, minus), simd.fma(simd.splat(-1.0), minus, plus)];
        let mut power = 1.0;
        for (i, out) in out.iter_mut().enumerate() {
            *out = match (i, pair) {
                (0, _) => simd.add(*out, parts[0]),
                (_, 0) => simd.mul(simd.splat(power), parts[i % 2]),
                _ => simd.fma(simd.splat(power), parts[i % 2], *out),
            };
            power *= pairs.point[pair];
        }
    }
    out[N - 1] = simd.add(out[N - 1], v[P - 1]);
    out
}

/// The transpose of [`input`]: the sum of the rows of coefficients, each times its point's value.
#[inline(always)]
fn spread<S: Simd, const P: usize>(simd: S, v: [S::V; P]) -> [S::V; P] {
    let pairs = const { &pairs(P) };
    let (mut out, last) = ([simd.splat(0.0); P], P - 1);
    (out[0], out[last]) = (v[0], v[last]);
    for pair in 0..P / 2 - 1 {
        let even = simd.splat(pairs.all[pair + 1] * pairs.all[0]);
        out[2 * pair + 2] = simd.fma(even, v[0], out[2 * pair + 2]);
        let odd = simd.splat(pairs.all[P / 2 - 2 - pair]);
        out[last - 2 - 2 * pair] = simd.fma(odd, v[last], out[last - 2 - 2 * pair]);
    }
    for pair in 0..P / 2 - 1 {
        let (plus, minus) = (v[2 * pair + 1], v[2 * pair + 2]);
        let even = simd.add(plus, minus);
        let odd = simd.mul(simd.splat(pairs.point[pair]), simd.fma(simd.splat(-1.0), minus, plus));
        (out[last - 1], out[last - 2]) = (simd.add(out[last - 1], even), simd.add(out[last - 2], odd));
        for k in 1..P / 2 - 1 {
            let factor = simd.splat(pairs.others[pair][P / 2 - 2 - k]);
            out[last - 1 - 2 * k] = simd.fma(factor, even, out[last - 1 - 2 * k]);
            out[last - 2 - 2 * k] = simd.fma(factor, odd, out[last - 2 - 2 * k]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers with equal lanes, and where they lie.
    fn spread_out(isa: Isa, [height, width]: [usize; 2], values: &[f32]) -> (Vec<f32>, Grid) {
        let lanes = isa.lanes();
        let values = values[..height * width].iter().flat_map(|&v| vec![v; lanes]).collect();
        (values, Grid { first: 0, row: width * lanes, col: lanes, tile: 0 })
    }

    /// Products of a tile with a kernel, of registers whose lanes are all alike.
    fn tile(isa: Isa, points: [usize; 2], taps: [usize; 2], d: &[f32], g: &[f32]) -> Vec<f32> {
        let sides = [0, 1].map(|axis| points[axis] + 1 - taps[axis]);
        let most = |sides: [usize; 2]| sides[0].max(sides[1]);
        let at_points = |map: Map, (from, at): (Vec<f32>, Grid)| {
            let (mut to, place) = spread_out(isa, points, &[f32::NAN; 64]);
            transform(isa, points, map, 1, (&from, at), Target::Squares(&mut to, place));
            to
        };
        let mut v = at_points(Map::Input, spread_out(isa, points, d));
        let u = at_points(Map::Values(most(taps)), spread_out(isa, taps, g));
        let turned: Vec<f32> = g.iter().rev().copied().collect();
        let same = at_points(Map::Turned(most(taps)), spread_out(isa, taps, &turned));
        assert_eq!(u, same, "weights turned round");
        v.iter_mut().zip(&u).for_each(|(v, u)| *v *= u);
        let (mut y, place) = spread_out(isa, sides, &[f32::NAN; 64]);
        let (_, at) = spread_out(isa, points, d);
        transform(isa, points, Map::Sums(most(sides)), 1, (&v, at), Target::Squares(&mut y, place));
        y.into_iter().step_by(isa.lanes()).collect()
    }

    #[test]
    fn transforms_convolve() {
        let number = |i: usize| ((i * 7919 + 13) % 64) as f32 / 32.0 - 1.0;
        let d: Vec<f32> = (0..64).map(number).collect();
        let cases = [(6, 2), (6, 3), (6, 4), (6, 5), (8, 4), (8, 5)]
            .into_iter()
            .flat_map(|(p, t)| [([p; 2], [t; 2]), ([1, p], [1, t]), ([p, 1], [t, 1])]);
        for (isa, (points, taps)) in Isa::all().flat_map(|isa| cases.clone().map(move |case| (isa, case))) {
            let g: Vec<f32> = (100..100 + taps[0] * taps[1]).map(number).collect();
            let width = points[1] + 1 - taps[1];
            for (at, got) in tile(isa, points, taps, &d, &g).into_iter().enumerate() {
                let (y, x) = (at / width, at % width);
                let products =
                    (0..g.len()).map(|t| d[(y + t / taps[1]) * points[1] + x + t % taps[1]] * g[t]);
                let want: f32 = products.sum();
                let told = format!("{points:?} points, {taps:?} taps, output {at}: {got}, not {want}");
                assert!((got - want).abs() < 1e-5, "{told}");
            }
        }
    }

    /// Coefficients of the product of two polynomials in two variables, whose lanes are all alike, added to `1`.
    fn product(isa: Isa, points: usize, [a, b]: [(&[f32], usize); 2]) -> Vec<f32> {
        let lanes = isa.lanes();
        let square = |side: usize| Grid { first: 0, row: side * lanes, col: lanes, tile: 0 };
        let at_points = |map: Map, (values, side): (&[f32], usize)| {
            let spread: Vec<f32> = values.iter().flat_map(|&v| vec![v; lanes]).collect();
            let mut out = vec![0.0; points * points * lanes];
            transform(
                isa,
                [points; 2],
                map,
                1,
                (&spread, square(side)),
                Target::Squares(&mut out, square(points)),
            );
            out
        };
        let (mut v, u) = (at_points(Map::Plain(a.1), a), at_points(Map::Values(b.1), b));
        v.iter_mut().zip(&u).for_each(|(v, u)| *v *= u);
        let mut y = vec![1.0; points * points * lanes];
        transform(
            isa,
            [points; 2],
            Map::Spread,
            1,
            (&v, square(points)),
            Target::Squares(&mut y, square(points)),
        );
        y.into_iter().step_by(lanes).collect()
    }

    #[test]
    fn spread_values_are_products() {
        let number = |i: usize| ((i * 7919 + 13) % 64) as f32 / 32.0 - 1.0;
        for (isa, (points, taps)) in
            Isa::all().flat_map(|isa| [(6, 3), (6, 4), (6, 5), (8, 4), (8, 5)].map(|sizes| (isa, sizes)))
        {
            let side = points + 1 - taps;
            let a: Vec<f32> = (0..side * side).map(number).collect();
            let b: Vec<f32> = (100..100 + taps * taps).map(number).collect();
            for (at, got) in product(isa, points, [(&a, side), (&b, taps)]).into_iter().enumerate() {
                let mut want = 1.0;
                for (i, j) in (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j))) {
                    if (i / side + j / taps, i % side + j % taps) == (at / points, at % points) {
                        want += a[i] * b[j];
                    }
                }
                let told = format!("{points} points, {taps} taps, coefficient {at}: {got}, not {want}");
                assert!((got - want).abs() < 1e-5, "{told}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside what is written")]
    fn tiles_stay_inside() {
        let grid = Grid { first: 0, row: 0, col: 0, tile: 16 };
        transform(
            Isa::best(),
            [6; 2],
            Map::Input,
            2,
            (&[0.0; 64], grid),
            Target::Squares(&mut [0.0; 16], grid),
        );
    }
}
