//! What is made of windows of two by two or three by three that move by two: their largest values, or their means. Some rows of windows
//! share the rows they meet. Inside of rows registers are taken apart by the stride; at their ends what a tap meets is picked from two
//! registers by a table. A tap beyond the plane meets 0, or what its neighbour meets, whose number it has.
//!
//! Where rows are short a register is two or four rows of outputs, and each row of inputs brings a register, or half of
//! one. What will be read and written is asked for.

use super::{
    LINE, MOST_LANES, Simd,
    folds::{At, Fold},
};

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
    /// Size and margin of windows.
    window: [usize; 2],
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

/// Where in a row its two registers begin, which lane of them each tap of a row of windows meets, and the bits of what counts of it
/// where taps beyond the row meet 0.
#[derive(Clone, Copy, Debug)]
struct Picks {
    from: [usize; 2],
    lanes: [[f32; MOST_LANES]; 3],
    kept: [[f32; MOST_LANES]; 3],
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
            let mut picks = Picks { from, lanes: [[0.0; MOST_LANES]; 3], kept: [[0.0; MOST_LANES]; 3] };
            for (k, (of, kept)) in picks.lanes.iter_mut().zip(&mut picks.kept).enumerate() {
                for (lane, (of, kept)) in of.iter_mut().zip(kept).enumerate().take(lanes) {
                    let (row, column) =
                        if rows == 1 { (0, first + lane) } else { (lane / width, lane % width) };
                    if (pad..inputs[1] + pad).contains(&(column * STRIDE + k)) {
                        *kept = f32::from_bits(u32::MAX);
                    }
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
        Self {
            window: [size, pad],
            inputs,
            outputs,
            rows,
            ends: [picks(0), picks((width - 1) / lanes * lanes)],
            beyond,
        }
    }

    /// Values of a plane, of inputs and of outputs.
    fn planes(&self) -> [usize; 2] {
        [self.inputs, self.outputs].map(|[rows, columns]| rows * columns)
    }
}

/// y = what is made of each window of `SIZE` by `SIZE` that begins `PAD` before the plane. `spare` is two planes of inputs and two
/// registers.
///
/// # Panics
/// When `how` is of other windows, `x` has fewer planes than `y`, `spare` is too small, or `fold` cannot do it.
#[inline(always)]
pub fn fold_squares<S: Simd, F: Fold, const SIZE: usize, const PAD: usize>(
    simd: S,
    how: &Squares,
    x: &[f32],
    fold: F,
    y: &mut [f32],
    spare: &mut [f32],
) {
    match how.rows {
        4 => planes::<S, F, SIZE, PAD, 4>(simd, how, x, fold, y, spare),
        2 => planes::<S, F, SIZE, PAD, 2>(simd, how, x, fold, y, spare),
        _ => planes::<S, F, SIZE, PAD, 1>(simd, how, x, fold, y, spare),
    }
}

/// [`fold_squares`], `ROWS` rows of outputs in a register.
#[inline(always)]
fn planes<S: Simd, F: Fold, const SIZE: usize, const PAD: usize, const ROWS: usize>(
    simd: S,
    how: &Squares,
    x: &[f32],
    mut fold: F,
    y: &mut [f32],
    spare: &mut [f32],
) {
    let [inputs, outputs] = how.planes();
    let planes = y.len().checked_div(outputs).unwrap_or(0);
    assert!(how.window == [SIZE, PAD], "windows as made ready for");
    assert!(planes * inputs <= x.len() && planes * outputs == y.len(), "as many planes");
    assert!(spare.len() >= 2 * (inputs + S::LANES), "room for two planes");
    fold.check(y.len(), outputs);
    let (spare, zeros) = spare.split_at_mut(inputs + S::LANES);
    if F::ZEROS {
        zeros.fill(0.0);
    }
    let halves: [f32; MOST_LANES] = std::array::from_fn(|lane| {
        f32::from_bits((lane + if lane < S::LANES / 2 { 0 } else { S::LANES / 2 }) as u32)
    });
    let plane = Plane::<S, SIZE, PAD, ROWS> {
        simd,
        inputs: how.inputs,
        outputs: how.outputs,
        from: how.ends.each_ref().map(|end| end.from),
        lanes: how.ends.each_ref().map(|end| end.lanes.each_ref().map(|lanes| simd.read(lanes))),
        kept: how.ends.each_ref().map(|end| end.kept.each_ref().map(|kept| simd.read(kept))),
        beyond: how.beyond.each_ref().map(|beyond| simd.read(beyond)),
        halves: simd.read(&halves),
        zeros: zeros.as_ptr(),
    };
    for p in 0..planes {
        // Registers of short rows reach behind them.
        let from = if (p + 1) * inputs + S::LANES <= x.len() || how.inputs[1] >= S::LANES {
            x[p * inputs..].as_ptr()
        } else {
            spare[..inputs].copy_from_slice(&x[p * inputs..][..inputs]);
            spare.as_ptr()
        };
        // SAFETY: a plane of each, and a register behind that of inputs if its rows are shorter than that.
        unsafe { plane.fold(from, &mut fold, y.as_mut_ptr(), p * outputs) };
    }
}

/// What is known of all planes.
#[derive(Clone, Copy)]
struct Plane<S: Simd, const SIZE: usize, const PAD: usize, const ROWS: usize> {
    simd: S,
    inputs: [usize; 2],
    outputs: [usize; 2],
    /// Of the first and the last register of a row.
    from: [[usize; 2]; 2],
    lanes: [[S::V; 3]; 2],
    kept: [[S::V; 3]; 2],
    beyond: [S::V; 2],
    /// The first halves of two registers.
    halves: S::V,
    /// A row of zeros, and a register.
    zeros: *const f32,
}

impl<S: Simd, const SIZE: usize, const PAD: usize, const ROWS: usize> Plane<S, SIZE, PAD, ROWS> {
    /// All outputs of a plane, number `first` of all and those behind it.
    ///
    /// # Safety
    /// `x` is a plane and, if rows are shorter than a register, one more; `y` are so many outputs and a plane, which `fold` has checked.
    #[inline(always)]
    unsafe fn fold<F: Fold>(&self, x: *const f32, fold: &mut F, y: *mut f32, first: usize) {
        let height = self.outputs[0];
        let mut row = 0;
        while row < height {
            // SAFETY: the caller's promise; there are so many rows.
            unsafe {
                row += match height - row {
                    _ if ROWS > 1 => self.row::<F, 1>(x, row, fold, y, first),
                    2.. => self.row::<F, 2>(x, row, fold, y, first),
                    _ => self.row::<F, 1>(x, row, fold, y, first),
                };
            }
        }
    }

    /// `N` times `ROWS` rows of outputs; their number.
    ///
    /// # Safety
    /// As [`Self::fold`]; there are so many rows of outputs.
    #[inline(always)]
    unsafe fn row<F: Fold, const N: usize>(
        &self,
        x: *const f32,
        row: usize,
        fold: &mut F,
        y: *mut f32,
        first: usize,
    ) -> usize {
        let width = self.outputs[1];
        for column in (0..width).step_by(S::LANES) {
            self.simd.prefetch_to_write(y.wrapping_add(first + row * width + N * column + AHEAD));
            let whole = column + S::LANES <= width && ROWS == 1;
            let end = column * STRIDE + STRIDE * S::LANES + SIZE - 2;
            // SAFETY: the caller's promise; inside of a row all that is read lies on it.
            unsafe {
                if whole && column * STRIDE >= PAD && end - PAD <= self.inputs[1] {
                    self.register::<F, N, true>(x, [row, column], fold, y, first);
                } else {
                    self.register::<F, N, false>(x, [row, column], fold, y, first);
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
    unsafe fn register<F: Fold, const N: usize, const INSIDE: bool>(
        &self,
        x: *const f32,
        [row, column]: [usize; 2],
        fold: &mut F,
        y: *mut f32,
        first: usize,
    ) {
        let (simd, [height, width]) = (self.simd, self.outputs);
        let zero = simd.splat(0.0);
        let ahead = row * STRIDE * self.inputs[1] + N * STRIDE * STRIDE * column + FAR;
        let mut met = [[zero; 3]; MET];
        for r in 0..(N - 1) * STRIDE + SIZE {
            if r < N * STRIDE {
                // As many lines as a register of each row of outputs uses up, not all of them at once.
                simd.prefetch(x.wrapping_add(ahead + STRIDE * r * LINE));
                simd.prefetch(x.wrapping_add(ahead + (STRIDE * r + 1) * LINE));
            }
            // SAFETY: the caller's promise.
            met[r] = unsafe { self.values::<F, INSIDE>(x, row * STRIDE + r, column) };
        }
        let count = (ROWS * width - column).min((height - row) * width - column).min(S::LANES);
        for o in 0..N {
            let of_plane = (row + o) * width + column;
            let of_all = first + of_plane;
            let top = (row + o) * STRIDE;
            let whole = INSIDE && top >= PAD && top + SIZE <= self.inputs[0] + PAD;
            let left =
                if INSIDE || PAD == 0 { None } else { Some(if column == 0 { self.beyond[0] } else { zero }) };
            let above =
                if o > 0 || PAD == 0 { None } else { Some(if row == 0 { self.beyond[1] } else { zero }) };
            let at = At {
                of_plane,
                of_all,
                count: if INSIDE { S::LANES } else { count },
                whole,
                beyond: [left, above],
            };
            let met = [met[o * STRIDE], met[o * STRIDE + 1], met[(o * STRIDE + 2).min(MET - 1)]];
            // SAFETY: the caller's promise; there are so many outputs.
            unsafe {
                let made = fold.of::<S, SIZE, PAD>(simd, met, &at);
                if INSIDE || count == S::LANES {
                    simd.store(y.add(of_all), made);
                } else {
                    simd.store_first(y.add(of_all), count, made);
                }
            }
        }
    }

    /// What the taps of a register of outputs meet in a row, counted from the first that any window may begin at.
    ///
    /// # Safety
    /// As [`Self::register`].
    #[inline(always)]
    unsafe fn values<F: Fold, const INSIDE: bool>(
        &self,
        x: *const f32,
        row: usize,
        column: usize,
    ) -> [S::V; 3] {
        let (simd, [height, width]) = (self.simd, self.inputs);
        let line = |more: usize| {
            let row = row + STRIDE * more;
            if F::ZEROS && !(PAD..height + PAD).contains(&row) {
                return self.zeros;
            }
            x.wrapping_add(row.saturating_sub(PAD).min(height - 1) * width)
        };
        // SAFETY: the caller's promise; a line is one of the plane, or as long, and both registers begin where they end on it, or at its
        // start.
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
            let end = usize::from(column > 0);
            let (from, lanes, kept) = (self.from[end], self.lanes[end], self.kept[end]);
            let (a, b) = match ROWS {
                1 => (simd.load(line(0).add(from[0])), simd.load(line(0).add(from[1]))),
                2 => (simd.load(line(0)), simd.load(line(1))),
                _ => {
                    let a = simd.pick_two(simd.load(line(0)), simd.load(line(1)), self.halves);
                    (a, simd.pick_two(simd.load(line(2)), simd.load(line(3)), self.halves))
                }
            };
            let tap = |k: usize| {
                let met = simd.pick_two(a, b, lanes[k]);
                if F::ZEROS { simd.and_bits(met, kept[k]) } else { met }
            };
            [tap(0), tap(1), if SIZE == 3 { tap(2) } else { b }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Divisors, Isa, Job,
            folds::{Largest, Mean},
        },
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
            let (mut y, mut means, mut taps) =
                (vec![0.0; side * side / 2], vec![0.0; side * side / 2], vec![0; side * side / 2]);
            let mut spare = vec![0.0; 2 * (side * side + S::LANES) - cramped];
            fold_squares::<S, _, 2, 0>(simd, &how, &x, Largest::<true>(&mut taps), &mut y, &mut spare);
            let fours = vec![4.0; side * side / 4];
            let norms = Divisors { by: &fours, minus_inverse: &vec![-0.25; side * side / 4] };
            fold_squares::<S, _, 2, 0>(simd, &how, &x, Mean(norms), &mut means, &mut spare);
            for (o, (&y, &tap)) in y.iter().zip(&taps).enumerate() {
                let (row, column) = (o / (side / 2), o % (side / 2));
                let met = [0, 1, side, side + 1].map(|more| x[2 * row * side + 2 * column + more]);
                let first = (0..4).fold(0, |best, tap| if met[tap] > met[best] { tap } else { best });
                assert_eq!((y, usize::from(tap)), (met[first], first), "{side}");
                assert_eq!(means[o], met.iter().sum::<f32>() / 4.0, "{side}");
            }
        }
    }

    /// A plane of ones and so many rows and columns, windows of `SIZE` that begin `PAD` before it: sums count the taps that lie on it.
    struct Ones<const SIZE: usize, const PAD: usize>([usize; 2]);

    impl<const SIZE: usize, const PAD: usize> Job for Ones<SIZE, PAD> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self(inputs) = self;
            let outputs = inputs.map(|n| (n + 2 * PAD).saturating_sub(SIZE).div_ceil(STRIDE) + 1);
            let how = Squares::new(S::LANES, [SIZE, PAD], [inputs, outputs]);
            let count = |axis: usize, o: usize| {
                (0..SIZE).filter(|k| (PAD..inputs[axis] + PAD).contains(&(o * STRIDE + k))).count()
            };
            let want: Vec<f32> = (0..outputs[0] * outputs[1])
                .map(|o| (count(0, o / outputs[1]) * count(1, o % outputs[1])) as f32)
                .collect();
            let inverses: Vec<f32> = want.iter().map(|want| -1.0 / want).collect();
            let norms = Divisors { by: &want, minus_inverse: &inverses };
            let (mut y, plane) = (vec![f32::NAN; want.len()], inputs[0] * inputs[1]);
            let mut spare = vec![f32::NAN; 2 * (plane + S::LANES)];
            fold_squares::<S, _, SIZE, PAD>(simd, &how, &vec![1.0; plane], Mean(norms), &mut y, &mut spare);
            assert!(y.iter().all(|y| *y == 1.0), "{inputs:?} of {SIZE}, {PAD}: {y:?}");
        }
    }

    #[test]
    fn what_lies_beyond_is_no_part_of_a_mean() {
        for isa in Isa::all() {
            for inputs in [[2, 2], [3, 5], [8, 8], [7, 16], [16, 7], [5, 31], [4, 33], [9, 70]] {
                isa.run(Ones::<2, 0>(inputs));
                isa.run(Ones::<3, 0>(inputs));
                isa.run(Ones::<3, 1>(inputs));
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
    #[should_panic(expected = "room for two planes")]
    fn a_plane_has_room() {
        Isa::best().run(Planes(8, [0, 1]));
    }

    #[test]
    #[should_panic(expected = "windows hold inputs")]
    fn windows_hold_inputs() {
        Squares::new(16, [2, 0], [[4; 2], [3; 2]]);
    }
}
