//! What `RNN` and `LSTM` share: settings, shapes, the state between passes, and the products with the weights.
//!
//! All steps' products with the input are one matrix product; only the product with the state runs step by step.

use super::{Backward, Blob, Carry, LayerError, ParamOutline, axes};
use crate::{
    config::proto::{LayerParameter, RecurrentParameter},
    kernels::{
        gemm::{Gemm, Matrix, gemm_parallel},
        rows::add_column_sums,
    },
    tensor::{Buffer, Shape},
};

/// The bottom of sequence marks.
pub const CONT: usize = 1;
/// The bottom that is the same in all steps, where there is one.
const FIXED: usize = 2;

/// The sizes of a recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Steps of a pass.
    pub steps: usize,
    /// Sequences side by side.
    pub streams: usize,
    /// Values of a step's input.
    pub inputs: usize,
    /// Values of the input that is the same in all steps.
    pub fixed_inputs: usize,
    /// Values of the state.
    pub hidden: usize,
    /// Values that the products give: `hidden` times the number of gates.
    pub width: usize,
}

impl Sizes {
    /// Values of the state, of all streams.
    pub fn state(&self) -> usize {
        self.streams * self.hidden
    }

    /// Values that the products give in a step, of all streams.
    pub fn products(&self) -> usize {
        self.streams * self.width
    }
}

/// The common part of a recurrent layer.
pub struct Recurrent {
    config: RecurrentParameter,
    gates: usize,
    /// Whether the state comes in by bottoms and goes out by tops.
    pub exposed: bool,
    has_fixed: bool,
    /// As outlined.
    pub sizes: Sizes,
    /// The state after the last step so far: h, for the LSTM also c.
    pub state: Vec<Buffer>,
}

impl Recurrent {
    /// Checks the settings of a layer with so many gates and blobs of state.
    pub fn from_config(config: &LayerParameter, gates: usize, states: usize) -> Result<Self, LayerError> {
        let settings = config.recurrent_param.clone().unwrap_or_default();
        if settings.num_output() == 0 {
            let text = "num_output must be given and not 0";
            return Err(LayerError::setting("recurrent_param.num_output", text));
        }
        let exposed = settings.expose_hidden();
        let more = if exposed { states } else { 0 };
        let (bottoms, tops) = (config.bottom.len(), config.top.len());
        if !(2 + more..=3 + more).contains(&bottoms) || tops != 1 + more {
            let text = format!(
                "expose_hidden: {exposed} needs {} or {} bottoms and {} tops, found {bottoms} and {tops}",
                2 + more,
                3 + more,
                1 + more
            );
            return Err(LayerError::setting("recurrent_param.expose_hidden", text));
        }
        Ok(Self {
            config: settings,
            gates,
            exposed,
            has_fixed: bottoms > 2 + more,
            sizes: Sizes::default(),
            state: vec![Buffer::default(); states],
        })
    }

    /// Fixes the sizes. A state of another size than before starts from 0.
    pub fn outline(&mut self, bottoms: &[Shape]) -> Result<(), LayerError> {
        let x = &bottoms[0];
        let &[steps, streams, ..] = &x[..] else {
            return Err(LayerError::shape(format!("the input must be T x N x ..., found {x}")));
        };
        let hidden = self.config.num_output() as usize;
        let expect = |bottom: &Shape, want: &[usize], what: &str| {
            if bottom[..] == *want {
                return Ok(());
            }
            let want = Shape::from(want);
            Err(LayerError::shape(format!(
                "the {what} must be {want} beside an input of {x}, found {bottom}"
            )))
        };
        expect(&bottoms[CONT], &[steps, streams], "sequence marks")?;
        let mut fixed_inputs = 0;
        if self.has_fixed {
            let fixed = &bottoms[FIXED];
            if fixed.first() != Some(&streams) {
                let text = format!("the fixed input must be {streams} x ..., found {fixed}");
                return Err(LayerError::shape(text));
            }
            fixed_inputs = fixed.count_of(1..);
        }
        if self.exposed {
            for i in 0..self.state.len() {
                expect(&bottoms[self.state_bottom(i)], &[1, streams, hidden], "first state")?;
            }
        }
        let (inputs, width) = (x.count_of(2..), self.gates * hidden);
        if axes::counted(vec![steps.saturating_add(1), streams, width]).is_none() {
            let text = format!("{steps} steps of {streams} x {width} gates are too large");
            return Err(LayerError::shape(text));
        }
        self.sizes = Sizes { steps, streams, inputs, fixed_inputs, hidden, width };
        for state in self.state.iter_mut().filter(|s| s.len() != streams * hidden) {
            *state = Buffer::try_zeroed(streams * hidden)?;
        }
        Ok(())
    }

    /// The weights of the input, their bias, the weights of the fixed input if any, and those of the state.
    pub fn params(&self) -> Vec<ParamOutline> {
        let Sizes { inputs, fixed_inputs, hidden, width, .. } = self.sizes;
        let mut params = vec![self.weights(width, inputs), self.bias(width)];
        params.extend(self.has_fixed.then(|| self.weights(width, fixed_inputs)));
        params.push(self.weights(width, hidden));
        params
    }

    /// A matrix of weights.
    pub fn weights(&self, rows: usize, cols: usize) -> ParamOutline {
        ParamOutline::learned([rows, cols], self.config.weight_filler.clone().unwrap_or_default())
    }

    /// A bias.
    pub fn bias(&self, len: usize) -> ParamOutline {
        ParamOutline::learned([len], self.config.bias_filler.clone().unwrap_or_default())
    }

    /// The shapes of the outputs of all steps and, where exposed, of the last state.
    pub fn tops(&self) -> Vec<Shape> {
        let Sizes { steps, streams, hidden, .. } = self.sizes;
        let mut tops = vec![Shape::from([steps, streams, hidden])];
        let exposed = if self.exposed { self.state.len() } else { 0 };
        tops.resize(1 + exposed, [1, streams, hidden].into());
        tops
    }

    /// The index of the state's weights among the parameters.
    pub fn state_weights(&self) -> usize {
        FIXED + usize::from(self.has_fixed)
    }

    /// The bottom that brings the state `i`, where exposed.
    pub fn state_bottom(&self, i: usize) -> usize {
        FIXED + usize::from(self.has_fixed) + i
    }

    /// Where a pass begins: takes the state from the bottoms if they bring it, else goes on from the last pass.
    pub fn start(&mut self, bottoms: &[Blob<'_>]) {
        if self.exposed {
            for i in 0..self.state.len() {
                let from = bottoms[self.state_bottom(i)].data;
                self.state[i].copy_from_slice(from);
            }
        }
    }

    /// Of all steps: the products of the inputs with their weights, plus the bias.
    pub fn transform(&self, params: &[&[f32]], bottoms: &[Blob<'_>], out: &mut [f32]) {
        let Sizes { steps, streams, inputs, fixed_inputs, width, .. } = self.sizes;
        let out = &mut out[..steps * self.sizes.products()];
        let Some((first, others)) = out.split_at_mut_checked(self.sizes.products()) else { return };
        first.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(params[1]));
        if self.has_fixed {
            let x = Matrix::row_major(bottoms[FIXED].data, fixed_inputs);
            let weights = Matrix::row_major(params[2], fixed_inputs).transposed();
            let product = Gemm::new(streams, width, fixed_inputs, x, weights);
            gemm_parallel(&Gemm { beta: 1.0, ..product }, first);
        }
        others.chunks_exact_mut(first.len().max(1)).for_each(|step| step.copy_from_slice(first));
        let x = Matrix::row_major(bottoms[0].data, inputs);
        let weights = Matrix::row_major(params[0], inputs).transposed();
        let product = Gemm::new(steps * streams, width, inputs, x, weights);
        gemm_parallel(&Gemm { beta: 1.0, ..product }, out);
    }

    /// The backward of [`Recurrent::transform`], given dE/d(its output); `sum` holds a step's products.
    pub fn transform_backward(&self, pass: &mut Backward<'_>, diff: &[f32], sum: &mut [f32]) {
        let Sizes { steps, streams, inputs, fixed_inputs, width, .. } = self.sizes;
        let (x, dy) = (pass.bottoms[0].data, Matrix::row_major(diff, width));
        if let Some(dw) = &mut pass.param_diffs[0] {
            add_product(width, inputs, steps * streams, diff, x, dw);
        }
        if let Some(db) = &mut pass.param_diffs[1] {
            add_column_sums(diff, db);
        }
        if let Some(dx) = &mut pass.bottom_diffs[0] {
            let weights = Matrix::row_major(pass.params[0], inputs);
            gemm_parallel(&Gemm::new(steps * streams, inputs, width, dy, weights), dx);
        }
        if !self.has_fixed {
            return;
        }
        sum.fill(0.0);
        add_column_sums(diff, sum);
        if let Some(dw) = &mut pass.param_diffs[2] {
            add_product(width, fixed_inputs, streams, sum, pass.bottoms[FIXED].data, dw);
        }
        if let Some(dx) = &mut pass.bottom_diffs[FIXED] {
            let (dy, weights) =
                (Matrix::row_major(sum, width), Matrix::row_major(pass.params[2], fixed_inputs));
            gemm_parallel(&Gemm::new(streams, fixed_inputs, width, dy, weights), dx);
        }
    }

    /// Adds the products of a step's `old` state with its weights to `out`.
    pub fn add_recurrence(&self, weights: &[f32], old: &[f32], out: &mut [f32]) {
        let Sizes { streams, hidden, width, .. } = self.sizes;
        let weights = Matrix::row_major(weights, hidden).transposed();
        let product = Gemm::new(streams, width, hidden, Matrix::row_major(old, hidden), weights);
        gemm_parallel(&Gemm { beta: 1.0, ..product }, out);
    }

    /// dE/d(old state), given dE/d(products) of a step; 0 where a sequence begins.
    pub fn recurrence_backward(&self, weights: &[f32], cont: &[f32], diff: &[f32], old_diff: &mut [f32]) {
        let Sizes { streams, hidden, width, .. } = self.sizes;
        let weights = Matrix::row_major(weights, hidden);
        gemm_parallel(&Gemm::new(streams, hidden, width, Matrix::row_major(diff, width), weights), old_diff);
        for (row, &cont) in old_diff.chunks_exact_mut(hidden).zip(cont) {
            row.iter_mut().for_each(|v| *v *= cont);
        }
    }

    /// out = the state where a sequence goes on, 0 where one begins.
    pub fn continued(&self, state: &[f32], cont: &[f32], out: &mut [f32]) {
        let hidden = self.sizes.hidden;
        for ((to, from), &cont) in out.chunks_exact_mut(hidden).zip(state.chunks_exact(hidden)).zip(cont) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = if cont == 0.0 { 0.0 } else { cont * from });
        }
    }

    /// What goes on to the next pass; nothing where bottoms bring the state.
    pub fn carry(&self) -> Option<Carry> {
        let values = self.state.iter().flat_map(|s| s.iter().copied()).collect();
        (!self.exposed).then_some(Carry { consumed: 0, values })
    }

    /// Takes the state of another run.
    pub fn resume(&mut self, carry: &Carry) -> Result<(), LayerError> {
        let want: usize = self.state.iter().map(|s| s.len()).sum();
        if carry.values.len() != want {
            let found = carry.values.len();
            return Err(LayerError::value(format!("the saved state has {found} values, expected {want}")));
        }
        let mut values = &carry.values[..];
        for state in &mut self.state {
            let (own, rest) = values.split_at(state.len());
            state.copy_from_slice(own);
            values = rest;
        }
        Ok(())
    }

    /// Multiply-adds of a forward pass.
    pub fn multiply_adds(&self) -> u64 {
        let Sizes { steps, streams, inputs, fixed_inputs, hidden, width } = self.sizes;
        (streams * width * (steps * (inputs + hidden) + fixed_inputs)) as u64
    }
}

/// dw (`rows x cols`) += diff' x, both with `count` rows.
pub fn add_product(rows: usize, cols: usize, count: usize, diff: &[f32], x: &[f32], dw: &mut [f32]) {
    let diff = Matrix::row_major(diff, rows).transposed();
    let product = Gemm::new(rows, cols, count, diff, Matrix::row_major(x, cols));
    gemm_parallel(&Gemm { beta: 1.0, ..product }, dw);
}
