//! What the instruction sets of x86-64 have in common.

/// Operations of `Simd` that are one instruction each.
macro_rules! instructions {
    ($V:ty: $($name:ident($($arg:ident),+) = $instruction:ident;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $V),+) -> $V {
            // SAFETY: the token exists only where the instruction does.
            unsafe { $instruction($($arg),+) }
        }
    )+};
}

/// Requests for a line of memory.
macro_rules! requests {
    ($($name:ident = $hint:ident;)+) => {$(
        #[inline(always)]
        fn $name(self, p: *const f32) {
            // SAFETY: a request never faults.
            unsafe { _mm_prefetch::<$hint>(p.cast()) }
        }
    )+};
}

pub(super) use {instructions, requests};
