//! Loops that read and write each element once: bound by memory, so they are cut into chunks and vectorized.
//!
//! A loop must be inlined into the function that is compiled for the instruction set. The compiler always does
//! that to a [`Job`] whose `run` is `#[inline(always)]`; to a closure only while its body is small. So loops whose
//! body may be large are jobs here.

use super::{
    parallel::{chunk_of, for_chunks_mut, for_chunks_mut2},
    simd::{Asked, Each, Isa, Job, LINE, Own, Renew, Simd, begins_line, each, each_past, renew, write_past},
};

/// Runs `f` compiled for the best instruction set of this machine; `f` must be a small loop.
#[inline(always)]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    Isa::best().run(Call(f))
}

struct Call<F>(F);

impl<R, F: FnOnce() -> R> Job for Call<F> {
    type Output = R;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> R {
        (self.0)()
    }
}

/// What a loop calls for each element has its settings by value: behind a reference they would be read anew after each store,
/// and the loop would not vectorize.
pub trait ByValue: Copy + Send + Sync + 'static {}

impl<T: Copy + Send + Sync + 'static> ByValue for T {}

/// y = f(x).
pub fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32 + ByValue) {
    assert_eq!(x.len(), y.len());
    let far = y.len() >= FAR;
    for_chunks_mut(y, chunk_of(y.len()), |start, y| {
        let x = &x[start..][..y.len()];
        Isa::best().run(Map(x, y, far, f));
    });
}

struct Map<'a, F>(&'a [f32], &'a mut [f32], bool, F);

impl<F: Fn(f32) -> f32> Job for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Map(x, mut y, far, f) = self;
        let mut near = [0.0; PIECE];
        for x in x.chunks(PIECE) {
            let piece = if far { &mut near[..x.len()] } else { next_piece(simd, &mut y) };
            for (y, &x) in piece.iter_mut().zip(x) {
                *y = f(x);
            }
            if far {
                put(simd, &near[..x.len()], &mut y);
            }
        }
        if far {
            simd.fence();
        }
    }
}

/// Values that are written before as many more are asked for: a store whose line is not there holds up those behind it.
pub(super) const PIECE: usize = 128;
/// Values that may lie in the second-level cache, with as many that are read: nothing is asked for, which would cost
/// more than it saves.
const NEAR: usize = 1 << 17;
/// Values that are made in the first-level cache and written past the others: lines that are not read before they are
/// written make a third fewer bytes of a copy, a quarter fewer of a sum of two blobs, and of so many values nothing is
/// near any more when they are read. Such a sum and its gradient then move as many bytes a second as a copy.
pub(super) const FAR: usize = 1 << 21;

/// The next values to be written. Those after them are asked for, so that their lines do not have to be waited for.
#[inline(always)]
pub(super) fn next_piece<'a, S: Simd>(simd: S, rest: &mut &'a mut [f32]) -> &'a mut [f32] {
    let all = std::mem::take(rest);
    let (piece, later) = all.split_at_mut(all.len().min(PIECE));
    for line in later[..later.len().min(PIECE)].chunks(LINE) {
        simd.prefetch_to_write(line.as_ptr());
    }
    *rest = later;
    piece
}

/// Writes what was made near to the next values, past the caches.
#[inline(always)]
pub(super) fn put<S: Simd>(simd: S, near: &[f32], rest: &mut &mut [f32]) {
    let (piece, later) = std::mem::take(rest).split_at_mut(near.len());
    write_past(simd, near, piece);
    *rest = later;
}

/// out = f(rows), a register of each at a time.
pub fn evaluate<const N: usize>(rows: [&[f32]; N], out: &mut [f32], f: impl Each<N, 1> + Send + Sync) {
    let all = out.len();
    evaluate_part(rows, out, all, f);
}

/// [`evaluate`] of a part of `all` values that are made together.
pub(super) fn evaluate_part<const N: usize>(
    rows: [&[f32]; N],
    out: &mut [f32],
    all: usize,
    f: impl Each<N, 1> + Send + Sync,
) {
    assert!(rows.iter().all(|row| row.len() == out.len()), "lengths");
    for_chunks_mut(out, chunk_of(out.len()), |start, out| {
        let rows = rows.map(|row| &row[start..][..out.len()]);
        Isa::best().run(Evaluate { rows, out, all, f });
    });
}

struct Evaluate<'a, F, const N: usize> {
    rows: [&'a [f32]; N],
    out: &'a mut [f32],
    /// Values of all chunks.
    all: usize,
    f: F,
}

impl<F: Each<N, 1>, const N: usize> Job for Evaluate<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.all >= FAR && begins_line(self.out.as_ptr()) {
            each_past(simd, self.rows, self.out, self.f);
            simd.fence();
        } else if self.all > NEAR {
            let asked = Asked { reads: [], writes: [self.out.as_ptr().wrapping_add(PIECE)] };
            each(simd, self.rows, [self.out], asked, self.f);
        } else {
            each(simd, self.rows, [self.out], Asked::NOTHING, self.f);
        }
    }
}

/// x = f(x), in place, a register at a time.
pub fn evaluate_own(x: &mut [f32], f: impl Each<1, 1> + Send + Sync) {
    evaluate_own_on(Isa::best(), x, f);
}

/// [`evaluate_own`] by one instruction set.
pub(super) fn evaluate_own_on(isa: Isa, x: &mut [f32], f: impl Each<1, 1> + Send + Sync) {
    for_chunks_mut(x, chunk_of(x.len()), |_, x| isa.run(EvaluateOwn(x, f)));
}

struct EvaluateOwn<'a, F>(&'a mut [f32], F);

impl<F: Each<1, 1>> Job for EvaluateOwn<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        renew(simd, [], [self.0], Asked::NOTHING, Own(self.1));
    }
}

/// y, z = f(x).
pub fn map_both(x: &[f32], y: &mut [f32], z: &mut [f32], f: impl Fn(f32) -> [f32; 2] + ByValue) {
    assert!(x.len() == y.len() && x.len() == z.len());
    for_chunks_mut2(y, z, chunk_of(y.len()), |start, y, z| {
        let x = &x[start..][..y.len()];
        Isa::best().run(MapBoth(x, y, z, f));
    });
}

struct MapBoth<'a, F>(&'a [f32], &'a mut [f32], &'a mut [f32], F);

impl<F: Fn(f32) -> [f32; 2]> Job for MapBoth<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let MapBoth(x, mut y, mut z, f) = self;
        for x in x.chunks(PIECE) {
            let (y, z) = (next_piece(simd, &mut y), next_piece(simd, &mut z));
            for ((y, z), &x) in y.iter_mut().zip(z).zip(x) {
                [*y, *z] = f(x);
            }
        }
    }
}

/// z = f(x, y).
pub fn map2(x: &[f32], y: &[f32], z: &mut [f32], f: impl Fn(f32, f32) -> f32 + ByValue) {
    assert!(x.len() == z.len() && y.len() == z.len());
    let far = z.len() >= FAR;
    for_chunks_mut(z, chunk_of(z.len()), |start, z| {
        let (x, y) = (&x[start..][..z.len()], &y[start..][..z.len()]);
        Isa::best().run(Map2(x, y, z, far, f));
    });
}

struct Map2<'a, F>(&'a [f32], &'a [f32], &'a mut [f32], bool, F);

impl<F: Fn(f32, f32) -> f32> Job for Map2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Map2(x, y, mut z, far, f) = self;
        let mut near = [0.0; PIECE];
        for (x, y) in x.chunks(PIECE).zip(y.chunks(PIECE)) {
            let piece = if far { &mut near[..x.len()] } else { next_piece(simd, &mut z) };
            for (z, (&x, &y)) in piece.iter_mut().zip(x.iter().zip(y)) {
                *z = f(x, y);
            }
            if far {
                put(simd, &near[..x.len()], &mut z);
            }
        }
        if far {
            simd.fence();
        }
    }
}

/// w = f(x, y, z).
pub fn map3(x: &[f32], y: &[f32], z: &[f32], w: &mut [f32], f: impl Fn(f32, f32, f32) -> f32 + ByValue) {
    assert!(x.len() == w.len() && y.len() == w.len() && z.len() == w.len());
    let far = w.len() >= FAR;
    for_chunks_mut(w, chunk_of(w.len()), |start, w| {
        let n = w.len();
        let (x, y, z) = (&x[start..][..n], &y[start..][..n], &z[start..][..n]);
        Isa::best().run(Map3(x, y, z, w, far, f));
    });
}

struct Map3<'a, F>(&'a [f32], &'a [f32], &'a [f32], &'a mut [f32], bool, F);

impl<F: Fn(f32, f32, f32) -> f32> Job for Map3<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Map3(x, y, z, mut w, far, f) = self;
        let mut near = [0.0; PIECE];
        for (x, (y, z)) in x.chunks(PIECE).zip(y.chunks(PIECE).zip(z.chunks(PIECE))) {
            let piece = if far { &mut near[..x.len()] } else { next_piece(simd, &mut w) };
            for (w, (&x, (&y, &z))) in piece.iter_mut().zip(x.iter().zip(y.iter().zip(z))) {
                *w = f(x, y, z);
            }
            if far {
                put(simd, &near[..x.len()], &mut w);
            }
        }
        if far {
            simd.fence();
        }
    }
}

/// y = f(x, y), in place.
pub fn update(x: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32 + ByValue) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut(y, chunk_of(y.len()), |start, y| {
        let x = &x[start..][..y.len()];
        vectorized(move || y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x, *y)));
    });
}

/// y = f(x, y), in place, a register of each at a time: for functions that choose, of which the compiler would make something slow.
pub fn update_each(x: &[f32], y: &mut [f32], f: impl Renew<1, 1> + Send + Sync) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut(y, chunk_of(y.len()), |start, y| {
        let x = &x[start..][..y.len()];
        Isa::best().run(UpdateEach(x, y, f));
    });
}

struct UpdateEach<'a, F>(&'a [f32], &'a mut [f32], F);

impl<F: Renew<1, 1>> Job for UpdateEach<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        renew(simd, [self.0], [self.1], Asked::NOTHING, self.2);
    }
}

/// x = f(x), in place.
pub fn apply(x: &mut [f32], f: impl Fn(f32) -> f32 + ByValue) {
    for_chunks_mut(x, chunk_of(x.len()), |_, x| vectorized(move || x.iter_mut().for_each(|x| *x = f(*x))));
}

/// The gradient `d` of a rectifier whose top is `y`: 0 where that is not above 0.
#[inline(always)]
pub fn rectified(d: f32, y: f32) -> f32 {
    if y > 0.0 { d } else { 0.0 }
}

/// [`rectified`] of registers.
#[derive(Clone, Copy)]
pub struct Rectified;

impl Each<2, 1> for Rectified {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [d, y]: [S::V; 2]) -> [S::V; 1] {
        [simd.where_greater(y, simd.splat(0.0), d, simd.splat(0.0))]
    }
}

impl Renew<1, 1> for Rectified {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [y]: [S::V; 1], [d]: [S::V; 1]) -> [S::V; 1] {
        Each::of(self, simd, [d, y])
    }
}

/// The larger of the two, `x` where that is not a number: `f32::max` would lose it, and who trains would never know.
#[inline(always)]
pub fn at_least(x: f32, least: f32) -> f32 {
    if x <= least { least } else { x }
}

/// y += a * x.
pub fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) {
    update(x, y, move |x, y| y + a * x);
}

/// y = x, in parallel.
pub fn copy(x: &[f32], y: &mut [f32]) {
    map(x, y, |x| x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernels::parallel::CHUNK, tensor::Buffer};

    #[test]
    fn loops_visit_every_element() {
        for n in [0, 1, 17, 3 * CHUNK + 5, FAR + 1029] {
            let x: Vec<f32> = (0..n).map(|i| (i % 101) as f32).collect();
            let mut y = Buffer::of(&vec![f32::NAN; n]);
            map(&x, &mut y, |x| x + 1.0);
            update(&x, &mut y, |x, y| y - x);
            assert!(y.iter().all(|&y| y == 1.0));
            add_scaled(2.0, &x, &mut y);
            let mut z = Buffer::of(&vec![f32::NAN; n]);
            map2(&x, &y, &mut z, |x, y| y - 2.0 * x);
            assert!(z.iter().all(|&z| z == 1.0));
            let mut w = Buffer::of(&y);
            map3(&x, &y, &z, &mut w, |_, _, z| z);
            assert_eq!(w[..], z[..]);
            apply(&mut z, |z| -z);
            copy(&z, &mut y);
            assert!(y.iter().all(|&y| y == -1.0));
            map_both(&x, &mut y, &mut z, |x| [x, 2.0 * x]);
            assert!(y[..] == x && z.iter().zip(&x).all(|(&z, &x)| z == 2.0 * x));
        }
    }

    /// x - y.
    #[derive(Clone, Copy)]
    struct Less;

    impl Each<2, 1> for Less {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [x, y]: [S::V; 2]) -> [S::V; 1] {
            [simd.fma(y, simd.splat(-1.0), x)]
        }
    }

    /// 2 x.
    #[derive(Clone, Copy)]
    struct Twice;

    impl Each<1, 1> for Twice {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
            [simd.add(x, x)]
        }
    }

    #[test]
    fn registers_visit_every_element() {
        for n in [0, 1, 17, 1024, 3 * CHUNK + 1029, NEAR + 1, FAR + 1029] {
            let x: Vec<f32> = (0..n).map(|i| (i % 101) as f32).collect();
            let mut y = x.clone();
            evaluate_own(&mut y, Twice);
            let mut z = Buffer::of(&vec![f32::NAN; n]);
            evaluate([&y, &x], &mut z, Less);
            assert_eq!(z[..], x);
            z.iter_mut().step_by(3).for_each(|z| *z = f32::NAN);
            update_each(&z, &mut y, Rectified);
            assert!((0..n).all(|i| y[i] == if z[i] > 0.0 { 2.0 * x[i] } else { 0.0 }));
        }
    }
}
