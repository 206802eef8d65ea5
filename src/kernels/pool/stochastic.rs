//! Stochastic pooling (Zeiler and Fergus 2013): an element of each window, chosen with a probability in proportion
//! to its value, or the mean under those probabilities. Values must not be negative.

use rand::RngExt as _;

use super::{Pool, for_rows};
use crate::kernels::{
    parallel::{for_chunks_mut, for_parts_mut},
    random::Draw,
};

/// y = one element of each window, chosen in proportion to its value (the first, if all are 0); places = which.
pub fn sample(pool: &Pool, x: &[f32], draw: Draw, y: &mut [f32], places: &mut [u32]) {
    let (inputs, outputs) = (pool.inputs(), pool.outputs());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs && places.len() == y.len());
    for_parts_mut(y, outputs, places, outputs, |plane, y, places| {
        let x = &x[plane * inputs..][..inputs];
        let mut rng = draw.rng(plane);
        for (o, (y, place)) in y.iter_mut().zip(places).enumerate() {
            let mut sum = 0.0;
            for_window(pool, o, |i| sum += x[i]);
            let threshold = rng.random::<f32>() * sum;
            let (mut chosen, mut below) = (None, 0.0);
            for_window(pool, o, |i| {
                // The last before the threshold is passed; one of value 0 only if there is nothing else.
                if chosen.is_none() || (x[i] > 0.0 && below <= threshold) {
                    chosen = Some(i);
                }
                below += x[i];
            });
            let chosen = chosen.expect("a window holds some of the input");
            (*y, *place) = (x[chosen], chosen as u32);
        }
    });
}

/// y = sum x^2 / sum x over each window: the mean under the probabilities; 0 where all are 0.
pub fn stochastic_mean(pool: &Pool, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs) = (pool.inputs(), pool.outputs());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    for_chunks_mut(y, outputs, |start, y| {
        let x = &x[start / outputs * inputs..][..inputs];
        for (o, y) in y.iter_mut().enumerate() {
            // In `f64`: a window may be a whole plane.
            let (mut sum, mut squares) = (0.0, 0.0);
            for_window(pool, o, |i| {
                let x = f64::from(x[i]);
                sum += x;
                squares += x * x;
            });
            *y = if sum == 0.0 { 0.0 } else { (squares / sum) as f32 };
        }
    });
}

/// dx = the sum of dy * (2 x - y) / sum x over the windows, given y and dy of [`stochastic_mean`].
pub fn stochastic_mean_backward(pool: &Pool, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs) = (pool.inputs(), pool.outputs());
    assert!(x.len() == dx.len() && y.len() == dy.len());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    for_chunks_mut(dx, inputs, |start, dx| {
        let (x, plane) = (&x[start..][..inputs], start / inputs * outputs);
        dx.fill(0.0);
        for o in 0..outputs {
            let (y, dy) = (y[plane + o], dy[plane + o]);
            let mut sum = 0.0;
            for_window(pool, o, |i| sum += f64::from(x[i]));
            if sum > 0.0 {
                let sum = sum as f32;
                for_window(pool, o, |i| dx[i] += dy * (2.0 * x[i] - y) / sum);
            }
        }
    });
}

/// Calls `f` with each element of window `o`, in order.
fn for_window(pool: &Pool, o: usize, mut f: impl FnMut(usize)) {
    let (axis, outer) = pool.split();
    let columns = axis.window(o % axis.output);
    for_rows(outer, o / axis.output, |row, _| columns.clone().for_each(|i| f(row * axis.input + i)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool::{
        Axis,
        tests::{assert_close, geometries, values, windows},
    };

    #[test]
    fn elements_are_chosen_by_their_share() {
        let pool = Pool { planes: 20_000, axes: vec![Axis::fit(4, 4, 4, 0, true).unwrap()] };
        let x = [0.0, 1.0, 0.0, 3.0].repeat(20_000);
        let (mut y, mut places) = (vec![0.0; 20_000], vec![0; 20_000]);
        sample(&pool, &x, Draw::new(1, "pool", 0), &mut y, &mut places);
        let share = |place| places.iter().filter(|&&p| p == place).count() as f64 / 20_000.0;
        assert_eq!((share(0), share(2)), (0.0, 0.0));
        assert!((share(1) - 0.25).abs() < 0.01, "{}", share(1));
        assert!(y.iter().zip(&places).all(|(&y, &p)| y == p as f32));
    }

    #[test]
    fn means_equal_the_plain_ones() {
        for pool in geometries() {
            let x: Vec<f32> = values(pool.planes * pool.inputs()).iter().map(|v| v.max(0.0)).collect();
            let mut y = vec![f32::NAN; pool.planes * pool.outputs()];
            stochastic_mean(&pool, &x, &mut y);
            let windows = windows(&pool);
            let mean = |x: &[f32]| {
                let of = |w: &Vec<(usize, _)>| {
                    let sum: f32 = w.iter().map(|&(i, _)| x[i]).sum();
                    w.iter().map(|&(i, _)| x[i] * x[i]).sum::<f32>() / sum.max(1e-30)
                };
                windows.iter().map(of).collect::<Vec<_>>()
            };
            assert_close(&y, &x.chunks(pool.inputs()).flat_map(mean).collect::<Vec<_>>(), &pool);
        }
    }

    #[test]
    fn large_windows_are_summed_well() {
        let pool = Pool { planes: 1, axes: vec![Axis::fit(512, 512, 512, 0, true).unwrap(); 2] };
        let mut y = [0.0];
        stochastic_mean(&pool, &vec![0.1; 512 * 512], &mut y);
        assert!((y[0] - 0.1).abs() < 1e-7, "{}", y[0]);
    }

    #[test]
    fn windows_of_zeros_give_zero() {
        let pool = Pool { planes: 1, axes: vec![Axis::fit(2, 2, 2, 0, true).unwrap()] };
        let (mut y, mut places, mut dx) = ([f32::NAN], [7], [f32::NAN; 2]);
        sample(&pool, &[0.0; 2], Draw::new(1, "pool", 0), &mut y, &mut places);
        assert_eq!((y[0], places[0] < 2), (0.0, true));
        stochastic_mean(&pool, &[0.0; 2], &mut y);
        stochastic_mean_backward(&pool, &[0.0; 2], &y, &[1.0], &mut dx);
        assert_eq!((y, dx), ([0.0], [0.0; 2]));
    }
}
