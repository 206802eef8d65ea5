//! `LSTMUnit`: one step of an LSTM, from gates that are computed elsewhere.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        elementwise::copy,
        lstm::{LstmBackward, lstm_backward, lstm_forward},
    },
    tensor::{Buffer, Shape},
};

/// The row of `LSTMUnit`.
pub const KIND: Kind = Kind {
    name: "LSTMUnit",
    summary: "one step of an LSTM, from the cell and the gates",
    bottoms: Arity::Exactly(3),
    tops: Arity::Exactly(2),
    no_gradient: &[2],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The cell and the output of an LSTM after one step; `LSTM` does all steps and the products before them.
///
/// i, f, o = s(gates), g = tanh(gates), with s the sigmoid       c = cont f c_prev + i g       h = o tanh(c)
///
/// Shapes: bottoms c_prev `1 x N x D`, gates `1 x N x 4D` in order i, f, o, g, and cont `1 x N` (0 where a sequence
/// begins, else 1); tops c and h, as c_prev. Params: none.
/// Reference: Hochreiter and Schmidhuber 1997, Gers et al. 2000. Differs from Caffe: no.
struct LstmUnit {
    hidden: usize,
    /// The gates after their functions.
    gates: Buffer,
}

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(LstmUnit { hidden: 0, gates: Buffer::default() }))
}

impl Layer for LstmUnit {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let cell = &bottoms[0];
        let &[1, streams, hidden] = &cell[..] else {
            return Err(LayerError::shape(format!("the cell must be 1 x N x D, found {cell}")));
        };
        for (bottom, want, what) in [
            (&bottoms[1], Shape::from([1, streams, 4 * hidden]), "gates"),
            (&bottoms[2], Shape::from([1, streams]), "sequence marks"),
        ] {
            if *bottom != want {
                return Err(LayerError::shape(format!(
                    "the {what} must be {want} beside a cell of {cell}, found {bottom}"
                )));
            }
        }
        self.hidden = hidden;
        self.gates.resize(4 * cell.count());
        let tops = [cell.clone(), cell.clone()];
        Ok(Outline::of(tops).workspace(5 * cell.count()).reads(Reads::BOTH))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let [c_prev, gates, cont] = [0, 1, 2].map(|i| pass.bottoms[i].data);
        let [c, h] = pass.tops else { unreachable!("arity is checked") };
        copy(gates, &mut self.gates);
        lstm_forward(self.hidden, cont, &mut self.gates, c_prev, c.data, h.data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let (dc_spare, dgates_spare) = pass.workspace.split_at_mut(pass.tops[0].diff.len());
        let [dc, dgates, _] = pass.bottom_diffs else { unreachable!("arity is checked") };
        let (dc, dgates) =
            (dc.as_deref_mut().unwrap_or(dc_spare), dgates.as_deref_mut().unwrap_or(dgates_spare));
        copy(pass.tops[0].diff, dc);
        let unit = LstmBackward {
            gates: &self.gates,
            c_prev: pass.bottoms[0].data,
            c: pass.tops[0].data,
            dh: pass.tops[1].diff,
        };
        lstm_backward(self.hidden, &unit, dc, dgates);
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[Case::new(
        "type: 'LSTMUnit'",
        &[(&[1, 3, 2], Values::Any), (&[1, 3, 8], Values::Any), (&[1, 3], Values::Given(&[1.0, 0.0, 1.0]))],
    )
    .tops(2)];

    #[test]
    fn by_hand() {
        // All gates half open: the cell halves, and the output is half its tanh.
        let cell: (&[usize], &[f32]) = (&[1, 2, 1], &[2.0, 2.0]);
        let gates: (&[usize], &[f32]) = (&[1, 2, 4], &[0.0; 8]);
        let tops = forward_with("type: 'LSTMUnit'", 2, &[cell, gates, (&[1, 2], &[1.0, 0.0])], &[]);
        assert_eq!(tops[0], [1.0, 0.0]);
        assert!((tops[1][0] - 0.5 * 1f32.tanh()).abs() < 1e-6 && tops[1][1] == 0.0);
    }

    #[test]
    fn shapes_must_fit() {
        let refused = |bottoms: &[&[usize]]| refusal("type: 'LSTMUnit'", bottoms);
        assert_eq!(
            refused(&[&[1, 3, 2], &[1, 3, 6], &[1, 3]]),
            "the gates must be 1 x 3 x 8 beside a cell of 1 x 3 x 2, found 1 x 3 x 6"
        );
        assert!(refused(&[&[2, 3, 2], &[2, 3, 8], &[2, 3]]).contains("1 x N x D, found 2 x 3 x 2"));
        assert!(refused(&[&[1, 3, 2], &[1, 3, 8], &[1, 2]]).contains("sequence marks must be 1 x 3"));
    }
}
