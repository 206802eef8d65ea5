//! Sums over whole planes: those of as many planes as a register has lanes are turned round and added at once.

use super::{Isa, Job, Lines, Simd, limits::SQUARE};

/// Lanes in which a plane is summed, whatever the registers.
const SUMS: usize = 16;
/// Values ahead of the last read whose lines are asked for.
const FAR: usize = 1024;

/// y = the sum of each plane of `plane` values, or, with `SQUARES`, of their squares. Each sixteenth value is added to the same of
/// sixteen sums, and these are added in order; what is left at the end is a sum by itself.
///
/// # Panics
/// When `x` is not as many planes as `y` has values.
pub fn plane_sums<const SQUARES: bool>(isa: Isa, x: &[f32], plane: usize, y: &mut [f32]) {
    assert!(x.len() == plane * y.len(), "a sum for each plane");
    if plane > 0 {
        isa.run(PlaneSums::<SQUARES> { x, plane, y });
    }
}

struct PlaneSums<'a, const SQUARES: bool> {
    x: &'a [f32],
    plane: usize,
    y: &'a mut [f32],
}

impl<const SQUARES: bool> Job for PlaneSums<'_, SQUARES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, plane, y } = self;
        let left = plane % SUMS;
        // Of each plane its sums and what is left.
        let mut lines = [[0.0; 2 * SUMS]; SUMS];
        for (x, y) in x.chunks(plane * S::LANES).zip(y.chunks_mut(S::LANES)) {
            for (x, line) in x.chunks_exact(plane).zip(&mut lines) {
                let (blocks, rest) = x.as_chunks::<SUMS>();
                for part in (0..SUMS).step_by(S::LANES) {
                    let mut sums = simd.splat(0.0);
                    for block in blocks {
                        simd.prefetch(block.as_ptr().wrapping_add(FAR));
                        let v = simd.read(&block[part..]);
                        sums = simd.add(sums, if SQUARES { simd.mul(v, v) } else { v });
                    }
                    let v = simd.read_first(&rest[part.min(left)..]);
                    simd.write_first(&mut line[part..], sums);
                    simd.write_first(&mut line[SUMS + part..], if SQUARES { simd.mul(v, v) } else { v });
                }
            }
            let sums = add_lines(simd, lines.as_flattened(), 0, SUMS);
            simd.write_first(y, simd.add(sums, add_lines(simd, lines.as_flattened(), SUMS, left)));
        }
    }
}

/// Of each of the first `LANES` lines the sum of `count` values from number `first` on, in order.
#[inline(always)]
fn add_lines<S: Simd>(simd: S, lines: &[f32], first: usize, count: usize) -> S::V {
    let (mut sum, mut square) = (simd.splat(0.0), [0.0; SQUARE]);
    for part in (0..count).step_by(S::LANES) {
        let from = Lines { at: lines[first + part..].as_ptr(), stride: 2 * SUMS };
        assert!(first + part + S::LANES <= 2 * SUMS && S::LANES * 2 * SUMS <= lines.len(), "lines are short");
        // SAFETY: each of `LANES` lines has a register there, and a square has one for each column.
        unsafe { simd.transpose(from, S::LANES, S::LANES, square.as_mut_ptr(), S::LANES) };
        for column in square.chunks_exact(S::LANES).take(count - part) {
            sum = simd.add(sum, simd.read(column));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_summed_in_order() {
        for isa in Isa::all() {
            for (plane, planes) in [(1, 1), (15, 3), (16, 16), (49, 19), (64, 17), (169, 5), (3, 0)] {
                let x: Vec<f32> = (0..plane * planes).map(|i| (i * 37 % 101) as f32 / 7.0 - 5.0).collect();
                let (mut sums, mut squares) = (vec![f32::NAN; planes], vec![f32::NAN; planes]);
                plane_sums::<false>(isa, &x, plane, &mut sums);
                plane_sums::<true>(isa, &x, plane, &mut squares);
                let plain = |x: &[f32], value: fn(f32) -> f32| {
                    let (mut lanes, whole) = ([0.0; 16], x.len() / 16 * 16);
                    x[..whole].iter().enumerate().for_each(|(i, &v)| lanes[i % 16] += value(v));
                    lanes.iter().sum::<f32>() + x[whole..].iter().map(|&v| value(v)).sum::<f32>()
                };
                for (p, x) in x.chunks_exact(plane).enumerate() {
                    assert_eq!([sums[p], squares[p]], [plain(x, |v| v), plain(x, |v| v * v)]);
                }
            }
        }
    }
}
