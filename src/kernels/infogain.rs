//! Cross entropy of softmax where each true class prices the classes by its row of a matrix H.

use super::{
    elementwise::at_least,
    parallel::{CHUNK, for_chunks_mut, sum_chunks},
    softmax::{SoftmaxDims, for_runs},
};

/// The least probability whose logarithm is taken.
const LEAST: f32 = 1e-20;

/// What each position's distribution is held against.
#[derive(Clone, Copy, Debug)]
pub struct Prices<'a> {
    /// The true class of each position, `None` for the ignored.
    pub classes: &'a [Option<u32>],
    /// H: a row for each true class.
    pub matrix: &'a [f32],
    /// The sum of each row of H.
    pub row_sums: &'a [f32],
}

/// The sum over positions of -sum over classes of `H[label][c]` * ln(max(p, 1e-20)).
pub fn infogain(dims: &SoftmaxDims, p: &[f32], prices: &Prices<'_>) -> f64 {
    let classes = dims.classes;
    sum_chunks(dims.positions(), (CHUNK / classes.max(1)).max(1), |range| {
        let mut sum = 0.0;
        for position in range {
            let Some(label) = prices.classes[position] else { continue };
            let row = &prices.matrix[label as usize * classes..][..classes];
            let p = p[dims.start(position)..].iter().step_by(dims.inner);
            sum -= row.iter().zip(p).map(|(h, &p)| f64::from(h * at_least(p, LEAST).ln())).sum::<f64>();
        }
        sum
    })
}

/// dE/dx of [`infogain`] of softmax, times `scale`: scale * (p * (row sum of H) - `H[label][c]`).
pub fn infogain_backward(dims: &SoftmaxDims, p: &[f32], prices: &Prices<'_>, scale: f32, dx: &mut [f32]) {
    let slope = |label: Option<u32>, class: usize, p: f32| {
        label.map_or(0.0, |label| {
            let label = label as usize;
            scale * (p * prices.row_sums[label] - prices.matrix[label * dims.classes + class])
        })
    };
    if dims.inner == 1 {
        for_chunks_mut(dx, dims.rows_chunk(), |start, dx| {
            let rows = dx.chunks_exact_mut(dims.classes).zip(p[start..].chunks_exact(dims.classes));
            for ((dx, p), &label) in rows.zip(&prices.classes[start / dims.classes..]) {
                dx.iter_mut().zip(p).enumerate().for_each(|(class, (dx, &p))| *dx = slope(label, class, p));
            }
        });
        return;
    }
    for_runs(dims, dx, |class, start, position, dx| {
        let labels = &prices.classes[position..][..dx.len()];
        dx.iter_mut().zip(p[start..].iter().zip(labels)).for_each(|(dx, (&p, &l))| *dx = slope(l, class, p));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::softmax::{Targets, cross_entropy, cross_entropy_backward};

    #[test]
    fn the_identity_is_plain_cross_entropy() {
        for (outer, classes, inner) in [(1, 1, 1), (5, 7, 1), (3, 4, 5), (2, 3, 17_000), (0, 3, 1)] {
            let dims = SoftmaxDims { outer, classes, inner };
            let p: Vec<f32> = (0..dims.count()).map(|i| 0.01 + (i * 37 % 89) as f32 / 100.0).collect();
            let labels: Vec<u32> = (0..dims.positions()).map(|i| (i * 5 % classes) as u32).collect();
            let weights: Vec<f32> = (0..dims.positions()).map(|i| (i % 2) as f32).collect();
            let some = |(i, &label): (usize, &u32)| (i % 2 == 1).then_some(label);
            let ours: Vec<_> = labels.iter().enumerate().map(some).collect();
            let matrix: Vec<f32> =
                (0..classes * classes).map(|i| f32::from(i / classes == i % classes)).collect();
            let prices = Prices { classes: &ours, matrix: &matrix, row_sums: &vec![1.0; classes] };
            let targets = Targets { classes: &labels, weights: &weights, smoothing: 0.0 };
            let (got, want) = (infogain(&dims, &p, &prices), cross_entropy(&dims, &p, &targets));
            assert!((got - want).abs() < 1e-6 * want.max(1.0), "{got}, not {want}");
            let (mut dx, mut expected) = (vec![f32::NAN; p.len()], vec![f32::NAN; p.len()]);
            infogain_backward(&dims, &p, &prices, 0.5, &mut dx);
            cross_entropy_backward(&dims, &p, &targets, 0.5, &mut expected);
            assert!(dx.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn no_number_makes_a_loss_that_is_none() {
        let dims = SoftmaxDims { outer: 1, classes: 2, inner: 1 };
        let prices = Prices { classes: &[Some(0)], matrix: &[1.0, 0.0, 0.0, 1.0], row_sums: &[1.0, 1.0] };
        assert!(infogain(&dims, &[f32::NAN, 0.5], &prices).is_nan());
    }

    #[test]
    fn a_row_prices_every_class() {
        let dims = SoftmaxDims { outer: 1, classes: 2, inner: 1 };
        let prices = Prices { classes: &[Some(1)], matrix: &[9.0, 9.0, 2.0, 1.0], row_sums: &[18.0, 3.0] };
        let half = 2f64.ln();
        assert!((infogain(&dims, &[0.5, 0.5], &prices) - 3.0 * half).abs() < 1e-6);
        let mut dx = [f32::NAN; 2];
        infogain_backward(&dims, &[0.5, 0.5], &prices, 1.0, &mut dx);
        assert_eq!(dx, [-0.5, 0.5]);
    }
}
