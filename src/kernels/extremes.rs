//! Maxima over several arrays that remember which array each came from, in a byte.

use super::{
    elementwise::{FAR, PIECE, next_piece, put},
    parallel::{CHUNK, for_chunks_mut, for_chunks_mut2},
    simd::{Asked, Each, Isa, Job, MOST_LANES, Renew, Simd, each, renew},
};

/// y = the larger of a and b, `taken` 0 or 1 accordingly; of equal values b's is taken.
pub fn max2(a: &[f32], b: &[f32], y: &mut [f32], taken: &mut [u8]) {
    assert!(a.len() == y.len() && b.len() == y.len());
    let far = y.len() >= FAR;
    for_chunks_mut2(y, taken, CHUNK, |start, y, taken| {
        let (a, b) = (&a[start..][..y.len()], &b[start..][..y.len()]);
        Isa::best().run(Max2 { a, b, y, taken, far });
    });
}

/// The loop of [`max2`].
struct Max2<'a> {
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
    taken: &'a mut [u8],
    /// Whether values are written past the caches.
    far: bool,
}

impl Job for Max2<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, y: mut rest, taken, far } = self;
        let mut made = [0.0; PIECE];
        for ((a, b), taken) in a.chunks(PIECE).zip(b.chunks(PIECE)).zip(taken.chunks_mut(PIECE)) {
            let y = if far { &mut made[..a.len()] } else { next_piece(simd, &mut rest) };
            each(simd, [a, b], [&mut *y], Asked::NOTHING, Larger);
            for ((taken, a), b) in taken.iter_mut().zip(a).zip(b) {
                *taken = 1 - u8::from(a > b);
            }
            if far {
                put(simd, &made[..a.len()], &mut rest);
            }
        }
        if far {
            simd.fence();
        }
    }
}

/// Where x is larger than y: y = x, and `taken` is `k`.
pub fn max_update(x: &[f32], k: u8, y: &mut [f32], taken: &mut [u8]) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut2(y, taken, CHUNK, |start, y, taken| {
        let x = &x[start..][..y.len()];
        Isa::best().run(MaxUpdate { x, k, y, taken });
    });
}

/// The loop of [`max_update`].
struct MaxUpdate<'a> {
    x: &'a [f32],
    k: u8,
    y: &'a mut [f32],
    taken: &'a mut [u8],
}

impl Job for MaxUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, k, y, taken } = self;
        for ((x, y), taken) in x.chunks(PIECE).zip(y.chunks_mut(PIECE)).zip(taken.chunks_mut(PIECE)) {
            for ((taken, &x), &y) in taken.iter_mut().zip(x).zip(&*y) {
                let larger = 0u8.wrapping_sub(u8::from(x > y));
                *taken = *taken & !larger | k & larger;
            }
            renew(simd, [x], [y], Asked::NOTHING, Larger);
        }
    }
}

/// The larger of the two; the second where either is not a number.
#[derive(Clone, Copy)]
pub struct Larger;

impl Each<2, 1> for Larger {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, y]: [S::V; 2]) -> [S::V; 1] {
        [simd.max(x, y)]
    }
}

impl Renew<1, 1> for Larger {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x]: [S::V; 1], [y]: [S::V; 1]) -> [S::V; 1] {
        Each::of(self, simd, [x, y])
    }
}

/// y = x where `taken` is `k`, else 0.
pub fn where_mask(x: &[f32], taken: &[u8], k: u8, y: &mut [f32]) {
    assert!(x.len() == y.len() && taken.len() == y.len());
    let far = y.len() >= FAR;
    for_chunks_mut(y, CHUNK, |start, y| {
        let (x, taken) = (&x[start..][..y.len()], &taken[start..][..y.len()]);
        Isa::best().run(WhereMask { x, taken, k, y, far });
    });
}

/// The loop of [`where_mask`].
struct WhereMask<'a> {
    x: &'a [f32],
    taken: &'a [u8],
    k: u8,
    y: &'a mut [f32],
    /// Whether values are written past the caches.
    far: bool,
}

impl Job for WhereMask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, taken, k, y: mut rest, far } = self;
        let mut made = [0.0; PIECE];
        for (x, taken) in x.chunks(PIECE).zip(taken.chunks(PIECE)) {
            let y = if far { &mut made[..x.len()] } else { next_piece(simd, &mut rest) };
            let whole = x.len() - x.len() % MOST_LANES;
            for at in (0..whole).step_by(S::LANES) {
                let v = simd.add_where_byte(simd.splat(0.0), simd.read(&x[at..]), &taken[at..], k);
                simd.write_first(&mut y[at..], v);
            }
            for ((y, &x), &taken) in y[whole..].iter_mut().zip(&x[whole..]).zip(&taken[whole..]) {
                *y = if taken == k { x } else { 0.0 };
            }
            if far {
                put(simd, &made[..x.len()], &mut rest);
            }
        }
        if far {
            simd.fence();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Buffer;

    #[test]
    fn ties_go_to_the_second_then_stay() {
        let (a, b, c) = ([1.0, 5.0, 2.0, 0.0], [1.0, 4.0, 3.0, 0.0], [1.0, 5.0, 4.0, -1.0]);
        let (mut y, mut taken) = ([f32::NAN; 4], [9; 4]);
        max2(&a, &b, &mut y, &mut taken);
        assert_eq!((y, taken), ([1.0, 5.0, 3.0, 0.0], [1, 0, 1, 1]));
        max_update(&c, 2, &mut y, &mut taken);
        assert_eq!((y, taken), ([1.0, 5.0, 4.0, 0.0], [1, 0, 2, 1]));
        where_mask(&[1.0, 2.0, 3.0, 4.0], &taken, 1, &mut y);
        assert_eq!(y, [1.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn all_lengths_are_compared() {
        for n in [1, 15, 16, 17, CHUNK + 133, FAR + 77] {
            let [a, b] = [7919, 104_729].map(|k| (0..n).map(|i| (i * k % 101) as f32).collect::<Vec<_>>());
            let (mut y, mut taken) = (Buffer::of(&vec![f32::NAN; n]), vec![9; n]);
            max2(&a, &b, &mut y, &mut taken);
            for i in 0..n {
                assert_eq!((y[i], taken[i]), (a[i].max(b[i]), u8::from(a[i] <= b[i])));
            }
            let c: Vec<f32> =
                (0..n).map(|i| if i % 7 == 0 { f32::NAN } else { (i * 31 % 103) as f32 }).collect();
            let (mut of_three, mut taken_3) = (Buffer::of(&y), taken.clone());
            max_update(&c, 2, &mut of_three, &mut taken_3);
            for i in 0..n {
                let want = if c[i] > y[i] { (c[i], 2) } else { (y[i], taken[i]) };
                assert_eq!((of_three[i], taken_3[i]), want);
            }
            where_mask(&a, &taken, 1, &mut y);
            assert!((0..n).all(|i| y[i] == if a[i] <= b[i] { a[i] } else { 0.0 }));
        }
    }
}
