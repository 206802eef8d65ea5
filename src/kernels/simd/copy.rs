//! Copies of rows of planes, changed on the way. Lengths are checked once for many rows, as rows may be shorter than a register.

use super::{Divisor, Divisors, Simd, quotient};

/// Values ahead of the last read, and of the last written, whose lines are asked for.
pub const FAR: usize = 1024;
const AHEAD: usize = 128;

/// What becomes of values while their rows are copied. Must be `#[inline(always)]`.
pub trait Change: Copy {
    /// Panics unless it can be done with `planes` of `values` each.
    fn check(&self, _planes: usize, _values: usize) {}
    /// Of the first `n` lanes of a register: the first is value number `place[0]` of its plane, number `place[1]` of all.
    ///
    /// # Safety
    /// The values are some of those that were checked.
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, place: [usize; 2], n: usize) -> S::V;
}

/// They stay as they are.
#[derive(Clone, Copy)]
pub struct Unchanged;

impl Change for Unchanged {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, _: S, v: S::V, _: [usize; 2], _: usize) -> S::V {
        v
    }
}

/// They are divided by numbers, one for each value of a plane.
#[derive(Clone, Copy)]
pub struct Over<'a>(pub Divisors<'a>);

impl Change for Over<'_> {
    fn check(&self, _: usize, values: usize) {
        let Divisors { by, minus_inverse } = self.0;
        assert!(values <= by.len() && values <= minus_inverse.len(), "a number for each value of a plane");
    }

    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, [at, _]: [usize; 2], n: usize) -> S::V {
        let Divisors { by, minus_inverse } = self.0;
        // SAFETY: the caller's promise.
        unsafe { quotient(simd, v, load(simd, by, at, n), load(simd, minus_inverse, at, n)) }
    }
}

/// They are divided by a number.
#[derive(Clone, Copy)]
pub struct OverOne(pub Divisor);

impl Change for OverOne {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, _: [usize; 2], _: usize) -> S::V {
        quotient(simd, v, simd.splat(self.0.by), simd.splat(self.0.minus_inverse))
    }
}

/// A register, or its first `n` lanes.
///
/// # Safety
/// So many values are there.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, from: &[f32], at: usize, n: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe {
        let from = from.as_ptr().add(at);
        if n == S::LANES { simd.load(from) } else { simd.load_first(from, n) }
    }
}

/// Their square roots.
#[derive(Clone, Copy)]
pub struct Root;

impl Change for Root {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, _: [usize; 2], _: usize) -> S::V {
        simd.sqrt(v)
    }
}

/// They are divided by numbers, one for each value of all planes, or become 0 where that is 0.
#[derive(Clone, Copy)]
pub struct OverRoot<'a>(pub &'a [f32]);

impl Change for OverRoot<'_> {
    fn check(&self, planes: usize, values: usize) {
        assert!(planes * values <= self.0.len(), "a number for each value");
    }

    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, [_, at]: [usize; 2], n: usize) -> S::V {
        // SAFETY: the caller's promise.
        let root = unsafe { load(simd, self.0, at, n) };
        simd.where_greater(root, simd.splat(0.0), simd.div(v, root), simd.splat(0.0))
    }
}

/// Rows of planes that follow one another.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// How many planes.
    pub planes: usize,
    /// Rows of a plane.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// From row to row of what is read, and of what is written.
    pub line: [usize; 2],
}

impl Layout {
    /// One row of so many values.
    pub fn row(width: usize) -> Self {
        Self { planes: 1, rows: 1, width, line: [0; 2] }
    }

    /// So many planes, each a row, which follow one another without a gap.
    pub fn whole_planes(planes: usize, values: usize) -> Self {
        Self { planes, rows: 1, width: values, line: [values; 2] }
    }
}

/// Copies rows, and writes nothing between them. What is read is asked for ahead with `FROM`, and what is written with `TO`.
///
/// # Panics
/// When a row reaches outside of `from`, or there is no room for one.
#[inline(always)]
pub fn copy<S: Simd, const FROM: bool, const TO: bool>(
    simd: S,
    Layout { planes, rows, width, line }: Layout,
    (from, change): (&[f32], impl Change),
    to: &mut [f32],
) {
    let count = planes * rows;
    if count * width == 0 {
        return;
    }
    assert!((count - 1) * line[0] + width <= from.len(), "a row reaches outside");
    assert!((count - 1) * line[1] + width <= to.len(), "no room for a row");
    change.check(planes, rows * width);
    let (mut from, mut to, mut all) = (from.as_ptr(), to.as_mut_ptr(), 0);
    let whole = width - width % S::LANES;
    for _ in 0..planes {
        for row in 0..rows {
            for at in (0..whole).step_by(S::LANES) {
                // SAFETY: all rows lie inside.
                unsafe {
                    ask::<S, FROM, TO>(simd, from.wrapping_add(at), to.wrapping_add(at));
                    let v = simd.load(from.add(at));
                    simd.store(to.add(at), change.of(simd, v, [row * width + at, all + at], S::LANES));
                }
            }
            if whole < width {
                let (at, rest) = (whole, width - whole);
                // SAFETY: all rows lie inside.
                unsafe {
                    ask::<S, FROM, TO>(simd, from.wrapping_add(at), to.wrapping_add(at));
                    let v = simd.load_first(from.add(at), rest);
                    simd.store_first(
                        to.add(at),
                        rest,
                        change.of(simd, v, [row * width + at, all + at], rest),
                    );
                }
            }
            (from, to, all) = (from.wrapping_add(line[0]), to.wrapping_add(line[1]), all + width);
        }
    }
}

/// Asks for what lies ahead of what is read and written.
#[inline(always)]
pub fn ask<S: Simd, const FROM: bool, const TO: bool>(simd: S, from: *const f32, to: *const f32) {
    if FROM {
        simd.prefetch(from.wrapping_add(FAR));
    }
    if TO {
        simd.prefetch_to_write(to.wrapping_add(AHEAD));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    fn values() -> Vec<f32> {
        (0..2000).map(|i| (i * 37 % 64) as f32).collect()
    }

    struct Copies<C>([usize; 3], C, fn(f32, usize) -> f32);

    impl<C: Change> Job for Copies<C> {
        type Output = ();

        /// Each value must be what the function says, given what was copied and its number of all.
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self([planes, rows, width], change, want) = self;
            let (x, mut to) = (values(), vec![f32::NAN; 400]);
            let layout = Layout { planes, rows, width, line: [41, 40] };
            copy::<S, true, true>(simd, layout, (&x[..400], change), &mut to);
            for (i, to) in to.into_iter().enumerate() {
                let (row, column) = (i / 40, i % 40);
                let written = row < planes * rows && column < width;
                let want = || want(x[row * 41 + column], row * width + column);
                assert!(if written { to == want() } else { to.is_nan() });
            }
        }
    }

    #[test]
    fn rows_are_copied() {
        // Of each plane, and of all; 0 is one of them.
        let numbers: Vec<f32> = (0..400).map(|i| (i % 9) as f32).collect();
        let minus_inverses: Vec<f32> = numbers.iter().map(|number| -1.0 / (number + 1.0)).collect();
        let divisors: Vec<f32> = numbers.iter().map(|number| number + 1.0).collect();
        for sizes in
            [[1, 0, 3], [0, 2, 3], [1, 2, 0], [1, 1, 1], [1, 5, 7], [3, 3, 3], [2, 1, 16], [4, 2, 37]]
        {
            for isa in Isa::all() {
                isa.run(Copies(sizes, Unchanged, |v, _| v));
                isa.run(Copies(sizes, Root, |v, _| v.sqrt()));
                isa.run(Copies(sizes, OverOne(Divisor::new(7.0)), |v, _| v / 7.0));
                let over = |v: f32, i: usize| if i.is_multiple_of(9) { 0.0 } else { v / (i % 9) as f32 };
                isa.run(Copies(sizes, OverRoot(&numbers), over));
                // Of the same number in each plane.
                if sizes[1] * sizes[2] == 9 {
                    let (by, minus_inverse) = (&divisors[..9], &minus_inverses[..9]);
                    let over = Over(Divisors { by, minus_inverse });
                    isa.run(Copies(sizes, over, |v, i| v / (i % 9 + 1) as f32));
                }
            }
        }
    }
}
