//! Copies of values of a row that lie apart, and what lies around them.

use crate::kernels::simd::Simd;

/// `out` = every `step`th value of a row, which may be longer than needed.
#[inline(always)]
pub fn copy_every<S: Simd>(simd: S, step: usize, row: &[f32], out: &mut [f32]) {
    match step {
        1 => {
            let (out, out_rest) = out.split_at_mut(out.len() / S::LANES * S::LANES);
            let (row, row_rest) = row.split_at(out.len());
            for (out, row) in out.chunks_exact_mut(S::LANES).zip(row.chunks_exact(S::LANES)) {
                simd.write_first(out, simd.read(row));
            }
            simd.write_first(out_rest, simd.read_first(row_rest));
        }
        2 => {
            let whole = (row.len() / (2 * S::LANES)).min(out.len() / S::LANES);
            let (row, row_rest) = row.split_at(whole * 2 * S::LANES);
            let (out, out_rest) = out.split_at_mut(whole * S::LANES);
            for (out, row) in out.chunks_exact_mut(S::LANES).zip(row.chunks_exact(2 * S::LANES)) {
                let (low, high) = row.split_at(S::LANES);
                simd.write_first(out, simd.unzip(simd.read(low), simd.read(high)).0);
            }
            for (out, row) in out_rest.chunks_mut(S::LANES).zip(row_rest.chunks(2 * S::LANES)) {
                let (low, high) = row.split_at(row.len().min(S::LANES));
                simd.write_first(out, simd.unzip(simd.read_first(low), simd.read_first(high)).0);
            }
        }
        4 => {
            for (out, row) in out.chunks_mut(S::LANES).zip(row.chunks(4 * S::LANES)) {
                let part = |i: usize| simd.read_first(&row[row.len().min(i * S::LANES)..]);
                let low = simd.unzip(part(0), part(1)).0;
                let high = simd.unzip(part(2), part(3)).0;
                simd.write_first(out, simd.unzip(low, high).0);
            }
        }
        _ => out.iter_mut().zip(row.iter().step_by(step)).for_each(|(o, &v)| *o = v),
    }
}

/// The values of a row, which may be longer than needed, in turns.
#[inline(always)]
pub fn take_apart<S: Simd>(simd: S, row: &[f32], even: &mut [f32], odd: &mut [f32]) {
    // Whole registers need no lengths.
    let whole = (row.len() / 2).min(even.len()).min(odd.len()) / S::LANES * S::LANES;
    let (row, row_rest) = row.split_at(2 * whole);
    let (even, even_rest) = even.split_at_mut(whole);
    let (odd, odd_rest) = odd.split_at_mut(whole);
    let both = even.chunks_exact_mut(S::LANES).zip(odd.chunks_exact_mut(S::LANES));
    for ((even, odd), row) in both.zip(row.chunks_exact(2 * S::LANES)) {
        let (low, high) = simd.unzip(simd.read(row), simd.read(&row[S::LANES..]));
        simd.write_first(even, low);
        simd.write_first(odd, high);
    }
    for at in (0..even_rest.len().max(odd_rest.len())).step_by(S::LANES) {
        let part = |at: usize| simd.read_first(&row_rest[at.min(row_rest.len())..]);
        let (low, high) = simd.unzip(part(2 * at), part(2 * at + S::LANES));
        for (out, v) in [(&mut *even_rest, low), (&mut *odd_rest, high)] {
            let at = at.min(out.len());
            simd.write_first(&mut out[at..], v);
        }
    }
}

/// Zeros. Margins are short: a call would take longer.
#[inline(always)]
pub fn clear<S: Simd>(simd: S, out: &mut [f32]) {
    for out in out.chunks_mut(S::LANES) {
        simd.write_first(out, simd.splat(0.0));
    }
}
