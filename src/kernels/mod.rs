//! The arithmetic: safe functions over slices and dims structs, that know no blob, layer or proto.
//!
//! Each kernel stands beside a plain twin in `reference`, which tests compare with on odd sizes. Work is cut into
//! chunks that depend on the shape alone, so the same bytes come out on any number of threads.

pub mod affine;
pub mod batch_norm;
pub mod boxes;
pub mod channels;
pub mod contrast;
pub mod conv;
pub mod dropout;
pub mod elementwise;
pub mod extremes;
pub mod gemm;
pub mod infogain;
pub mod interp;
pub mod local;
pub mod logistic;
pub mod lrn;
pub mod lstm;
pub mod norm;
pub mod parallel;
pub mod permute;
pub mod pool;
pub mod power;
pub mod prelu;
pub mod random;
pub mod reference;
pub mod regions;
pub mod rows;
mod scratch;
pub mod simd;
pub mod smooth_l1;
pub mod softmax;
pub mod sums;
pub mod top_k;
pub mod unit_norm;
pub mod update;
pub mod upsample;
