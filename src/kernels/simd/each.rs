//! Loops over rows that lie beside each other, a register of each at a time. Lengths are checked once, and what is done with
//! registers is a type, so that no loop depends on what the compiler makes of it.

use std::{hint::black_box, ptr};

use super::{Simd, begins_line};

/// `M` registers made of a register of each of `N` rows.
pub trait Each<const N: usize, const M: usize>: Copy {
    /// The registers. Must be `#[inline(always)]`.
    fn of<S: Simd>(self, simd: S, values: [S::V; N]) -> [S::V; M];
}

/// `M` registers made of a register of each of `N` rows and of what stands where they go.
pub trait Renew<const N: usize, const M: usize>: Copy {
    /// Whether it looks at what stands there.
    const LOOKS: bool = true;
    /// The registers. Must be `#[inline(always)]`.
    fn of<S: Simd>(self, simd: S, values: [S::V; N], own: [S::V; M]) -> [S::V; M];
}

/// Looks at rows alone.
#[derive(Clone, Copy)]
struct Anew<E>(E);

impl<E: Each<N, M>, const N: usize, const M: usize> Renew<N, M> for Anew<E> {
    const LOOKS: bool = false;

    #[inline(always)]
    fn of<S: Simd>(self, simd: S, values: [S::V; N], _: [S::V; M]) -> [S::V; M] {
        self.0.of(simd, values)
    }
}

/// Looks at what stands there alone.
#[derive(Clone, Copy)]
pub struct Own<E>(pub E);

impl<E: Each<M, M>, const M: usize> Renew<0, M> for Own<E> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, _: [S::V; 0], own: [S::V; M]) -> [S::V; M] {
        self.0.of(simd, own)
    }
}

/// What is asked for meanwhile, as far on as the values that are worked on; pointers may point anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Asked<const R: usize, const W: usize> {
    /// What will be read.
    pub reads: [*const f32; R],
    /// What will be written.
    pub writes: [*const f32; W],
}

impl Asked<0, 0> {
    /// Nothing.
    pub const NOTHING: Self = Self { reads: [], writes: [] };
}

/// outs = each(rows), as far as the outs go.
///
/// # Panics
/// When outs differ in length, or a row is shorter.
#[inline(always)]
pub fn each<S: Simd, const N: usize, const M: usize, const R: usize, const W: usize>(
    simd: S,
    rows: [&[f32]; N],
    outs: [&mut [f32]; M],
    asked: Asked<R, W>,
    each: impl Each<N, M>,
) {
    renew(simd, rows, outs, asked, Anew(each));
}

/// outs = renew(rows, outs), as far as the outs go.
///
/// # Panics
/// When outs differ in length, or a row is shorter.
#[inline(always)]
pub fn renew<S: Simd, const N: usize, const M: usize, const R: usize, const W: usize>(
    simd: S,
    rows: [&[f32]; N],
    mut outs: [&mut [f32]; M],
    asked: Asked<R, W>,
    renew: impl Renew<N, M>,
) {
    let len = outs.first().map_or(0, |out| out.len());
    assert!(rows.iter().all(|row| row.len() >= len) && outs.iter().all(|out| out.len() == len), "lengths");
    let (mut from, mut to) = ([ptr::null(); N], [ptr::null_mut(); M]);
    from.iter_mut().zip(rows).for_each(|(p, row)| *p = row.as_ptr());
    to.iter_mut().zip(&mut outs).for_each(|(p, out)| *p = out.as_mut_ptr());
    // SAFETY: all have `len` values.
    unsafe { piece::<S, _, N, M, R, W, false>(simd, from, to, len, asked, renew) }
}

/// [`each`] of one row, written past the caches where it begins a line of them; to be ended by a [`Simd::fence`].
///
/// # Panics
/// When a row is shorter than `out`.
#[inline(always)]
pub fn each_past<S: Simd, const N: usize>(
    simd: S,
    rows: [&[f32]; N],
    out: &mut [f32],
    each: impl Each<N, 1>,
) {
    assert!(rows.iter().all(|row| row.len() >= out.len()), "lengths");
    let (from, to, len) = (rows.map(|row| row.as_ptr()), [out.as_mut_ptr()], out.len());
    // SAFETY: all have `len` values, and where a line begins, registers are whole parts of lines.
    unsafe {
        if begins_line(out.as_ptr()) {
            piece::<S, _, N, 1, 0, 0, true>(simd, from, to, len, Asked::NOTHING, Anew(each));
        } else {
            piece::<S, _, N, 1, 0, 0, false>(simd, from, to, len, Asked::NOTHING, Anew(each));
        }
    }
}

/// Pieces of rows, which in each begin as far apart as is said beside it.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// How many.
    pub count: usize,
    /// Values of each.
    pub len: usize,
    /// How far apart lies what is asked for.
    pub asked: usize,
}

/// [`each`] of pieces.
///
/// # Panics
/// When a row or an out is too short for its pieces.
#[inline(always)]
pub fn each_piece<S: Simd, const N: usize, const M: usize, const R: usize, const W: usize>(
    simd: S,
    cut: Cut,
    rows: [(&[f32], usize); N],
    outs: [(&mut [f32], usize); M],
    asked: Asked<R, W>,
    each: impl Each<N, M>,
) {
    renew_pieces(simd, cut, rows, outs, asked, Anew(each));
}

/// [`each_piece`] of what stands where it goes, too.
///
/// # Panics
/// When a row or an out is too short for its pieces.
#[inline(always)]
pub fn renew_pieces<S: Simd, const N: usize, const M: usize, const R: usize, const W: usize>(
    simd: S,
    cut: Cut,
    rows: [(&[f32], usize); N],
    mut outs: [(&mut [f32], usize); M],
    mut asked: Asked<R, W>,
    renew: impl Renew<N, M>,
) {
    let Some(last) = cut.count.checked_sub(1) else { return };
    let fits = |all: usize, apart: usize| {
        last.checked_mul(apart).and_then(|at| at.checked_add(cut.len)).is_some_and(|end| end <= all)
    };
    let (mut from, mut to) = ([ptr::null(); N], [ptr::null_mut(); M]);
    for (p, (row, apart)) in from.iter_mut().zip(rows) {
        assert!(fits(row.len(), apart), "lengths");
        *p = row.as_ptr();
    }
    for (p, (out, apart)) in to.iter_mut().zip(&mut outs) {
        assert!(fits(out.len(), *apart), "lengths");
        *p = out.as_mut_ptr();
    }
    for _ in 0..cut.count {
        // SAFETY: all have `len` values in each piece.
        unsafe { piece::<S, _, N, M, R, W, false>(simd, from, to, cut.len, asked, renew) }
        from.iter_mut().zip(rows).for_each(|(p, (_, apart))| *p = p.wrapping_add(apart));
        to.iter_mut().zip(&outs).for_each(|(p, (_, apart))| *p = p.wrapping_add(*apart));
        asked.reads.iter_mut().chain(&mut asked.writes).for_each(|p| *p = p.wrapping_add(cut.asked));
    }
}

/// [`renew`] of `len` values; `PAST` writes whole registers past the caches.
///
/// # Safety
/// So many are readable at `from`, and writable at `to`, where lines begin if it is `PAST`.
#[inline(always)]
unsafe fn piece<
    S: Simd,
    E,
    const N: usize,
    const M: usize,
    const R: usize,
    const W: usize,
    const PAST: bool,
>(
    simd: S,
    from: [*const f32; N],
    to: [*mut f32; M],
    len: usize,
    asked: Asked<R, W>,
    renew: E,
) where
    E: Renew<N, M>,
{
    let (mut at, whole) = (0, len - len % S::LANES);
    // The compiler would make a masked store of a choice between what it reads and what it writes at one place, which takes
    // processors with AVX2 alone several times as long.
    let there = if E::LOOKS { black_box(to) } else { to };
    // SAFETY: there are a register more before `whole`, and `len - whole` values behind.
    unsafe {
        while at < whole {
            ask(simd, asked, at);
            let (mut values, mut own) = ([simd.splat(0.0); N], [simd.splat(0.0); M]);
            for i in 0..N {
                values[i] = simd.load(from[i].add(at));
            }
            for i in 0..M {
                if E::LOOKS {
                    own[i] = simd.load(there[i].add(at));
                }
            }
            let results = renew.of(simd, values, own);
            for i in 0..M {
                let (to, v) = (to[i].add(at), results[i]);
                if PAST { simd.stream(to, v) } else { simd.store(to, v) }
            }
            at += S::LANES;
        }
        if at < len {
            ask(simd, asked, at);
            let (mut values, mut own) = ([simd.splat(0.0); N], [simd.splat(0.0); M]);
            for i in 0..N {
                values[i] = simd.load_first(from[i].add(at), len - at);
            }
            for i in 0..M {
                if E::LOOKS {
                    own[i] = simd.load_first(there[i].add(at), len - at);
                }
            }
            let results = renew.of(simd, values, own);
            for i in 0..M {
                simd.store_first(to[i].add(at), len - at, results[i]);
            }
        }
    }
}

/// Asks for what is as far on as value `at`.
#[inline(always)]
fn ask<S: Simd, const R: usize, const W: usize>(simd: S, asked: Asked<R, W>, at: usize) {
    for p in asked.reads {
        simd.prefetch(p.wrapping_add(at));
    }
    for p in asked.writes {
        simd.prefetch_to_write(p.wrapping_add(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernels::simd::{Isa, Job},
        tensor::Buffer,
    };

    #[derive(Clone, Copy)]
    struct SumAndLast;

    impl Each<3, 2> for SumAndLast {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [a, b, c]: [S::V; 3]) -> [S::V; 2] {
            [simd.add(simd.add(a, b), c), c]
        }
    }

    struct Run<'a>([&'a [f32]; 3], [&'a mut [f32]; 2]);

    impl Job for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let asked = Asked { reads: [self.0[0].as_ptr()], writes: [self.1[0].as_ptr()] };
            each(simd, self.0, self.1, asked, SumAndLast);
        }
    }

    #[test]
    fn every_length_is_worked_on_to_its_end() {
        let row: Vec<f32> = (0..80).map(|v| v as f32).collect();
        for isa in Isa::all() {
            for len in (0..40).chain([64, 77]) {
                let [mut sum, mut last] = [const { [-1.0; 80] }; 2];
                isa.run(Run([&row, &row[1..], &row[2..len + 2]], [&mut sum[..len], &mut last[..len]]));
                for i in 0..80 {
                    let v = row[i];
                    assert_eq!([sum[i], last[i]], if i < len { [3.0 * v + 3.0, v + 2.0] } else { [-1.0; 2] });
                }
            }
        }
    }

    struct Past<'a>(&'a [f32], &'a mut [f32]);

    impl Job for Past<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            each_past(simd, [self.0], self.1, Doubled);
            simd.fence();
        }
    }

    #[test]
    fn what_is_written_past_the_caches_is_the_same() {
        let row: Vec<f32> = (1..80).map(|v| v as f32).collect();
        for isa in Isa::all() {
            for (start, len) in [(0, 0), (0, 7), (0, 64), (16, 33), (3, 61)] {
                let mut out = Buffer::zeroed(80);
                isa.run(Past(&row, &mut out[start..][..len]));
                for (i, &out) in out.iter().enumerate() {
                    assert_eq!(
                        out,
                        if (start..start + len).contains(&i) { 2.0 * row[i - start] } else { 0.0 }
                    );
                }
            }
        }
    }

    struct Twice<'a>(&'a mut [f32]);

    impl Job for Twice<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            renew(simd, [], [self.0], Asked::NOTHING, Own(Doubled));
        }
    }

    #[derive(Clone, Copy)]
    struct Doubled;

    impl Each<1, 1> for Doubled {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
            [simd.add(x, x)]
        }
    }

    #[test]
    fn what_stands_there_can_be_renewed() {
        for isa in Isa::all() {
            for len in 0..40 {
                let mut x: Vec<f32> = (0..50).map(|v| v as f32).collect();
                isa.run(Twice(&mut x[..len]));
                assert!(x.iter().enumerate().all(|(i, &x)| x == if i < len { 2 * i } else { i } as f32));
            }
        }
    }

    struct Apart<'a>((usize, usize), &'a [f32], &'a mut [f32]);

    impl Job for Apart<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (count, len) = self.0;
            each_piece(
                simd,
                Cut { count, len, asked: 0 },
                [(self.1, 21)],
                [(self.2, 23)],
                Asked::NOTHING,
                Doubled,
            );
        }
    }

    #[test]
    fn pieces_lie_where_they_should() {
        let row: Vec<f32> = (1..100).map(|v| v as f32).collect();
        for isa in Isa::all() {
            for (count, len) in [(0, 5), (1, 17), (3, 0), (3, 4), (4, 16), (4, 21)] {
                let mut out = [0.0; 100];
                isa.run(Apart((count, len), &row, &mut out));
                for (i, out) in out.into_iter().enumerate() {
                    let of = i / 23 < count && i % 23 < len;
                    assert_eq!(out, if of { 2.0 * row[i / 23 * 21 + i % 23] } else { 0.0 });
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "lengths")]
    fn pieces_beyond_the_end_are_refused() {
        Isa::best().run(Apart((3, 8), &[0.0; 49], &mut [0.0; 100]));
    }

    #[test]
    #[should_panic(expected = "lengths")]
    fn short_rows_are_refused() {
        let [mut a, mut b] = [[0.0; 9]; 2];
        Isa::best().run(Run([&[0.0; 9], &[0.0; 9], &[0.0; 8]], [&mut a, &mut b]));
    }
}
