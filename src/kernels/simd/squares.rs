//! The largest of windows of two by two or three by three that move by two. Some rows of windows share the rows they
//! meet. Inside of rows registers are taken apart by the stride; at their ends what a tap meets is picked from two
//! registers by a table, in which a tap beyond the plane meets what its neighbour meets and has its number.
//!
//! Where rows are short a register is two or four rows of outputs, and each row of inputs brings a register, or half of
//! one. What will be read and written is asked for.

use super::{LINE, MOST_LANES, Simd};

/// Values ahead of the last written, and of the last read, whose lines are asked for.
const AHEAD: usize = 128;
const FAR: usize = 1024;
/// Step from window to window.
const STRIDE: usize = 2;
/// The most rows that two rows of outputs meet.
const MET: usize = 5;

/// Windows of `SIZE` by `SIZE` that begin `PAD` before the plane, and how registers of their outputs are made of those of inputs.
#[derive(Clone, Copy, Debug)]
pub struct Squares {
    /// Rows and columns.
    inputs: [usize; 2],
    outputs: [usize; 2],
    /// Rows of outputs in a register.
    rows: usize,
    /// The first and the last register of a row.
    ends: [Picks; 2],
    /// By how much the numbers of taps of the first column, and of the first row, are larger where these lie in the padding: the
    /// tap beyond is the next one.
    beyond: [[f32; MOST_LANES]; 2],
}

/// Where in a row its two registers begin, and which lane of them each tap of a row of windows meets.
#[derive(Clone, Copy, Debug)]
struct Picks {
    from: [usize; 2],
    lanes: [[f32; MOST_LANES]; 3],
}

/// How many rows of outputs are one register, given the lengths of rows.
fn rows(lanes: usize, input: usize, output: usize) -> usize {
    match lanes / output.max(1) {
        4.. if 2 * input <= lanes => 4,
        2.. if input <= lanes => 2,
        _ => 1,
    }
}

/// How many registers are made of a plane, given its rows and columns of inputs and outputs.
pub fn registers(lanes: usize, [inputs, outputs]: [[usize; 2]; 2]) -> usize {
    outputs[0].div_ceil(rows(lanes, inputs[1], outputs[1])) * outputs[1].div_ceil(lanes)
}

impl Squares {
    /// For registers of so many lanes, windows of `size` that begin `pad` before the plane, planes of such rows and columns.
    ///
    /// # Panics
    /// When an output's window holds no input.
    pub fn new(lanes: usize, [size, pad]: [usize; 2], [inputs, outputs]: [[usize; 2]; 2]) -> Self {
        let reaches = |axis: usize| (outputs[axis].max(1) - 1) * STRIDE < inputs[axis] + pad;
        assert!(reaches(0) && reaches(1) && pad <= 1 && size <= 3, "windows hold inputs");
        let width = outputs[1].max(1);
        let rows = rows(lanes, inputs[1], width);
        let picks = |first: usize| {
            let begin = (first * STRIDE).saturating_sub(pad);
            let from = [begin, begin + lanes].map(|at| at.min(inputs[1].saturating_sub(lanes)));
            let mut picks = Picks { from, lanes: [[0.0; MOST_LANES]; 3] };
            for (k, of) in picks.lanes.iter_mut().enumerate() {
                for (lane, of) in of.iter_mut().enumerate().take(lanes) {
                    let (row, column) =
                        if rows == 1 { (0, first + lane) } else { (lane / width, lane % width) };
                    let at = (column * STRIDE + k).saturating_sub(pad).min(inputs[1] - 1);
                    let number = match rows {
                        1 if at < from[0] + lanes => at - from[0],
                        1 => at - from[1] + lanes,
                        _ => row % rows * (2 * lanes / rows) + at,
                    };
                    *of = f32::from_bits(number as u32 % (2 * lanes as u32));
                }
            }
            picks
        };
        let where_padded = |number: usize, padded: &dyn Fn(usize) -> bool| {
            std::array::from_fn(|lane| if pad > 0 && padded(lane) { number as f32 } else { 0.0 })
        };
        let beyond = [where_padded(1, &|lane| lane % width == 0), where_padded(size, &|lane| lane < width)];
        Self { inputs, outputs, rows, ends: [picks(0), picks((width - 1) / lanes * lanes)], beyond }
    }

    /// Values of a plane, of inputs and of outputs.
    fn planes(&self) -> [usize; 2] {
        [self.inputs, self.outputs].map(|[rows, columns]| rows * columns)
    }
}

/// y = the largest of each window of `SIZE` by `SIZE` that begins `PAD` before the plane, and, with `TAKE`, taps = the first tap that
/// meets it. `spare` is a plane of inputs and a register.
///
/// # Panics
/// When `x` has fewer planes than `y`, `taps` are not as many as `y`, or `spare` is too small.
#[inline(always)]
pub fn largest_of_squares<S: Simd, const SIZE: usize, const PAD: usize, const TAKE: bool>(
    simd: S,
    how: &Squares,
    x: &[f32],
    (y, taps): (&mut [f32], &mut [u8]),
    spare: &mut [f32],
) {
    match how.rows {
        4 => planes::<S, SIZE, PAD, TAKE, 4>(simd, how, x, (y, taps), spare),
        2 => planes::<S, SIZE, PAD, TAKE, 2>(simd, how, x, (y, taps), spare),
        _ => planes::<S, SIZE, PAD, TAKE, 1>(simd, how, x, (y, taps), spare),
    }
}

/// [`largest_of_squares`], `ROWS` rows of outputs in a register.
#[inline(always)]
fn planes<S: Simd, const SIZE: usize, const PAD: usize, const TAKE: bool, const ROWS: usize>(
    simd: S,
    how: &Squares,
    x: &[f32],
    (y, taps): (&mut [f32], &mut [u8]),
    spare: &mut [f32],
) {
    let [inputs, outputs] = how.planes();
    let planes = y.len().checked_div(outputs).unwrap_or(0);
    assert!(planes * inputs <= x.len() && planes * outputs == y.len(), "as many planes");
    assert!(!TAKE || taps.len() == y.len(), "a tap for each");
    assert!(spare.len() >= inputs + S::LANES, "room for a plane");
    let halves: [f32; MOST_LANES] = std::array::from_fn(|lane| {
        f32::from_bits((lane + if lane < S::LANES / 2 { 0 } else { S::LANES / 2 }) as u32)
    });
    let plane = Plane::<S, SIZE, PAD, TAKE, ROWS> {
        simd,
        inputs: how.inputs,
        outputs: how.outputs,
        ends: how
            .ends
            .each_ref()
            .map(|ends| (ends.from, ends.lanes.each_ref().map(|lanes| simd.read(lanes)))),
        beyond: how.beyond.each_ref().map(|beyond| simd.read(beyond)),
        halves: simd.read(&halves),
    };
    for p in 0..planes {
        // Registers of short rows reach behind them.
        let from = if (p + 1) * inputs + S::LANES <= x.len() || how.inputs[1] >= S::LANES {
            x[p * inputs..].as_ptr()
        } else {
            spare[..inputs].copy_from_slice(&x[p * inputs..][..inputs]);
            spare.as_ptr()
        };
        let y = y[p * outputs..].as_mut_ptr();
        let taps = if TAKE { taps[p * outputs..].as_mut_ptr() } else { taps.as_mut_ptr() };
        // SAFETY: a plane of each, and a register behind that of inputs if its rows are shorter than that.
        unsafe { plane.fold(from, y, taps) };
    }
}

/// What is known of all planes.
#[derive(Clone, Copy)]
struct Plane<S: Simd, const SIZE: usize, const PAD: usize, const TAKE: bool, const ROWS: usize> {
    simd: S,
    inputs: [usize; 2],
    outputs: [usize; 2],
    ends: [([usize; 2], [S::V; 3]); 2],
    beyond: [S::V; 2],
    /// The first halves of two registers.
    halves: S::V,
}

impl<S: Simd, const SIZE: usize, const PAD: usize, const TAKE: bool, const ROWS: usize>
    Plane<S, SIZE, PAD, TAKE, ROWS>
{
    /// All outputs of a plane.
    ///
    /// # Safety
    /// `x` is a plane and, if rows are shorter than a register, one more; `y` and, with `TAKE`, `taps` are planes.
    #[inline(always)]
    unsafe fn fold(&self, x: *const f32, y: *mut f32, taps: *mut u8) {
        let [height, width] = self.outputs;
        let mut row = 0;
        while row < height {
            let (x, y, taps) = (x, y.wrapping_add(row * width), taps.wrapping_add(row * width));
            // SAFETY: the caller's promise; there are so many rows.
            unsafe {
                row += match height - row {
                    _ if ROWS > 1 => self.row::<1>(x, row, y, taps),
                    2.. => self.row::<2>(x, row, y, taps),
                    _ => self.row::<1>(x, row, y, taps),
                };
            }
        }
    }

    /// `N` times `ROWS` rows of outputs; their number.
    ///
    /// # Safety
    /// As [`Self::fold`], but `y` and `taps` begin at row `row` of a plane.
    #[inline(always)]
    unsafe fn row<const N: usize>(&self, x: *const f32, row: usize, y: *mut f32, taps: *mut u8) -> usize {
        let width = self.outputs[1];
        for column in (0..width).step_by(S::LANES) {
            self.simd.prefetch_to_write(y.wrapping_add(N * column + AHEAD));
            let whole = column + S::LANES <= width && ROWS == 1;
            let end = column * STRIDE + STRIDE * S::LANES + SIZE - 2;
            // SAFETY: the caller's promise; inside of a row all that is read lies on it.
            unsafe {
                if whole && column * STRIDE >= PAD && end - PAD <= self.inputs[1] {
                    self.register::<N, true>(x, [row, column], y.add(column), taps.wrapping_add(column));
                } else {
                    self.register::<N, false>(x, [row, column], y.add(column), taps.wrapping_add(column));
                }
            }
        }
        N * ROWS
    }

    /// A register of each of `N` rows of outputs.
    ///
    /// # Safety
    /// As [`Self::row`]; with `INSIDE` all lanes' windows lie inside of a row.
    #[allow(
        clippy::needless_range_loop,
        reason = "counts known when compiled, so that registers are not put in memory"
    )]
    #[inline(always)]
    unsafe fn register<const N: usize, const INSIDE: bool>(
        &self,
        x: *const f32,
        [row, column]: [usize; 2],
        y: *mut f32,
        taps: *mut u8,
    ) {
        let (simd, width) = (self.simd, self.outputs[1]);
        let zero = simd.splat(0.0);
        let ahead = row * STRIDE * self.inputs[1] + N * STRIDE * STRIDE * column + FAR;
        let mut met = [[zero; 3]; MET];
        for (r, met) in met.iter_mut().enumerate().take((N - 1) * STRIDE + SIZE) {
            if r < N * STRIDE {
                // As many lines as a register of each row of outputs uses up, not all of them at once.
                simd.prefetch(x.wrapping_add(ahead + STRIDE * r * LINE));
                simd.prefetch(x.wrapping_add(ahead + (STRIDE * r + 1) * LINE));
            }
            // SAFETY: the caller's promise.
            *met = unsafe { self.values::<INSIDE>(x, row * STRIDE + r, column) };
        }
        let left = if column == 0 { self.beyond[0] } else { zero };
        let top = if row == 0 { self.beyond[1] } else { zero };
        let count = (ROWS * width - column).min((self.outputs[0] - row) * width - column).min(S::LANES);
        for o in 0..N {
            let (mut best, mut tap) = (zero, zero);
            for t in 0..SIZE {
                for k in 0..SIZE {
                    let v = met[o * STRIDE + t][k];
                    if TAKE {
                        let mut number = simd.splat((t * SIZE + k) as f32);
                        if PAD > 0 && k == 0 && !INSIDE {
                            number = simd.add(number, left);
                        }
                        if PAD > 0 && t == 0 && o == 0 {
                            number = simd.add(number, top);
                        }
                        let first = (t, k) == (0, 0);
                        tap = if first { number } else { simd.where_greater(v, best, number, tap) };
                    }
                    best = if (t, k) == (0, 0) { v } else { simd.max(v, best) };
                }
            }
            let (y, taps) = (y.wrapping_add(o * width), taps.wrapping_add(o * width));
            // SAFETY: the caller's promise; there are so many outputs.
            unsafe {
                if INSIDE || count == S::LANES {
                    simd.store(y, best);
                } else {
                    simd.store_first(y, count, best);
                }
                if TAKE {
                    simd.store_bytes_first(taps, if INSIDE { S::LANES } else { count }, tap);
                }
            }
        }
    }

    /// What the taps of a register of outputs meet in a row, counted from the first that any window may begin at.
    ///
    /// # Safety
    /// As [`Self::register`].
    #[inline(always)]
    unsafe fn values<const INSIDE: bool>(&self, x: *const f32, row: usize, column: usize) -> [S::V; 3] {
        let (simd, [height, width]) = (self.simd, self.inputs);
        let line =
            |more: usize| x.wrapping_add((row + STRIDE * more).saturating_sub(PAD).min(height - 1) * width);
        // SAFETY: the caller's promise; a line is one of the plane, and both registers begin where they end on it, or at its start.
        unsafe {
            if INSIDE {
                let at = line(0).add(column * STRIDE - PAD);
                let (even, odd) = simd.unzip(simd.load(at), simd.load(at.add(S::LANES)));
                if SIZE == 2 {
                    return [even, odd, odd];
                }
                let (_, next) = simd.unzip(simd.load(at.add(1)), simd.load(at.add(S::LANES + 1)));
                return [even, odd, next];
            }
            let (from, lanes) = self.ends[usize::from(column > 0)];
            let (a, b) = match ROWS {
                1 => (simd.load(line(0).add(from[0])), simd.load(line(0).add(from[1]))),
                2 => (simd.load(line(0)), simd.load(line(1))),
                _ => {
                    let a = simd.pick_two(simd.load(line(0)), simd.load(line(1)), self.halves);
                    (a, simd.pick_two(simd.load(line(2)), simd.load(line(3)), self.halves))
                }
            };
            let next = if SIZE == 3 { simd.pick_two(a, b, lanes[2]) } else { b };
            [simd.pick_two(a, b, lanes[0]), simd.pick_two(a, b, lanes[1]), next]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    /// Two planes of so many inputs a side and half as many outputs, `x` and `spare` too short by so many values.
    struct Planes(usize, [usize; 2]);

    impl Job for Planes {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self(side, [short, cramped]) = self;
            let how = Squares::new(S::LANES, [2, 0], [[side; 2], [side / 2; 2]]);
            let x: Vec<f32> = (0..2 * side * side - short).map(|i| (i * 37 % 11) as f32).collect();
            let (mut y, mut taps) = (vec![0.0; side * side / 2], vec![0; side * side / 2]);
            let mut spare = vec![0.0; side * side + S::LANES - cramped];
            largest_of_squares::<S, 2, 0, true>(simd, &how, &x, (&mut y, &mut taps), &mut spare);
            for (o, (&y, &tap)) in y.iter().zip(&taps).enumerate() {
                let (row, column) = (o / (side / 2), o % (side / 2));
                let met = [0, 1, side, side + 1].map(|more| x[2 * row * side + 2 * column + more]);
                let first = (0..4).fold(0, |best, tap| if met[tap] > met[best] { tap } else { best });
                assert_eq!((y, usize::from(tap)), (met[first], first), "{side}");
            }
        }
    }

    #[test]
    fn registers_are_rows_or_parts_of_them() {
        let all = Isa::all().flat_map(|isa| [2, 4, 6, 8, 14, 16, 18, 32, 34, 70].map(|side| (isa, side)));
        all.for_each(|(isa, side)| isa.run(Planes(side, [0; 2])));
    }

    #[test]
    #[should_panic(expected = "as many planes")]
    fn planes_are_whole() {
        Isa::best().run(Planes(8, [1, 0]));
    }

    #[test]
    #[should_panic(expected = "room for a plane")]
    fn a_plane_has_room() {
        Isa::best().run(Planes(8, [0, 1]));
    }

    #[test]
    #[should_panic(expected = "windows hold inputs")]
    fn windows_hold_inputs() {
        Squares::new(16, [2, 0], [[4; 2], [3; 2]]);
    }
}
