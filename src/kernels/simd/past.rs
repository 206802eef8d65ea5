//! Values written past the caches.

use super::Simd;

/// Values in a line of the cache: whole registers of any set.
pub const LINE: usize = 16;

/// Whether a line of the cache, and so a register of any set, begins here.
#[inline(always)]
pub fn begins_line(p: *const f32) -> bool {
    p.addr().is_multiple_of(LINE * size_of::<f32>())
}

/// Writes `from` to `to` past the caches; to be ended by a [`Simd::fence`].
///
/// # Panics
/// When they differ in length.
#[inline(always)]
pub fn write_past<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    assert!(from.len() == to.len(), "as many values as are written");
    let whole = if begins_line(to.as_ptr()) { to.len() - to.len() % S::LANES } else { 0 };
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: whole registers end within both, and lines consist of registers.
        unsafe { simd.stream(to.as_mut_ptr().add(at), simd.load(from.as_ptr().add(at))) };
    }
    to[whole..].copy_from_slice(&from[whole..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};
    use crate::tensor::Buffer;

    struct Write<'a>(&'a [f32], &'a mut [f32]);

    impl Job for Write<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            write_past(simd, self.0, self.1);
            simd.fence();
        }
    }

    #[test]
    fn values_are_written_wherever_they_go() {
        let from: Vec<f32> = (0..70).map(|i| i as f32).collect();
        for isa in Isa::all() {
            for (start, len) in [(0, 0), (0, 1), (0, 16), (0, 70), (16, 33), (3, 64)] {
                let mut to = Buffer::zeroed(90);
                isa.run(Write(&from[..len], &mut to[start..start + len]));
                assert_eq!(to[start..start + len], from[..len]);
                assert!(to[..start].iter().chain(&to[start + len..]).all(|&v| v == 0.0));
            }
        }
    }
}
