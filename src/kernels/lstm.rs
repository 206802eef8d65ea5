//! The unit of an LSTM, for some streams at one step: gates in order i, f, o, g, each `hidden` values.

use super::{
    elementwise::vectorized,
    math::{sigmoid, tanh},
    parallel::{CHUNK, for_chunks_mut, for_chunks_mut2, for_parts_mut},
};

/// Streams per chunk.
fn streams(hidden: usize) -> usize {
    (CHUNK / (4 * hidden).max(1)).max(1)
}

/// Four rows of equal length.
fn quarters(row: &[f32]) -> [&[f32]; 4] {
    let n = row.len() / 4;
    [&row[..n], &row[n..2 * n], &row[2 * n..3 * n], &row[3 * n..]]
}

/// gates = (s(i), cont * s(f), s(o), tanh(g)) in place, with s the sigmoid; c = f c_prev + i g; h = o tanh(c).
///
/// `cont` has a value per stream: 0 where a sequence begins, so that the old cell is forgotten, else 1.
pub fn lstm_forward(
    hidden: usize,
    cont: &[f32],
    gates: &mut [f32],
    c_prev: &[f32],
    c: &mut [f32],
    h: &mut [f32],
) {
    assert!(gates.len() == 4 * c.len() && c_prev.len() == c.len() && h.len() == c.len());
    if c.is_empty() {
        return;
    }
    for_chunks_mut(gates, streams(hidden) * 4 * hidden, |start, gates| {
        for (row, &cont) in gates.chunks_exact_mut(4 * hidden).zip(&cont[start / (4 * hidden)..]) {
            let (ifo, g) = row.split_at_mut(3 * hidden);
            vectorized(|| ifo.iter_mut().for_each(|x| *x = sigmoid(*x)));
            // Not times 0: what stands there may be NaN.
            ifo[hidden..2 * hidden].iter_mut().for_each(|f| *f = if cont == 0.0 { 0.0 } else { cont * *f });
            vectorized(|| g.iter_mut().for_each(|x| *x = tanh(*x)));
        }
    });
    let gates = &*gates;
    for_chunks_mut2(c, h, streams(hidden) * hidden, |start, c, h| {
        let rows = gates[4 * start..].chunks_exact(4 * hidden).zip(c_prev[start..].chunks_exact(hidden));
        let states = c.chunks_exact_mut(hidden).zip(h.chunks_exact_mut(hidden));
        for ((c, h), (row, c_prev)) in states.zip(rows) {
            let [i, f, o, g] = quarters(row);
            vectorized(|| {
                for k in 0..c.len() {
                    c[k] = f[k] * c_prev[k] + i[k] * g[k];
                    h[k] = o[k] * tanh(c[k]);
                }
            });
        }
    });
}

/// The backward of [`lstm_forward`]: takes its gates, cells and dE/dh; turns `dc` from dE/dc into dE/dc_prev, and
/// writes dE/d(gates before their functions).
///
/// As in Caffe, the derivative of the second gate is that of cont * s(f) taken as a sigmoid: right for 0 and 1.
pub fn lstm_backward(hidden: usize, pass: &LstmBackward<'_>, dc: &mut [f32], dgates: &mut [f32]) {
    assert!(dgates.len() == pass.gates.len() && dgates.len() == 4 * dc.len());
    if dc.is_empty() {
        return;
    }
    let part = streams(hidden) * hidden;
    for_parts_mut(dgates, 4 * part, dc, part, |i, dgates, dc| {
        let start = i * part;
        let rows = pass.gates[4 * start..].chunks_exact(4 * hidden);
        let states = (dgates.chunks_exact_mut(4 * hidden).zip(dc.chunks_exact_mut(hidden))).zip(rows);
        for (n, ((dgates, dc), gates)) in states.enumerate() {
            let at = start + n * hidden..start + (n + 1) * hidden;
            let row = Row {
                gates: quarters(gates),
                c: &pass.c[at.clone()],
                c_prev: &pass.c_prev[at.clone()],
                dh: &pass.dh[at],
            };
            vectorized(|| row.backward(dc, dgates));
        }
    });
}

/// What [`lstm_backward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct LstmBackward<'a> {
    /// The gates as the forward pass left them.
    pub gates: &'a [f32],
    /// The cells before the step.
    pub c_prev: &'a [f32],
    /// The cells after the step.
    pub c: &'a [f32],
    /// dE/dh.
    pub dh: &'a [f32],
}

/// One stream.
struct Row<'a> {
    gates: [&'a [f32]; 4],
    c: &'a [f32],
    c_prev: &'a [f32],
    dh: &'a [f32],
}

impl Row<'_> {
    #[inline(always)]
    fn backward(&self, dc: &mut [f32], dgates: &mut [f32]) {
        let n = dc.len();
        let [i, f, o, g] = self.gates.map(|gate| &gate[..n]);
        let (c, c_prev, dh) = (&self.c[..n], &self.c_prev[..n], &self.dh[..n]);
        let (di, rest) = dgates.split_at_mut(n);
        let (df, rest) = rest.split_at_mut(n);
        let (d_o, dg) = rest.split_at_mut(n);
        let dg = &mut dg[..n];
        for k in 0..n {
            let t = tanh(c[k]);
            let through = dc[k] + dh[k] * o[k] * (1.0 - t * t);
            di[k] = through * g[k] * i[k] * (1.0 - i[k]);
            df[k] = through * c_prev[k] * f[k] * (1.0 - f[k]);
            d_o[k] = dh[k] * t * o[k] * (1.0 - o[k]);
            dg[k] = through * i[k] * (1.0 - g[k] * g[k]);
            dc[k] = through * f[k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One unit in `f64`: gates before their functions, cont, old cell -> new cell, output.
    fn plain(gates: [f64; 4], cont: f64, c_prev: f64) -> (f64, f64) {
        let s = |x: f64| 1.0 / (1.0 + (-x).exp());
        let c = cont * s(gates[1]) * c_prev + s(gates[0]) * gates[3].tanh();
        (c, s(gates[2]) * c.tanh())
    }

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 250.0 - 2.0).collect()
    }

    #[test]
    fn streams_agree_with_the_plain_form() {
        for (n, hidden) in [(1, 1), (3, 5), (2, 33), (5, 2049), (0, 4)] {
            let len = n * hidden;
            let (before, c_prev) = (values(4 * len, 1), values(len, 2));
            let (dh, dc_after) = (values(len, 3), values(len, 4));
            let cont: Vec<f32> = (0..n).map(|i| (i % 2) as f32).collect();
            let (mut gates, mut c, mut h) = (before.clone(), vec![f32::NAN; len], vec![f32::NAN; len]);
            lstm_forward(hidden, &cont, &mut gates, &c_prev, &mut c, &mut h);
            let (mut dc, mut dgates) = (dc_after.clone(), vec![f32::NAN; 4 * len]);
            let pass = LstmBackward { gates: &gates, c_prev: &c_prev, c: &c, dh: &dh };
            lstm_backward(hidden, &pass, &mut dc, &mut dgates);

            let near = |got: f32, want: f64| assert!((f64::from(got) - want).abs() < 1e-4, "{got} {want}");
            for k in 0..len {
                let at = |gate: usize| k / hidden * 4 * hidden + gate * hidden + k % hidden;
                let (x, cont) = ([0, 1, 2, 3].map(|g| f64::from(before[at(g)])), f64::from(cont[k / hidden]));
                let old = f64::from(c_prev[k]);
                let (new, out) = plain(x, cont, old);
                near(c[k], new);
                near(h[k], out);
                let energy = |x, old| {
                    let (c, h) = plain(x, cont, old);
                    f64::from(dc_after[k]) * c + f64::from(dh[k]) * h
                };
                let step = 1e-5;
                near(dc[k], (energy(x, old + step) - energy(x, old - step)) / (2.0 * step));
                for gate in 0..4 {
                    let moved = |by: f64| {
                        let mut x = x;
                        x[gate] += by;
                        energy(x, old)
                    };
                    near(dgates[at(gate)], (moved(step) - moved(-step)) / (2.0 * step));
                }
            }
        }
    }

    #[test]
    fn a_new_sequence_forgets_even_nan() {
        let (mut gates, mut c, mut h) = ([0.0; 4], [0.0], [0.0]);
        lstm_forward(1, &[0.0], &mut gates, &[5.0], &mut c, &mut h);
        assert_eq!((gates[1], c, h), (0.0, [0.0], [0.0]));
    }
}
