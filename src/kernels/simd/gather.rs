//! Copies of scattered short pieces into the rows of a packed panel.

use super::{Isa, Job, Simd};

/// A piece of every row: lanes `lane..lane + len` come from `from` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// First lane in the row.
    pub lane: usize,
    /// Where its values start, before the row's own offset.
    pub from: usize,
    /// Number of values, at most those of a register.
    pub len: usize,
}

/// For every row r and piece p: `out[r * width + p.lane + i] = data[offsets[r] + p.from + i]`.
///
/// The pieces must follow one another from lane 0 on. Lanes of a row after the last piece hold anything.
///
/// # Panics
/// When a piece reaches outside `data` or a row, is longer than a register, or `out` is too short.
pub fn gather(isa: Isa, data: &[f32], offsets: &[u32], pieces: &[Piece], width: usize, out: &mut [f32]) {
    let furthest = offsets.iter().copied().max().unwrap_or(0) as usize;
    assert!(out.len() >= offsets.len() * width, "panel of {} values", out.len());
    for p in pieces {
        assert!(p.len <= isa.lanes() && p.lane + p.len <= width, "{p:?} in rows of {width}");
        assert!(offsets.is_empty() || furthest + p.from + p.len <= data.len(), "{p:?} reaches outside");
    }
    isa.run(Gather { data, offsets, pieces, width, out });
}

struct Gather<'a> {
    data: &'a [f32],
    offsets: &'a [u32],
    pieces: &'a [Piece],
    width: usize,
    out: &'a mut [f32],
}

impl Job for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Gather { data, offsets, pieces, width, out } = self;
        let (data, out) = (data.as_ptr(), out.as_mut_ptr());
        for piece in pieces {
            // A full register may be stored where the lanes that follow in the row are written later, or never used.
            let whole = piece.lane + S::LANES <= width;
            for (r, &offset) in offsets.iter().enumerate() {
                // SAFETY: `gather` checked that `len` values from `from + offset` lie inside `data`, and that the
                // rows lie inside `out`; a whole register is stored only where it ends inside its row.
                unsafe {
                    let from = data.add(offset as usize + piece.from);
                    let to = out.add(r * width + piece.lane);
                    if piece.len == S::LANES {
                        simd.store(to, simd.load(from));
                    } else if whole {
                        simd.store(to, simd.load_first(from, piece.len));
                    } else {
                        simd.store_first(to, piece.len, simd.load_first(from, piece.len));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other() {
        let data: Vec<f32> = (0..100).map(|v| v as f32).collect();
        for isa in Isa::all() {
            let pieces =
                [(0, 50, 3), (3, 60, 4), (7, 10, 1)].map(|(lane, from, len)| Piece { lane, from, len });
            let mut out = [f32::NAN; 2 * 16];
            gather(isa, &data, &[0, 20], &pieces, 16, &mut out);
            assert_eq!(out[..8], [50.0, 51.0, 52.0, 60.0, 61.0, 62.0, 63.0, 10.0]);
            assert_eq!(out[16..24], [70.0, 71.0, 72.0, 80.0, 81.0, 82.0, 83.0, 30.0]);
        }
    }

    #[test]
    #[should_panic(expected = "reaches outside")]
    fn pieces_stay_inside() {
        let piece = Piece { lane: 0, from: 5, len: 2 };
        gather(Isa::best(), &[0.0; 10], &[0, 4], &[piece], 16, &mut [0.0; 32]);
    }
}
