//! The ChaCha8 generator, a block in each lane: the numbers of `rand_chacha`, some times as fast.

use super::{Isa, Job, Lines, Simd};

/// Words of a block.
pub const BLOCK: usize = 16;
/// Words of as many blocks as the widest register has lanes.
const SQUARE: usize = 16 * BLOCK;
/// Two rounds each.
const DOUBLE_ROUNDS: usize = 4;
/// The first words of every block.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// `out` becomes the words of the blocks from number `first` on.
pub fn chacha8(isa: Isa, key: [u32; 8], stream: u64, first: u64, out: &mut [u32]) {
    isa.run(Blocks { key, stream, first, out });
}

struct Blocks<'a> {
    key: [u32; 8],
    stream: u64,
    first: u64,
    out: &'a mut [u32],
}

impl Job for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let splat = |word: u32| simd.splat(f32::from_bits(word));
        let mut start = [simd.splat(0.0); BLOCK];
        let words = [self.stream as u32, (self.stream >> 32) as u32];
        let fixed = CONSTANTS.iter().chain(&self.key).zip(0..).chain(words.iter().zip(14..));
        fixed.for_each(|(&word, i): (_, usize)| start[i] = splat(word));
        let mut number = self.first;
        for out in self.out.chunks_mut(S::LANES * BLOCK) {
            let (mut low, mut high) = ([0f32; 16], [0f32; 16]);
            for (low, high) in low.iter_mut().zip(&mut high).take(S::LANES) {
                *low = f32::from_bits(number as u32);
                *high = f32::from_bits((number >> 32) as u32);
                number = number.wrapping_add(1);
            }
            (start[12], start[13]) = (simd.read(&low), simd.read(&high));
            let mut state = start;
            for _ in 0..DOUBLE_ROUNDS {
                // Columns, then diagonals.
                for turn in [[0, 4, 8, 12], [0, 5, 10, 15]] {
                    for i in 0..4 {
                        let at = |row: usize| 4 * row + (turn[row] % 4 + i) % 4;
                        let at = [at(0), at(1), at(2), at(3)];
                        let four = [state[at[0]], state[at[1]], state[at[2]], state[at[3]]];
                        [state[at[0]], state[at[1]], state[at[2]], state[at[3]]] = quarter(simd, four);
                    }
                }
            }
            let mut square = [0f32; SQUARE];
            for ((state, start), to) in state.into_iter().zip(start).zip(square.chunks_exact_mut(S::LANES)) {
                simd.write_first(to, simd.add_bits(state, start));
            }
            if out.len() == S::LANES * BLOCK {
                turn(simd, &square, out);
            } else {
                let mut blocks = [0; SQUARE];
                turn(simd, &square, &mut blocks);
                out.copy_from_slice(&blocks[..out.len()]);
            }
        }
    }
}

/// Blocks that lie in lanes become lines.
#[inline(always)]
fn turn<S: Simd>(simd: S, square: &[f32; SQUARE], blocks: &mut [u32]) {
    assert!(blocks.len() >= S::LANES * BLOCK, "a block for each lane");
    for part in (0..BLOCK).step_by(S::LANES) {
        let from = Lines { at: square[part * S::LANES..].as_ptr(), stride: S::LANES };
        let to: &mut [f32] = bytemuck::cast_slice_mut(&mut blocks[part..]);
        // SAFETY: the square has a line of `LANES` values for each word of a block, `part` and as many after it among
        // them; there is a block for each lane.
        unsafe { simd.transpose(from, S::LANES, S::LANES, to.as_mut_ptr(), BLOCK) };
    }
}

/// The generator's quarter of a round.
#[inline(always)]
fn quarter<S: Simd>(simd: S, [mut a, mut b, mut c, mut d]: [S::V; 4]) -> [S::V; 4] {
    a = simd.add_bits(a, b);
    d = simd.turn_bits::<16>(simd.xor_bits(d, a));
    c = simd.add_bits(c, d);
    b = simd.turn_bits::<12>(simd.xor_bits(b, c));
    a = simd.add_bits(a, b);
    d = simd.turn_bits::<8>(simd.xor_bits(d, a));
    c = simd.add_bits(c, d);
    b = simd.turn_bits::<7>(simd.xor_bits(b, c));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn words_are_those_of_the_plain_generator() {
        for isa in Isa::all() {
            for (stream, first) in [(0, 0), (3, 1 << 27), (u64::MAX, (5 << 32) - 7)] {
                for len in [0, 1, 16, 63, 256, 300, 1024] {
                    let mut rng = ChaCha8Rng::seed_from_u64(9);
                    rng.set_stream(stream);
                    rng.set_word_pos(u128::from(first) * BLOCK as u128);
                    let mut key = [0; 8];
                    for (word, bytes) in key.iter_mut().zip(rng.get_seed().as_chunks().0) {
                        *word = u32::from_le_bytes(*bytes);
                    }
                    let mut out = vec![0; len];
                    chacha8(isa, key, stream, first, &mut out);
                    assert!(out.iter().all(|&word| word == rng.next_u32()), "{isa:?}, {len} from {first}");
                }
            }
        }
    }
}
