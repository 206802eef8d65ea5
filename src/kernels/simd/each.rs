//! Loops over rows that lie beside each other, a register of each at a time. Lengths are checked once, and what is done with
//! registers is a type, so that no loop depends on what the compiler makes of it.

use super::Simd;

/// `M` registers made of a register of each of `N` rows.
pub trait Each<const N: usize, const M: usize>: Copy {
    /// The registers. Must be `#[inline(always)]`.
    fn of<S: Simd>(self, simd: S, values: [S::V; N]) -> [S::V; M];
}

/// `M` registers made of a register of each of `N` rows and of what stands where they go.
pub trait Renew<const N: usize, const M: usize>: Copy {
    /// The registers. Must be `#[inline(always)]`.
    fn of<S: Simd>(self, simd: S, values: [S::V; N], own: [S::V; M]) -> [S::V; M];
}

/// Looks at rows alone.
#[derive(Clone, Copy)]
struct Anew<E>(E);

impl<E: Each<N, M>, const N: usize, const M: usize> Renew<N, M> for Anew<E> {
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
    let (mut at, whole) = (0, len - len % S::LANES);
    // SAFETY: rows and outs have a register more before `whole`, and `len - whole` values behind.
    unsafe {
        while at < whole {
            ask(simd, asked, at);
            let (mut values, mut own) = ([simd.splat(0.0); N], [simd.splat(0.0); M]);
            for (value, row) in values.iter_mut().zip(rows) {
                *value = simd.load(row.as_ptr().add(at));
            }
            for (value, out) in own.iter_mut().zip(&outs) {
                *value = simd.load(out.as_ptr().add(at));
            }
            for (out, v) in outs.iter_mut().zip(renew.of(simd, values, own)) {
                simd.store(out.as_mut_ptr().add(at), v);
            }
            at += S::LANES;
        }
        if at < len {
            ask(simd, asked, at);
            let (mut values, mut own) = ([simd.splat(0.0); N], [simd.splat(0.0); M]);
            for (value, row) in values.iter_mut().zip(rows) {
                *value = simd.load_first(row.as_ptr().add(at), len - at);
            }
            for (value, out) in own.iter_mut().zip(&outs) {
                *value = simd.load_first(out.as_ptr().add(at), len - at);
            }
            for (out, v) in outs.iter_mut().zip(renew.of(simd, values, own)) {
                simd.store_first(out.as_mut_ptr().add(at), len - at, v);
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
    use crate::kernels::simd::{Isa, Job};

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

    #[test]
    #[should_panic(expected = "lengths")]
    fn short_rows_are_refused() {
        let [mut a, mut b] = [[0.0; 9]; 2];
        Isa::best().run(Run([&[0.0; 9], &[0.0; 9], &[0.0; 8]], [&mut a, &mut b]));
    }
}
