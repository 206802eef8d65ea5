//! Masks of bits, drawn by position, and their use: 32 values share a word. A value takes little more than eight random
//! bits.

use super::{
    elementwise::{FAR, PIECE, next_piece, put, vectorized},
    parallel::{CHUNK, for_chunks_mut, for_parts_mut},
    random::Draw,
    simd::{BLOCK, Isa, Job, Simd},
};

/// Values per word of a mask.
const BITS: usize = u32::BITS as usize;
/// Words of a chunk's mask.
const WORDS: usize = CHUNK / BITS;
/// Binary digits that are drawn for all values of a chunk. One value in 256 is not decided by then.
const DIGITS: u32 = 8;
/// Words that are drawn at a time for those: most often enough for a chunk.
const LATER: usize = 256;

/// How many words a mask of `len` values has.
pub fn mask_words(len: usize) -> usize {
    len.div_ceil(BITS)
}

/// How likely a value is kept, in steps of 2^-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(u64);

impl Keep {
    /// Kept with this probability, from 0 to 1.
    pub fn with_probability(p: f64) -> Self {
        Self((p.clamp(0.0, 1.0) * (1u64 << BITS) as f64).round() as u64)
    }

    /// The first words of a chunk's mask, whose bits are 1 with the probability, each by itself.
    ///
    /// A value is kept where a number drawn for it is below the probability. Their binary digits are compared from the first
    /// on until they differ, which few digits decide for most values. A random bit of 1 stands for a digit of 0: so the bits
    /// themselves are what is kept of 1/2, which has one digit.
    fn draw(self, draw: Draw, chunk: usize, mask: &mut [u32]) {
        let all = self.0 >> BITS != 0;
        mask.fill(if all { u32::MAX } else { 0 });
        let digits = self.0 as u32;
        if digits == 0 {
            return;
        }
        let is_one = |i: u32| digits >> (u32::BITS - 1 - i) & 1 == 1;
        let count = u32::BITS - digits.trailing_zeros();
        let (mut open, mut random) = ([u32::MAX; WORDS], [0; WORDS]);
        let random = &mut random[..mask.len()];
        for i in 0..count.min(DIGITS) {
            draw.words(chunk, i as usize * WORDS / BLOCK, random);
            let (one, values) = (is_one(i), mask.iter_mut().zip(&mut open).zip(&*random));
            vectorized(|| values.for_each(|((kept, open), &random)| compare(one, random, kept, open)));
        }
        if count <= DIGITS {
            return;
        }
        // The words that have open bits, fewer with every digit.
        let (mut left, mut n) = ([0; WORDS], 0);
        for (word, &open) in open[..mask.len()].iter().enumerate() {
            left[n] = word;
            n += usize::from(open != 0);
        }
        let mut later = Later { draw, chunk, block: BITS * WORDS / BLOCK, words: [0; LATER], used: LATER };
        for i in DIGITS..count {
            let words = std::mem::take(&mut n);
            for k in 0..words {
                let word = left[k];
                compare(is_one(i), later.next(), &mut mask[word], &mut open[word]);
                left[n] = word;
                n += usize::from(open[word] != 0);
            }
        }
    }
}

/// Random words one by one, for what few are left.
struct Later {
    draw: Draw,
    chunk: usize,
    block: usize,
    words: [u32; LATER],
    used: usize,
}

impl Later {
    fn next(&mut self) -> u32 {
        if self.used == LATER {
            self.draw.words(self.chunk, self.block, &mut self.words);
            (self.block, self.used) = (self.block + LATER / BLOCK, 0);
        }
        self.used += 1;
        self.words[self.used - 1]
    }
}

/// Compares one more digit of the values that are still open.
#[inline(always)]
fn compare(one: bool, random: u32, kept: &mut u32, open: &mut u32) {
    if one {
        *kept |= *open & random;
        *open &= !random;
    } else {
        *open &= random;
    }
}

/// Draws a mask, and y = scale * x where its bit is 1, else 0.
pub fn drop_values(x: &[f32], scale: f32, keep: Keep, draw: Draw, y: &mut [f32], mask: &mut [u32]) {
    assert!(x.len() == y.len() && mask.len() == mask_words(y.len()));
    let far = y.len() >= FAR;
    for_parts_mut(y, CHUNK, mask, WORDS, |chunk, y, mask| {
        keep.draw(draw, chunk, mask);
        let x = &x[chunk * CHUNK..][..y.len()];
        Isa::best().run(Masked { x, scale, mask, y, far });
    });
}

/// As [`drop_values`], without keeping the mask: the same values.
pub fn drop_values_once(x: &[f32], scale: f32, keep: Keep, draw: Draw, y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    let far = y.len() >= FAR;
    for_chunks_mut(y, CHUNK, |start, y| {
        let mut mask = [0; WORDS];
        let mask = &mut mask[..mask_words(y.len())];
        keep.draw(draw, start / CHUNK, mask);
        let x = &x[start..][..y.len()];
        Isa::best().run(Masked { x, scale, mask, y, far });
    });
}

/// y = scale * x where the mask's bit is 1, else 0.
pub fn apply_mask(x: &[f32], scale: f32, mask: &[u32], y: &mut [f32]) {
    assert!(x.len() == y.len() && mask.len() == mask_words(y.len()));
    let far = y.len() >= FAR;
    for_chunks_mut(y, CHUNK, |start, y| {
        let (x, mask) = (&x[start..][..y.len()], &mask[start / BITS..]);
        Isa::best().run(Masked { x, scale, mask, y, far });
    });
}

/// The loop of [`apply_mask`].
struct Masked<'a> {
    x: &'a [f32],
    scale: f32,
    mask: &'a [u32],
    y: &'a mut [f32],
    /// Whether they are written past the caches.
    far: bool,
}

impl Job for Masked<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, scale, mask, y: mut rest, far } = self;
        let (scale, mut made) = (simd.splat(scale), [0.0; PIECE]);
        for (x, mask) in x.chunks(PIECE).zip(mask.chunks(PIECE / BITS)) {
            let y = if far { &mut made[..x.len()] } else { next_piece(simd, &mut rest) };
            let ((whole_x, rest_x), (whole_y, rest_y)) = (x.as_chunks::<BITS>(), y.as_chunks_mut::<BITS>());
            for ((x, y), &word) in whole_x.iter().zip(whole_y).zip(mask) {
                masked(simd, word, scale, x, y);
            }
            if let Some(&word) = mask.get(whole_x.len()) {
                masked(simd, word, scale, rest_x, rest_y);
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

/// The values of a word.
#[inline(always)]
fn masked<S: Simd>(simd: S, word: u32, scale: S::V, x: &[f32], y: &mut [f32]) {
    for at in (0..x.len()).step_by(S::LANES) {
        let v = simd.mul(simd.read_first(&x[at..]), scale);
        simd.write_first(&mut y[at..], simd.where_set(word >> at, v, simd.splat(0.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Buffer;
    use rand::Rng as _;

    fn share_of_ones(p: f64) -> f64 {
        let (keep, draw, mut mask) = (Keep::with_probability(p), Draw::new(3, "mask", 0), [0; WORDS]);
        let ones = (0..20).flat_map(|chunk| {
            keep.draw(draw, chunk, &mut mask);
            mask.map(u32::count_ones)
        });
        f64::from(ones.sum::<u32>()) / (20 * CHUNK) as f64
    }

    #[test]
    fn bits_are_as_likely_as_asked() {
        for p in [0.0, 0.001, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.999, 1.0] {
            // Three standard deviations and a little.
            assert!(
                (share_of_ones(p) - p).abs() <= 3.5 * (p * (1.0 - p) / (20 * CHUNK) as f64).sqrt(),
                "{p}"
            );
        }
    }

    #[test]
    fn few_digits_are_compared_as_numbers() {
        let (draw, mut mask) = (Draw::new(5, "mask", 1), [0; WORDS]);
        for (digits, below) in [(1, 1), (2, 3), (4, 5), (8, 77)] {
            let mut rng = draw.rng(2);
            let planes: Vec<u32> = (0..digits * WORDS).map(|_| rng.next_u32()).collect();
            Keep::with_probability(f64::from(below) / f64::from(1 << digits)).draw(draw, 2, &mut mask);
            for i in 0..CHUNK {
                let (word, bit) = (i / BITS, i % BITS);
                let number = (0..digits).fold(0, |n, d| 2 * n + (!planes[d * WORDS + word] >> bit & 1));
                assert_eq!(mask[word] >> bit & 1 == 1, number < below, "{below} of 2^{digits}");
            }
        }
    }

    #[test]
    fn kept_values_are_scaled_and_the_mask_repeats_them() {
        for n in [0, 1, 31, 32, 33, CHUNK + 7, 3 * CHUNK, FAR + 77] {
            let x: Vec<f32> = (0..n).map(|i| 1.0 + i as f32).collect();
            let [mut y, mut again, mut once] = [0; 3].map(|_| Buffer::of(&vec![f32::NAN; n]));
            let mut mask = vec![0; mask_words(n)];
            let (keep, draw) = (Keep::with_probability(0.6), Draw::new(1, "drop", 5));
            drop_values(&x, 2.0, keep, draw, &mut y, &mut mask);
            assert!(y.iter().zip(&x).all(|(&y, &x)| y == 0.0 || y == 2.0 * x));
            assert!(n < 100 || (y.contains(&0.0) && y.iter().any(|&y| y != 0.0)));
            apply_mask(&x, 2.0, &mask, &mut again);
            drop_values_once(&x, 2.0, keep, draw, &mut once);
            assert!(y[..] == again[..] && y[..] == once[..]);
        }
    }

    #[test]
    fn passes_and_chunks_differ() {
        let x = vec![1.0; 2 * CHUNK];
        let drawn = |pass| {
            let mut y = vec![0.0; x.len()];
            drop_values_once(&x, 1.0, Keep::with_probability(0.5), Draw::new(1, "drop", pass), &mut y);
            y
        };
        let first = drawn(0);
        assert_ne!(first, drawn(1));
        assert_ne!(first[..CHUNK], first[CHUNK..]);
    }
}
