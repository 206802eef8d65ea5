//! The unit of an LSTM, for some streams at one step: gates in order i, f, o, g, each `hidden` values.

use super::{
    parallel::{CHUNK, for_chunks_mut, for_chunks_mut2, for_parts_mut},
    simd::{Asked, Each, Isa, Job, Own, Renew, Simd, each, renew, sigmoid, tanh},
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
            Isa::best().run(Gates { row, cont });
        }
    });
    let gates = &*gates;
    for_chunks_mut2(c, h, streams(hidden) * hidden, |start, c, h| {
        let rows = gates[4 * start..].chunks_exact(4 * hidden).zip(c_prev[start..].chunks_exact(hidden));
        let states = c.chunks_exact_mut(hidden).zip(h.chunks_exact_mut(hidden));
        for (state, (row, c_prev)) in states.zip(rows) {
            Isa::best().run(Cells { gates: quarters(row), c_prev, state });
        }
    });
}

/// The functions of one stream's gates.
struct Gates<'a> {
    row: &'a mut [f32],
    cont: f32,
}

impl Job for Gates<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let hidden = self.row.len() / 4;
        let (ifo, g) = self.row.split_at_mut(3 * hidden);
        renew(simd, [], [&mut *ifo], Asked::NOTHING, Own(Sigmoid));
        renew(simd, [], [g], Asked::NOTHING, Own(Tanh));
        // Not times 0: what stands there may be NaN.
        let f = &mut ifo[hidden..2 * hidden];
        if self.cont == 0.0 { f.fill(0.0) } else { f.iter_mut().for_each(|f| *f *= self.cont) }
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Each<1, 1> for Sigmoid {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [sigmoid(simd, x)]
    }
}

#[derive(Clone, Copy)]
struct Tanh;

impl Each<1, 1> for Tanh {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [tanh(simd, x)]
    }
}

/// The cell and the output of one stream.
struct Cells<'a> {
    gates: [&'a [f32]; 4],
    c_prev: &'a [f32],
    state: (&'a mut [f32], &'a mut [f32]),
}

impl Job for Cells<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [i, f, o, g] = self.gates;
        each(simd, [i, f, o, g, self.c_prev], self.state.into(), Asked::NOTHING, Cell);
    }
}

#[derive(Clone, Copy)]
struct Cell;

impl Each<5, 2> for Cell {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [i, f, o, g, c_prev]: [S::V; 5]) -> [S::V; 2] {
        let c = simd.add(simd.mul(f, c_prev), simd.mul(i, g));
        [c, simd.mul(o, tanh(simd, c))]
    }
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
            Isa::best().run(Slopes {
                gates: quarters(gates),
                c: &pass.c[at.clone()],
                c_prev: &pass.c_prev[at.clone()],
                dh: &pass.dh[at],
                dc,
                dgates,
            });
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

/// The gradients of one stream.
struct Slopes<'a> {
    gates: [&'a [f32]; 4],
    c: &'a [f32],
    c_prev: &'a [f32],
    dh: &'a [f32],
    dc: &'a mut [f32],
    dgates: &'a mut [f32],
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [i, f, o, g] = self.gates;
        let n = self.dc.len();
        let (di, rest) = self.dgates.split_at_mut(n);
        let (df, rest) = rest.split_at_mut(n);
        let (d_o, dg) = rest.split_at_mut(n);
        let rows = [i, f, o, g, self.c, self.c_prev, self.dh];
        renew(simd, rows, [di, df, d_o, dg, self.dc], Asked::NOTHING, Slope);
    }
}

#[derive(Clone, Copy)]
struct Slope;

impl Renew<7, 5> for Slope {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [i, f, o, g, c, c_prev, dh]: [S::V; 7], [.., dc]: [S::V; 5]) -> [S::V; 5] {
        let product = |factors: [S::V; 4]| {
            let [a, b, c, d] = factors;
            simd.mul(simd.mul(simd.mul(a, b), c), d)
        };
        let (one, minus) = (simd.splat(1.0), simd.splat(-1.0));
        let rest = |s: S::V| simd.fma(s, minus, one);
        let rest_of_square = |t: S::V| simd.fma(simd.mul(t, minus), t, one);
        let t = tanh(simd, c);
        let through = simd.fma(simd.mul(dh, o), rest_of_square(t), dc);
        [
            product([through, g, i, rest(i)]),
            product([through, c_prev, f, rest(f)]),
            product([dh, t, o, rest(o)]),
            simd.mul(simd.mul(through, i), rest_of_square(g)),
            simd.mul(through, f),
        ]
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
