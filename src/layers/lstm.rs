//! `LSTM`: long short-term memory over the steps of sequences.

use super::{
    Arity, Backward, Carry, Forward, Kind, Layer, LayerError, Outline, Reads, Setup,
    recurrent::{CONT, Recurrent, add_product},
};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        elementwise::update,
        lstm::{LstmBackward, lstm_backward, lstm_forward},
    },
    tensor::{Buffer, Shape},
};

/// The row of `LSTM`.
pub const KIND: Kind = Kind {
    name: "LSTM",
    summary: "long short-term memory over the steps of sequences",
    settings: &["recurrent_param"],
    bottoms: Arity::Between(2, 5),
    tops: Arity::Between(1, 3),
    no_gradient: &[CONT],
    takes_all: true,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// An LSTM without peepholes, over T steps of N sequences.
///
/// gates_t = W_xc x_t + b_c + W_static x_static + W_hc (cont_t h_{t-1}), in order i, f, o, g
/// c_t = cont_t s(f) c_{t-1} + s(i) tanh(g)       h_t = s(o) tanh(c_t), with s the sigmoid
///
/// The derivative is backpropagation through the T steps of the pass. cont_t is 0 where a sequence begins, else 1.
/// The last h and c go on to the next pass as values, without a gradient, unless `expose_hidden`: then bottoms bring
/// the first ones and tops give the last ones, with gradients.
///
/// Shapes: bottoms x `T x N x ...`, cont `T x N`, x_static `N x ...` (may be left out) and, if exposed, h and c,
/// `1 x N x D`; tops h of all steps `T x N x D` and, if exposed, the last h and c, `1 x N x D`.
/// Params: W_xc `4D x I`, b_c `4D`, W_static `4D x S` with x_static, W_hc `4D x D`.
/// Reference: Hochreiter and Schmidhuber 1997, Gers et al. 2000, Donahue et al. 2015. Differs from Caffe: the gradients
/// of exposed states are computed, where Caffe drops them; T may change between passes.
struct Lstm {
    shared: Recurrent,
    /// Of all steps: the gates after their functions, and cont times the h before.
    gates: Buffer,
    continued: Buffer,
    /// The first c, then that after each step.
    cells: Buffer,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let shared = Recurrent::from_config(config, 4, 2)?;
    let [gates, continued, cells] = [(); 3].map(|()| Buffer::default());
    Ok(Box::new(Lstm { shared, gates, continued, cells }))
}

impl Layer for Lstm {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.shared.outline(bottoms)?;
        let sizes = self.shared.sizes;
        let (steps, state, products) = (sizes.steps, sizes.state(), sizes.products());
        self.gates.try_resize(steps * products)?;
        self.continued.try_resize(steps * state)?;
        self.cells.try_resize((steps + 1) * state)?;
        // Of backward: dE/dgates, their sum over the steps, dE/dh and dE/dc.
        let workspace = (steps + 1) * products + 2 * state;
        let params = self.shared.params();
        Ok(Outline::of(self.shared.tops()).params(params).workspace(workspace).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let shared = &mut self.shared;
        let (sizes, n) = (shared.sizes, shared.sizes.state());
        shared.start(pass.bottoms);
        shared.transform(pass.params, pass.bottoms, &mut self.gates);
        self.cells[..n].copy_from_slice(&shared.state[1]);
        let weights = pass.params[shared.state_weights()];
        for t in 0..sizes.steps {
            let cont = &pass.bottoms[CONT].data[t * sizes.streams..][..sizes.streams];
            let gates = &mut self.gates[t * sizes.products()..][..sizes.products()];
            let continued = &mut self.continued[t * n..][..n];
            let h = &mut pass.tops[0].data[t * n..][..n];
            shared.continued(&shared.state[0], cont, continued);
            shared.add_recurrence(weights, continued, gates);
            let (before, after) = self.cells.split_at_mut((t + 1) * n);
            lstm_forward(sizes.hidden, cont, gates, &before[t * n..], &mut after[..n], h);
            shared.state[0].copy_from_slice(h);
        }
        shared.state[1].copy_from_slice(&self.cells[sizes.steps * n..]);
        for (top, state) in pass.tops[1..].iter_mut().zip(&shared.state) {
            top.data.copy_from_slice(state);
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let shared = &self.shared;
        let (sizes, n) = (shared.sizes, shared.sizes.state());
        let (steps, products) = (sizes.steps, sizes.products());
        let workspace = std::mem::take(&mut pass.workspace);
        let (dgates, rest) = workspace.split_at_mut(steps * products);
        let (sum, rest) = rest.split_at_mut(products);
        let (dh, dc) = rest.split_at_mut(n);
        dh.fill(0.0);
        dc.fill(0.0);
        if let [_, last_h, last_c] = pass.tops {
            dh.copy_from_slice(last_h.diff);
            dc.copy_from_slice(last_c.diff);
        }
        let weights = pass.params[shared.state_weights()];
        for t in (0..steps).rev() {
            let cont = &pass.bottoms[CONT].data[t * sizes.streams..][..sizes.streams];
            let dgates = &mut dgates[t * products..][..products];
            update(&pass.tops[0].diff[t * n..][..n], dh, |top, later| later + top);
            let unit = LstmBackward {
                gates: &self.gates[t * products..][..products],
                c_prev: &self.cells[t * n..][..n],
                c: &self.cells[(t + 1) * n..][..n],
                dh,
            };
            lstm_backward(sizes.hidden, &unit, dc, dgates);
            shared.recurrence_backward(weights, cont, dgates, dh);
        }
        if shared.exposed {
            for (i, diff) in [&*dh, &*dc].into_iter().enumerate() {
                let Some(to) = &mut pass.bottom_diffs[shared.state_bottom(i)] else { continue };
                to.copy_from_slice(diff);
            }
        }
        if let Some(dw) = &mut pass.param_diffs[shared.state_weights()] {
            add_product(sizes.width, sizes.hidden, steps * sizes.streams, dgates, &self.continued, dw);
        }
        shared.transform_backward(pass, dgates, sum);
    }

    fn carry(&self) -> Option<Carry> {
        self.shared.carry()
    }

    fn resume(&mut self, carry: &Carry) -> Result<(), LayerError> {
        self.shared.resume(carry)
    }

    fn multiply_adds(&self) -> u64 {
        self.shared.multiply_adds()
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, passes, refusal};

    const CONT: Values = Values::Given(&[1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'LSTM' recurrent_param { num_output: 2 }",
            &[(&[3, 2, 3], Values::Any), (&[3, 2], CONT)],
        ),
        Case::new(
            "type: 'LSTM' recurrent_param { num_output: 2 expose_hidden: true }",
            &[
                (&[3, 2, 1, 2], Values::Any),
                (&[3, 2], CONT),
                (&[2, 3], Values::Any),
                (&[1, 2, 2], Values::Any),
                (&[1, 2, 2], Values::Any),
            ],
        )
        .tops(3),
    ];

    const ONE: &str = "type: 'LSTM' recurrent_param { num_output: 1 }";
    /// W_xc lets only g see x; the other gates stay half open. No bias, no recurrence.
    const PARAMS: [&[f32]; 3] = [&[0.0, 0.0, 0.0, 1.0], &[0.0; 4], &[0.0; 4]];

    #[test]
    fn two_steps_by_hand() {
        let steps = |cont: f32| {
            let bottoms: [(&[usize], &[f32]); 2] = [(&[2, 1, 1], &[1.0, 2.0]), (&[2, 1], &[0.0, cont])];
            forward_with(ONE, 1, &bottoms, &PARAMS).remove(0)
        };
        let (c1, g2) = (0.5 * 1f32.tanh(), 0.5 * 2f32.tanh());
        let near = |got: f32, want: f32| assert!((got - want).abs() < 1e-6, "{got}, not {want}");
        near(steps(1.0)[0], 0.5 * c1.tanh());
        near(steps(1.0)[1], 0.5 * (0.5 * c1 + g2).tanh());
        near(steps(0.0)[1], 0.5 * g2.tanh());
    }

    #[test]
    fn the_state_goes_on_to_the_next_pass_and_to_another_run() {
        let long: (&[usize], &[f32]) = (&[4, 1, 2], &[0.1, 0.2, -0.3, 0.4, 0.5, -0.6, 0.7, 0.8]);
        let config = "type: 'LSTM' recurrent_param { num_output: 3 }";
        let whole = forward(config, &[long, (&[4, 1], &[1.0; 4])]).remove(0);
        let half = |at: usize| -> [(&[usize], &[f32]); 2] {
            [(&[2, 1, 2], &long.1[at..][..4]), (&[2, 1], &[1.0, 1.0])]
        };
        let parts = passes(config, &[&half(0), &half(4)]);
        assert_eq!(whole, parts.concat());
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = |settings: &str, bottoms: &[&[usize]]| {
            refusal(&format!("type: 'LSTM' recurrent_param {{ {settings} }}"), bottoms)
        };
        assert_eq!(refused("", &[&[2, 1, 3], &[2, 1]]), "num_output must be given and not 0");
        assert!(refused("num_output: 1", &[&[2, 1, 3], &[1, 2]]).contains("marks must be 2 x 1"));
        assert!(refused("num_output: 1", &[&[2], &[2]]).contains("T x N x ..., found 2"));
        assert!(refused("num_output: 1", &[&[2, 1, 3], &[2, 1], &[2]]).contains("must be 1 x ..., found 2"));
        assert!(
            refused("num_output: 1 expose_hidden: true", &[&[2, 1, 3], &[2, 1]])
                .contains("needs 4 or 5 bottoms and 3 tops, found 2 and 1")
        );
    }
}
