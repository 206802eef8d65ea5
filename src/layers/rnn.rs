//! `RNN`: a plain recurrent network over the steps of sequences.

use super::{
    Arity, Backward, Carry, Forward, Kind, Layer, LayerError, Outline, Reads, Setup,
    activation::Value,
    recurrent::{CONT, Recurrent, add_product},
    tanh::TanH,
};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        elementwise::{evaluate_own, map2, update},
        gemm::{Gemm, Matrix, gemm_parallel},
        rows::add_column_sums,
    },
    tensor::{Buffer, Shape},
};

/// The row of `RNN`.
pub const KIND: Kind = Kind {
    name: "RNN",
    summary: "a plain recurrent network over the steps of sequences",
    settings: &["recurrent_param"],
    bottoms: Arity::Between(2, 4),
    tops: Arity::Between(1, 2),
    no_gradient: &[CONT],
    takes_all: true,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// A recurrent network of one hidden layer with an output layer, over T steps of N sequences.
///
/// h_t = tanh(W_xh x_t + b_h + W_static x_static + W_hh (cont_t h_{t-1}))       o_t = tanh(W_ho h_t + b_o)
///
/// The derivative is backpropagation through the T steps of the pass. cont_t is 0 where a sequence begins, else 1.
/// The last h goes on to the next pass as a value, without a gradient, unless `expose_hidden`: then a bottom brings
/// the first one and a top gives the last one, with gradients.
///
/// Shapes: bottoms x `T x N x ...`, cont `T x N`, x_static `N x ...` (may be left out) and, if exposed, h, `1 x N x D`;
/// tops o of all steps `T x N x D` and, if exposed, the last h, `1 x N x D`.
/// Params: W_xh `D x I`, b_h `D`, W_static `D x S` with x_static, W_hh `D x D`, W_ho `D x D`, b_o `D`.
/// Reference: Elman 1990. Differs from Caffe: the gradients of an exposed state are computed, where Caffe drops
/// them; T may change between passes.
struct Rnn {
    shared: Recurrent,
    /// Of all steps: h, and cont times the h before.
    hidden: Buffer,
    continued: Buffer,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let shared = Recurrent::from_config(config, 1, 1)?;
    Ok(Box::new(Rnn { shared, hidden: Buffer::default(), continued: Buffer::default() }))
}

impl Layer for Rnn {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.shared.outline(bottoms)?;
        let (sizes, d) = (self.shared.sizes, self.shared.sizes.hidden);
        let all = sizes.steps * sizes.state();
        self.hidden.try_resize(all)?;
        self.continued.try_resize(all)?;
        let mut params = self.shared.params();
        params.extend([self.shared.weights(d, d), self.shared.bias(d)]);
        // Of backward: dE/d(before the tanh) of outputs and of hidden values, the latter's sum over the steps, dE/dh.
        let workspace = 2 * all + 2 * sizes.state();
        Ok(Outline::of(self.shared.tops()).params(params).workspace(workspace).reads(Reads::BOTH))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let shared = &mut self.shared;
        let (sizes, n) = (shared.sizes, shared.sizes.state());
        shared.start(pass.bottoms);
        shared.transform(pass.params, pass.bottoms, &mut self.hidden);
        let own = shared.state_weights();
        for t in 0..sizes.steps {
            let cont = &pass.bottoms[CONT].data[t * sizes.streams..][..sizes.streams];
            let (h, continued) = (&mut self.hidden[t * n..][..n], &mut self.continued[t * n..][..n]);
            shared.continued(&shared.state[0], cont, continued);
            shared.add_recurrence(pass.params[own], continued, h);
            evaluate_own(h, Value(TanH));
            shared.state[0].copy_from_slice(h);
        }
        if let Some(last) = pass.tops.get_mut(1) {
            last.data.copy_from_slice(&shared.state[0]);
        }
        let (out, d) = (&mut *pass.tops[0].data, sizes.hidden);
        out.chunks_exact_mut(d).for_each(|row| row.copy_from_slice(pass.params[own + 2]));
        let weights = Matrix::row_major(pass.params[own + 1], d).transposed();
        let product =
            Gemm::new(sizes.steps * sizes.streams, d, d, Matrix::row_major(&self.hidden, d), weights);
        gemm_parallel(&Gemm { beta: 1.0, ..product }, out);
        evaluate_own(out, Value(TanH));
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let shared = &self.shared;
        let (sizes, n, d) = (shared.sizes, shared.sizes.state(), shared.sizes.hidden);
        let (own, rows) = (shared.state_weights(), sizes.steps * sizes.streams);
        let workspace = std::mem::take(&mut pass.workspace);
        let (dout, rest) = workspace.split_at_mut(sizes.steps * n);
        let (dhidden, rest) = rest.split_at_mut(sizes.steps * n);
        let (sum, dh) = rest.split_at_mut(n);
        map2(pass.tops[0].diff, pass.tops[0].data, dout, |diff, o| diff * (1.0 - o * o));
        if let Some(dw) = &mut pass.param_diffs[own + 1] {
            add_product(d, d, rows, dout, &self.hidden, dw);
        }
        if let Some(db) = &mut pass.param_diffs[own + 2] {
            add_column_sums(dout, db);
        }
        let weights = Matrix::row_major(pass.params[own + 1], d);
        gemm_parallel(&Gemm::new(rows, d, d, Matrix::row_major(dout, d), weights), dhidden);

        dh.fill(0.0);
        if let Some(last) = pass.tops.get(1) {
            dh.copy_from_slice(last.diff);
        }
        for t in (0..sizes.steps).rev() {
            let cont = &pass.bottoms[CONT].data[t * sizes.streams..][..sizes.streams];
            let dhidden = &mut dhidden[t * n..][..n];
            update(dh, dhidden, |later, own| later + own);
            update(&self.hidden[t * n..][..n], dhidden, |h, diff| diff * (1.0 - h * h));
            shared.recurrence_backward(pass.params[own], cont, dhidden, dh);
        }
        if shared.exposed
            && let Some(to) = &mut pass.bottom_diffs[shared.state_bottom(0)]
        {
            to.copy_from_slice(dh);
        }
        if let Some(dw) = &mut pass.param_diffs[own] {
            add_product(d, d, rows, dhidden, &self.continued, dw);
        }
        shared.transform_backward(pass, dhidden, sum);
    }

    fn carry(&self) -> Option<Carry> {
        self.shared.carry()
    }

    fn resume(&mut self, carry: &Carry) -> Result<(), LayerError> {
        self.shared.resume(carry)
    }

    fn multiply_adds(&self) -> u64 {
        let sizes = &self.shared.sizes;
        self.shared.multiply_adds() + (sizes.steps * sizes.state() * sizes.hidden) as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, passes, refusal};

    const CONT: Values = Values::Given(&[1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'RNN' recurrent_param { num_output: 2 }",
            &[(&[3, 2, 3], Values::Any), (&[3, 2], CONT)],
        ),
        Case::new(
            "type: 'RNN' recurrent_param { num_output: 2 expose_hidden: true }",
            &[
                (&[3, 2, 1, 2], Values::Any),
                (&[3, 2], CONT),
                (&[2, 3], Values::Any),
                (&[1, 2, 2], Values::Any),
            ],
        )
        .tops(2),
    ];

    #[test]
    fn two_steps_by_hand() {
        let config = "type: 'RNN' recurrent_param { num_output: 1 }";
        // h = tanh(2 x + 0.5 + 0.25 cont h), o = tanh(3 h - 1).
        let params: [&[f32]; 5] = [&[2.0], &[0.5], &[0.25], &[3.0], &[-1.0]];
        let steps = |cont: f32| {
            let bottoms: [(&[usize], &[f32]); 2] = [(&[2, 1, 1], &[0.1, -0.2]), (&[2, 1], &[0.0, cont])];
            forward_with(config, 1, &bottoms, &params).remove(0)
        };
        let first = 0.7f32.tanh();
        let near = |got: f32, want: f32| assert!((got - want).abs() < 1e-6, "{got}, not {want}");
        near(steps(1.0)[0], (3.0 * first - 1.0).tanh());
        near(steps(1.0)[1], (3.0 * (0.1 + 0.25 * first).tanh() - 1.0).tanh());
        near(steps(0.0)[1], (3.0 * 0.1f32.tanh() - 1.0).tanh());
    }

    #[test]
    fn the_state_goes_on_to_the_next_pass_and_to_another_run() {
        let long: (&[usize], &[f32]) = (&[2, 2, 2], &[0.1, 0.2, -0.3, 0.4, 0.5, -0.6, 0.7, 0.8]);
        let config = "type: 'RNN' recurrent_param { num_output: 3 }";
        let whole = forward(config, &[long, (&[2, 2], &[1.0; 4])]).remove(0);
        let half = |at: usize| -> [(&[usize], &[f32]); 2] {
            [(&[1, 2, 2], &long.1[at..][..4]), (&[1, 2], &[1.0, 1.0])]
        };
        let parts = passes(config, &[&half(0), &half(4)]);
        assert_eq!(whole, parts.concat());
    }

    #[test]
    fn bad_input_is_refused() {
        let text = refusal(
            "type: 'RNN' recurrent_param { num_output: 1 }",
            &[&[2, 1, 3], &[2, 1], &[1, 4], &[1, 1, 1]],
        );
        assert!(
            text.contains("expose_hidden: false needs 2 or 3 bottoms and 1 tops, found 4 and 1"),
            "{text}"
        );
    }
}
