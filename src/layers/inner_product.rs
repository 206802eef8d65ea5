//! `InnerProduct`: y = W x + b, a fully connected layer.

use super::{
    Backward, Blob, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Product, Reads, Setup, TopDiff,
};
use crate::{
    config::proto::{InnerProductParameter, LayerParameter},
    kernels::{
        gemm::{Gemm, Matrix, gemm_parallel, streams},
        parallel::{CHUNK, for_chunks_mut},
        rows::add_column_sums,
    },
    tensor::Shape,
};

/// The row of `InnerProduct`.
pub const KIND: Kind = Kind {
    name: "InnerProduct",
    summary: "fully connected: weights times the flattened input, plus a bias",
    settings: &["inner_product_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// A fully connected layer: each output is a weighted sum of all inputs.
///
/// Y = X W' + b      dE/dX = dE/dY W      dE/dW += dE/dY' X      dE/db += column sums of dE/dY
///
/// Shapes: bottom `M... x K...`, cut at `axis`; top `M... x N`.
/// Params: weights `N x K`, or `K x N` with `transpose`; bias `N`.
/// Differs from Caffe: `num_output: 0` is refused.
struct InnerProduct {
    config: InnerProductParameter,
    outputs: usize,
    rows: usize,
    inputs: usize,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let config = config.inner_product_param.clone().unwrap_or_default();
    let wrong = |message| Err(LayerError::setting("inner_product_param.num_output", message));
    match config.num_output {
        None => wrong("num_output is missing"),
        Some(0) => wrong("num_output must not be 0"),
        Some(n) => Ok(Box::new(InnerProduct { config, outputs: n as usize, rows: 0, inputs: 0 })),
    }
}

impl InnerProduct {
    /// The weights as `N x K`.
    fn weights<'a>(&self, data: &'a [f32]) -> Matrix<'a> {
        if self.config.transpose() {
            Matrix::row_major(data, self.outputs).transposed()
        } else {
            Matrix::row_major(data, self.inputs)
        }
    }

    /// The weights' gradient.
    fn gradient<'a>(&self, bottom: &'a [f32], top_diff: &'a [f32]) -> Gemm<'a> {
        let (m, n, k) = (self.rows, self.outputs, self.inputs);
        let (x, dy) = (Matrix::row_major(bottom, k), Matrix::row_major(top_diff, n));
        if self.config.transpose() {
            Gemm::new(k, n, m, x.transposed(), dy)
        } else {
            Gemm::new(n, k, m, dy.transposed(), x)
        }
    }
}

impl Layer for InnerProduct {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let axis = bottom.axis(self.config.axis()).ok_or_else(|| {
            let message =
                format!("axis {} does not exist in the bottom of shape {bottom}", self.config.axis());
            LayerError::setting("inner_product_param.axis", message)
        })?;
        (self.rows, self.inputs) = (bottom.count_of(..axis), bottom.count_of(axis..));
        let (n, k) = (self.outputs, self.inputs);
        let weights = if self.config.transpose() { [k, n] } else { [n, k] };
        let mut params =
            vec![ParamOutline::learned(weights, self.config.weight_filler.clone().unwrap_or_default())];
        if self.config.bias_term() {
            params.push(ParamOutline::learned([n], self.config.bias_filler.clone().unwrap_or_default()));
        }
        let top = Shape::new([&bottom[..axis], &[n]].concat());
        Ok(Outline::of([top]).params(params).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let x = Matrix::row_major(pass.bottoms[0].data, self.inputs);
        let weights = self.weights(pass.params[0]).transposed();
        let mut product = Gemm::new(self.rows, self.outputs, self.inputs, x, weights);
        let y = &mut *pass.tops[0].data;
        if let Some(bias) = pass.params.get(1) {
            let rows = (CHUNK / self.outputs).max(1);
            for_chunks_mut(y, rows * self.outputs, |_, rows| {
                rows.chunks_exact_mut(self.outputs).for_each(|row| row.copy_from_slice(bias));
            });
            product.beta = 1.0;
        }
        gemm_parallel(&product, y);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(dw) = &mut pass.param_diffs[0] {
            let gradient = self.gradient(pass.bottoms[0].data, pass.tops[0].diff);
            gemm_parallel(&Gemm { beta: 1.0, ..gradient }, dw);
        }
        if let Some(Some(db)) = pass.param_diffs.get_mut(1) {
            add_column_sums(pass.tops[0].diff, db);
        }
        if let Some(dx) = &mut pass.bottom_diffs[0] {
            let dy = Matrix::row_major(pass.tops[0].diff, self.outputs);
            let weights = self.weights(pass.params[0]);
            gemm_parallel(&Gemm::new(self.rows, self.inputs, self.outputs, dy, weights), dx);
        }
    }

    fn product<'a>(&self, bottoms: &[Blob<'a>], tops: &[TopDiff<'a>]) -> Option<Product<'a>> {
        let gradient = self.gradient(bottoms[0].data, tops[0].diff);
        let with_bottom = !self.config.transpose() && streams(self.rows, self.inputs, self.outputs);
        Some(Product { gradient, with_bottom })
    }

    fn multiply_adds(&self) -> u64 {
        (self.rows * self.outputs * self.inputs) as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'InnerProduct' inner_product_param { num_output: 5 }", &[(&[3, 2, 2], Values::Any)]),
        Case::new(
            "type: 'InnerProduct' inner_product_param { num_output: 3 axis: -1 transpose: true }",
            &[(&[2, 3, 4], Values::Any)],
        ),
        Case::new(
            "type: 'InnerProduct' inner_product_param { num_output: 1 bias_term: false axis: 0 }",
            &[(&[7], Values::Any)],
        ),
    ];

    const X: (&[usize], &[f32]) = (&[2, 1, 3], &[1.0, 2.0, 3.0, -1.0, 0.0, 1.0]);

    #[test]
    fn weighted_sums_by_hand() {
        let net = |more: &str| format!("type: 'InnerProduct' inner_product_param {{ num_output: 2 {more} }}");
        let (w, b): (&[f32], &[f32]) = (&[1.0, 0.0, 2.0, 3.0, -1.0, 0.5], &[10.0, 20.0]);
        assert_eq!(forward_with(&net(""), 1, &[X], &[w, b])[0], [17.0, 22.5, 11.0, 17.5]);
        assert_eq!(forward_with(&net("bias_term: false"), 1, &[X], &[w])[0], [7.0, 2.5, 1.0, -2.5]);
        // The same weights, kept as inputs x outputs.
        let w: &[f32] = &[1.0, 3.0, 0.0, -1.0, 2.0, 0.5];
        assert_eq!(forward_with(&net("transpose: true"), 1, &[X], &[w, b])[0], [17.0, 22.5, 11.0, 17.5]);
    }

    #[test]
    fn an_empty_batch_is_no_trouble() {
        let text = "type: 'InnerProduct' inner_product_param { num_output: 2 }";
        assert!(forward_with(text, 1, &[(&[0, 3], &[])], &[])[0].is_empty());
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |settings: &str| {
            refusal(&format!("type: 'InnerProduct' inner_product_param {{ {settings} }}"), &[&[2, 3]])
        };
        assert_eq!(message(""), "num_output is missing");
        assert_eq!(message("num_output: 0"), "num_output must not be 0");
        assert_eq!(message("num_output: 1 axis: 2"), "axis 2 does not exist in the bottom of shape 2 x 3");
    }
}
