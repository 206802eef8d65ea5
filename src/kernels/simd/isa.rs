//! Which instruction sets there are, and which of them kernels use.

use std::sync::OnceLock;

use super::{Job, Simd, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx512, fma};

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Fma(fma::Fma),
    /// Whatever the compiler may assume: SSE2 on x86-64, NEON on aarch64.
    Portable(portable::Portable),
}

/// What [`Isa::best`] gives.
static BEST: OnceLock<Isa> = OnceLock::new();

impl Isa {
    /// Every instruction set this processor has, best first.
    pub fn all() -> impl Iterator<Item = Isa> {
        #[cfg(target_arch = "x86_64")]
        let wide = [avx512::Avx512::new().map(Isa::Avx512), fma::Fma::new().map(Isa::Fma)];
        #[cfg(not(target_arch = "x86_64"))]
        let wide: [Option<Isa>; 0] = [];
        wide.into_iter().flatten().chain([Isa::Portable(portable::Portable)])
    }

    /// The instruction set that kernels use: the best, unless another was chosen before the first call.
    pub fn best() -> Isa {
        *BEST.get_or_init(|| Isa::all().next().unwrap_or(Isa::Portable(portable::Portable)))
    }

    /// Has all kernels use this one from now on. Too late, and without effect, once one of them has run.
    pub fn choose(self) {
        let _ = BEST.set(self);
    }

    /// How it is named on the command line and in files.
    pub fn key(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Fma(_) => "avx2",
            Isa::Portable(_) => "portable",
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Isa::Fma(_) => "AVX2+FMA",
            Isa::Portable(_) => "portable",
        }
    }

    /// Values in a register.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => avx512::Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Fma(_) => fma::Fma::LANES,
            Isa::Portable(_) => portable::Portable::LANES,
        }
    }

    /// The most rows of a tile of C.
    pub fn tile_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => avx512::Avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Fma(_) => fma::Fma::ROWS,
            Isa::Portable(_) => portable::Portable::ROWS,
        }
    }

    /// The most columns of a tile of C: two registers.
    pub fn tile_cols(self) -> usize {
        2 * self.lanes()
    }

    /// Runs `job`, compiled for this instruction set.
    #[inline]
    pub fn run<J: Job>(self, job: J) -> J::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(simd) => simd.run(job),
            #[cfg(target_arch = "x86_64")]
            Isa::Fma(simd) => simd.run(job),
            Isa::Portable(simd) => job.run(simd),
        }
    }
}
