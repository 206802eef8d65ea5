//! `Embed`: rows of a table, looked up by index.

use super::{
    Backward, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Setup, axes::make_room,
};
use crate::{
    config::proto::{EmbedParameter, LayerParameter},
    kernels::{
        parallel::{CHUNK, for_chunks_mut},
        rows::{add_column_sums, add_scattered_rows, gather_rows},
    },
    tensor::Shape,
};

/// The row of `Embed`.
pub const KIND: Kind = Kind {
    name: "Embed",
    summary: "rows of a table, looked up by index, plus a bias",
    settings: &["embed_param"],
    no_gradient: &[0],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// A learned vector for each of a number of things: words, for example.
///
/// y_i = W[x_i] + b       dE/dW[k] += sum of dE/dy_i with x_i = k       dE/db += sum of dE/dy_i
///
/// Shapes: bottom any, of indices from 0 to `input_dim` - 1 (fractions are cut off); top the same and an axis of
/// `num_output`. Params: W `input_dim x num_output`, b `num_output`. Gradient to the bottom: none.
/// Reference: Bengio et al. 2003. Differs from Caffe: an index out of range is an error, where Caffe reads beyond W.
struct Embed {
    config: EmbedParameter,
    rows: usize,
    outputs: usize,
    indices: Vec<u32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let config = config.embed_param.clone().unwrap_or_default();
    for (name, value) in [("num_output", config.num_output()), ("input_dim", config.input_dim())] {
        if value == 0 {
            let text = format!("{name} must be given and not 0");
            return Err(LayerError::setting(format!("embed_param.{name}"), text));
        }
    }
    let (rows, outputs) = (config.input_dim() as usize, config.num_output() as usize);
    Ok(Box::new(Embed { config, rows, outputs, indices: vec![] }))
}

impl Layer for Embed {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        make_room(&mut self.indices, bottoms[0].count());
        let (config, n) = (&self.config, self.outputs);
        let weights = config.weight_filler.clone().unwrap_or_default();
        let mut params = vec![ParamOutline::learned([self.rows, n], weights)];
        if config.bias_term() {
            params.push(ParamOutline::learned([n], config.bias_filler.clone().unwrap_or_default()));
        }
        let top = Shape::new([&bottoms[0][..], &[n]].concat());
        Ok(Outline::of([top]).params(params).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        for (i, (index, &value)) in self.indices.iter_mut().zip(pass.bottoms[0].data).enumerate() {
            if !(value > -1.0 && value < self.rows as f32) {
                let text =
                    format!("index {value} at position {i} is out of range: input_dim is {}", self.rows);
                return Err(LayerError::value(text));
            }
            *index = value as u32;
        }
        let (n, y) = (self.outputs, &mut *pass.tops[0].data);
        gather_rows(pass.params[0], n, &self.indices, y);
        if let Some(bias) = pass.params.get(1) {
            for_chunks_mut(y, (CHUNK / n).max(1) * n, |_, rows| {
                let rows = rows.chunks_exact_mut(n);
                rows.for_each(|row| row.iter_mut().zip(*bias).for_each(|(y, b)| *y += b));
            });
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let diff = pass.tops[0].diff;
        if let Some(weights) = &mut pass.param_diffs[0] {
            add_scattered_rows(diff, self.outputs, &self.indices, weights);
        }
        if let Some(Some(bias)) = pass.param_diffs.get_mut(1) {
            add_column_sums(diff, bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'Embed' embed_param { num_output: 3 input_dim: 4 }",
            &[(&[2, 3], Values::Given(&[0.0, 3.0, 1.0, 3.0, 3.0, 0.0]))],
        ),
        Case::new(
            "type: 'Embed' embed_param { num_output: 2 input_dim: 3 bias_term: false }",
            &[(&[5], Values::Labels(3))],
        ),
    ];

    const TABLE: &str = "type: 'Embed' embed_param { num_output: 2 input_dim: 3 }";

    #[test]
    fn rows_are_looked_up() {
        let (table, bias): (&[f32], &[f32]) = (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[10.0, 20.0]);
        let tops = forward_with(TABLE, 1, &[(&[3], &[2.0, 0.9, 2.0])], &[table, bias]);
        assert_eq!(tops[0], [15.0, 26.0, 11.0, 22.0, 15.0, 26.0]);
    }

    #[test]
    fn an_index_out_of_range_is_an_error() {
        let text = "index 3 at position 1 is out of range: input_dim is 3";
        assert_eq!(failure(TABLE, &[(&[2], &[0.0, 3.0])]), text);
        assert!(failure(TABLE, &[(&[1], &[f32::NAN])]).contains("index NaN"));
        assert!(failure(TABLE, &[(&[1], &[-1.0])]).contains("index -1"));
    }

    #[test]
    fn missing_sizes_are_refused() {
        let refused = |settings: &str| refusal(&format!("type: 'Embed' {settings}"), &[&[2]]);
        assert_eq!(refused("embed_param { input_dim: 3 }"), "num_output must be given and not 0");
        assert_eq!(refused("embed_param { num_output: 3 }"), "input_dim must be given and not 0");
    }
}
