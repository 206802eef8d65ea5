//! Weights in the order in which the micro-kernel reads them, packed once for the whole batch.
//!
//! For each group, for each block of `DEPTH` taps: the panels of rows, each one value a row for every tap.

use super::ConvDims;
use super::phases::Phase;
use crate::kernels::gemm::{DEPTH, Matrix, pack, panels};
use crate::kernels::parallel;
use crate::kernels::simd::Isa;

/// Packs for the forward pass: rows are a group's output channels, `weight_len` values in all.
pub fn pack_forward(isa: Isa, dims: &ConvDims, weights: &[f32], packed: &mut [f32]) {
    let (m, k) = (dims.group_out(), dims.depth());
    parallel::for_chunks_mut(packed, m * k, |start, packed| {
        let matrix = Matrix::row_major(&weights[start..start + m * k], k);
        parallel::for_chunks_mut(packed, m * DEPTH, |start, packed| {
            let depth = start / m;
            pack::rows_parallel(isa, &matrix, 0..m, depth..(depth + DEPTH).min(k), packed);
        });
    });
}

/// Packs `alike` phases of the input's gradient from `phase` on: rows are a group's input channels, of each all phases, taps run over
/// its output channels and the phase's share of the kernel.
pub fn pack_backward(
    isa: Isa,
    dims: &ConvDims,
    (phase, alike): (&Phase, usize),
    weights: &[f32],
    packed: &mut [f32],
) {
    let (m, taps, area) = (dims.group_in() * alike, phase.lines.taps(), dims.kernel_area());
    let k = dims.group_out() * taps;
    parallel::for_chunks_mut(packed, m * k, |start, packed| {
        let group = start / (m * k);
        let weights = &weights[group * dims.group_out() * dims.depth()..];
        // One tap: a matrix.
        let matrix = (taps == 1 && alike == 1).then(|| Matrix {
            data: &weights[phase.kernel_tap(0)..],
            row_stride: area,
            col_stride: dims.depth(),
        });
        parallel::for_chunks_mut(packed, m * DEPTH, |start, packed| {
            let depth = start / m;
            let k = packed.len() / m;
            if let Some(matrix) = matrix {
                return pack::rows_parallel(isa, &matrix, 0..m, depth..depth + k, packed);
            }
            for (i, tap) in (depth..depth + k).enumerate() {
                let from = tap / taps * dims.depth() + phase.kernel_tap(tap % taps);
                for rows in panels(m, isa.tile_rows()) {
                    let to = &mut packed[rows.start * k + i * rows.len()..][..rows.len()];
                    let (mut at, mut phase) = (from + rows.start / alike * area, rows.start % alike);
                    for to in to {
                        *to = weights[at + phase];
                        phase += 1;
                        if phase == alike {
                            (at, phase) = (at + area, 0);
                        }
                    }
                }
            }
        });
    });
}
