//! Against the reference twin, on odd sizes, strides and every instruction set of the machine.

use super::*;
use crate::kernels::reference;

/// Numbers in [-1, 1) that repeat with no short period.
fn values(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-5 * scale, "{what}: element {i} is {g}, not {w}");
    }
}

#[test]
fn every_instruction_set_matches_the_reference() {
    let sizes = [
        (0, 3, 2),
        (1, 1, 1),
        (3, 2, 0),
        (1, 17, 5),
        (13, 1, 600),
        (14, 32, 7),
        (29, 33, 513),
        (97, 101, 31),
        (300, 520, 9),
    ];
    for isa in Isa::all() {
        for (m, n, k) in sizes {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let (a, b) = (values(m * k + 1, 1), values(n * k + 1, 2));
                let matrix = |data, rows, cols, t: bool| {
                    if t { Matrix::row_major(data, rows).transposed() } else { Matrix::row_major(data, cols) }
                };
                let mut product = Gemm::new(m, n, k, matrix(&a, m, k, ta), matrix(&b, k, n, tb));
                (product.alpha, product.beta, product.c_stride) = (0.5, -2.0, n + 3);
                let old = values(m * (n + 3), 3);
                let (mut got, mut packed_once, mut want) = (old.clone(), old.clone(), old);
                block(isa, &product, 0, 0, checked(&product, &mut got));
                reference::gemm(&product, &mut want);
                assert_close(&got, &want, &format!("{} {m}x{n}x{k} {ta} {tb}", isa.name()));
                shared(isa, &product, (20, 40), checked(&product, &mut packed_once));
                assert_eq!(packed_once, got, "{} {m}x{n}x{k} {ta} {tb}", isa.name());
            }
        }
    }
}

#[test]
fn few_rows_by_contiguous_columns_match_the_reference() {
    for isa in Isa::all() {
        let most = isa.tile_cols();
        let few = [(0, 14, 16), (1, 15, 16), (3, 31, 270), (most - 1, 29, 257), (most, 14, 600)];
        // Several tiles of rows, several groups of columns.
        let more = [(2 * most - 3, 29, 40), (2 * most, 127, 16), (4 * most - 1, 14, 530)];
        for (m, n, k) in few.into_iter().chain(more) {
            let (a, b) = (values(m * k + 1, 1), values(n * (k + 2), 2));
            for a in [Matrix::row_major(&a, k), Matrix::row_major(&a, m).transposed()] {
                let mut product = Gemm::new(m, n, k, a, Matrix::row_major(&b, k + 2).transposed());
                (product.alpha, product.beta, product.c_stride) = (0.5, -2.0, n + 3);
                assert!(slender::serves(isa, &product));
                let old = values(m * (n + 3), 3);
                let (mut got, mut whole, mut want) = (old.clone(), old.clone(), old);
                slender::run(isa, &product, 14, checked(&product, &mut got));
                reference::gemm(&product, &mut want);
                assert_close(&got, &want, &format!("{} {m}x{n}x{k}", isa.name()));
                slender::run(isa, &product, n, checked(&product, &mut whole));
                assert_eq!(whole, got, "in one task, {} {m}x{n}x{k}", isa.name());
            }
        }
    }
}

#[test]
fn very_few_rows_by_contiguous_columns_match_the_reference() {
    for isa in Isa::all() {
        let most = 3 * isa.lanes() / 4;
        for (m, n, k) in
            [(0, 14, 16), (1, 1, 16), (1, 131, 270), (2, 64, 1100), (most - 1, 65, 57), (most, 30, 600)]
        {
            let (a, b) = (values(m * (k + 1), 1), values(n * (k + 2), 2));
            let columns = Matrix::row_major(&b, k + 2).transposed();
            let mut product = Gemm::new(m, n, k, Matrix::row_major(&a, k + 1), columns);
            assert!(dots::serves(isa, &product));
            let old = values(m * (n + 3), 3);
            for (alpha, beta) in [(1.0, 0.0), (0.5, -2.0)] {
                (product.alpha, product.beta, product.c_stride) = (alpha, beta, n + 3);
                let (mut got, mut alone, mut want) = (old.clone(), old.clone(), old.clone());
                dots::run_parallel(isa, &product, checked(&product, &mut got));
                dots::run(isa, &product, checked(&product, &mut alone));
                reference::gemm(&product, &mut want);
                assert_close(&got, &want, &format!("{} {m}x{n}x{k}", isa.name()));
                assert_eq!(alone, got, "on one thread, {} {m}x{n}x{k}", isa.name());
            }
        }
        let (a, b) = (values((most + 1) * 64, 1), values(64 * 64, 2));
        let rows = |row_stride, col_stride| Matrix { data: &a, row_stride, col_stride };
        let product = |m, a| Gemm::new(m, 64, 64, a, Matrix::row_major(&b, 64).transposed());
        assert!(dots::serves(isa, &product(most, rows(64, 1))));
        assert!(!dots::serves(isa, &product(most + 1, rows(64, 1))), "rows for most of a register's lanes");
        assert!(!dots::serves(isa, &product(most, rows(1, most))), "rows that do not lie contiguous");
    }
}

#[test]
fn few_rows_by_contiguous_rows_match_the_reference() {
    for isa in Isa::all() {
        for (m, n, k) in [(1, 256, 64), (3, 300, 70), (29, 259, 513), (64, 511, 1100)] {
            let (a, b) = (values(m * k + 1, 1), values(k * (n + 2), 2));
            for a in [Matrix::row_major(&a, k), Matrix::row_major(&a, m).transposed()] {
                let mut product = Gemm::new(m, n, k, a, Matrix::row_major(&b, n + 2));
                product.c_stride = n + 3;
                assert!(streamed::serves(&product));
                let old = vec![f32::NAN; m * (n + 3)];
                let (mut got, mut alone, mut want) = (old.clone(), old.clone(), old);
                streamed::run_parallel(isa, &product, checked(&product, &mut got));
                streamed::run(isa, &product, checked(&product, &mut alone));
                reference::gemm(&product, &mut want);
                for ((got, alone), want) in got.chunks(n + 3).zip(alone.chunks(n + 3)).zip(want.chunks(n + 3))
                {
                    assert_close(&got[..n], &want[..n], &format!("{} {m}x{n}x{k}", isa.name()));
                    assert_eq!(got[..n], alone[..n]);
                    assert!(got[n..].iter().all(|v| v.is_nan()));
                }
            }
        }
    }
    assert!(!streams(0, 300, 70) && !streams(65, 300, 70), "no rows, and many");
}

#[test]
fn beta_zero_does_not_read_c() {
    let (a, b) = (values(35, 1), values(35, 2));
    for k in [0, 7] {
        let product = Gemm::new(5, 5, k, Matrix::row_major(&a, 7), Matrix::row_major(&b, 5));
        let mut c = [f32::NAN; 25];
        gemm(&product, &mut c);
        assert!(c.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    // Blocks, which four threads and more pack together; and few rows, several tasks of columns; and several of rows.
    for (m, n, k, contiguous_rows) in [(301, 777, 519, false), (9, 1000, 519, false), (9, 2100, 1100, true)] {
        let (a, b) = (values(m * k, 1), values(n * k, 2));
        let b =
            if contiguous_rows { Matrix::row_major(&b, n) } else { Matrix::row_major(&b, k).transposed() };
        let product = Gemm::new(m, n, k, Matrix::row_major(&a, k), b);
        let mut alone = vec![0.0; m * n];
        gemm(&product, &mut alone);
        for threads in [1, 2, 3, 4, 9] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![1.0; m * n];
            pool.install(|| gemm_parallel(&product, &mut c));
            assert!(c.iter().zip(&alone).all(|(x, y)| x.to_bits() == y.to_bits()), "{threads} threads");
        }
    }
}

#[test]
#[should_panic(expected = "b is shorter")]
fn short_factors_are_refused() {
    let product = Gemm::new(2, 2, 2, Matrix::row_major(&[0.0; 4], 2), Matrix::row_major(&[0.0; 3], 2));
    gemm(&product, &mut [0.0; 4]);
}
