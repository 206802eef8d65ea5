//! `InfogainLoss`: cross entropy of softmax with a price for each pair of classes.

use super::{
    Arity, Backward, Forward, Kind, LabelRange, Layer, LayerError, Outline, Role, Setup,
    axes::make_room,
    labels::{Labels, same_samples},
    loss_normalizer::{Counts, Normalizer},
    probabilities::Probabilities,
};
use crate::{
    config::proto::{BlobProto, LayerParameter, loss_parameter::NormalizationMode},
    kernels::infogain::{Prices, infogain, infogain_backward},
    tensor::Shape,
};

/// The row of `InfogainLoss`.
pub const KIND: Kind = Kind {
    name: "InfogainLoss",
    summary: "cross entropy of softmax with a price for each pair of classes",
    settings: &["infogain_loss_param", "loss_param"],
    bottoms: Arity::Between(2, 3),
    tops: Arity::Between(1, 2),
    role: Role::Loss,
    no_gradient: &[1, 2],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cross entropy of softmax, where the label's row of a matrix H says how much each class's logarithm counts.
///
/// E = -1/M sum_i sum_c H[l_i][c] ln max(p_ic, 1e-20)       dE/dx_ic = (p_ic sum_k H[l_i][k] - H[l_i][c]) / M
///
/// H = 1 on the diagonal and 0 elsewhere gives `SoftmaxWithLoss`. M is the number of labels that are not ignored
/// unless `normalization` says otherwise.
///
/// Shapes: bottoms scores `N x C x ...` (classes on `axis`), labels `N x ...`, and H, `C x C` values, unless H is in
/// the file `source`; tops one value, and, if there is a second top, p, through which no gradient comes back.
/// Params: none. Reference: none. Differs from Caffe: a label out of range is an error; `normalize` works.
struct InfogainLoss {
    axis: i32,
    normalizer: Normalizer,
    labels: Labels,
    /// H, and the sums of its rows.
    matrix: Vec<f32>,
    row_sums: Vec<f32>,
    /// Of each position: the class, `None` for the ignored.
    classes: Vec<Option<u32>>,
    probabilities: Probabilities,
}

const SOURCE: &str = "infogain_loss_param.source";

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = config.infogain_loss_param.clone().unwrap_or_default();
    let matrix = match (&settings.source, config.bottom.len()) {
        (_, 3..) => vec![],
        (Some(path), _) => read_matrix(path)?,
        (None, _) => {
            let text = "the matrix must be given, by source or as a third bottom";
            return Err(LayerError::setting(SOURCE, text));
        }
    };
    let loss = config.loss_param.as_ref();
    Ok(Box::new(InfogainLoss {
        axis: settings.axis(),
        normalizer: Normalizer::from_config(loss, NormalizationMode::Valid),
        labels: Labels::new(loss.and_then(|l| l.ignore_label)),
        matrix,
        row_sums: vec![],
        classes: vec![],
        probabilities: Probabilities::from_config(config),
    }))
}

/// The values of a serialized `BlobProto`.
fn read_matrix(path: &str) -> Result<Vec<f32>, LayerError> {
    use prost::Message as _;
    let refuse = |cause: String| LayerError::setting(SOURCE, format!("cannot read `{path}`: {cause}"));
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let blob = BlobProto::decode(&bytes[..]).map_err(|e| refuse(e.to_string()))?;
    let doubles = blob.double_data.iter().map(|&v| v as f32);
    Ok(if blob.data.is_empty() { doubles.collect() } else { blob.data })
}

impl Layer for InfogainLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.labels.outline(&bottoms[0], &bottoms[1], self.axis, "infogain_loss_param.axis")?;
        same_samples(&bottoms[0], &bottoms[1])?;
        let dims = self.labels.dims;
        if let Some(matrix) = bottoms.get(2) {
            make_room(&mut self.matrix, matrix.count());
        }
        let (found, classes) = (self.matrix.len(), dims.classes);
        if found != classes * classes {
            let text = format!("the matrix must have {classes} x {classes} values, found {found}");
            return Err(LayerError::shape(text));
        }
        self.row_sums.resize(classes, 0.0);
        make_room(&mut self.classes, dims.positions());
        Ok(self.probabilities.outline(&bottoms[0]))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let dims = &self.labels.dims;
        let valid = self.labels.read(pass.bottoms[1].data, &mut self.classes, |class| class)?;
        if let Some(matrix) = pass.bottoms.get(2) {
            self.matrix.copy_from_slice(matrix.data);
        }
        let rows = self.matrix.chunks(dims.classes.max(1));
        self.row_sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum = row.iter().sum());
        let (loss, probabilities) = self.probabilities.make(dims, pass.bottoms[0].data, pass.tops);
        let prices = Prices { classes: &self.classes, matrix: &self.matrix, row_sums: &self.row_sums };
        let counts = Counts { batch: dims.outer, positions: dims.positions(), valid: valid as f64 };
        *loss = self.normalizer.loss(infogain(dims, probabilities, &prices), counts);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let probabilities = self.probabilities.made(pass.tops);
        let scale = self.normalizer.scale(pass.tops[0].diff[0]);
        let prices = Prices { classes: &self.classes, matrix: &self.matrix, row_sums: &self.row_sums };
        infogain_backward(&self.labels.dims, probabilities, &prices, scale, diff);
    }

    fn label_range(&self) -> Option<LabelRange> {
        Some(self.labels.range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::gradient_check::{Case, Values, failure, forward, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'InfogainLoss' loss_param { ignore_label: 1 }",
            &[(&[4, 3], Values::Any), (&[4], Values::Labels(3)), (&[3, 3], Values::Between(0.0, 1.0))],
        ),
        Case::new(
            "type: 'InfogainLoss' infogain_loss_param { axis: 1 } loss_param { normalization: FULL }",
            &[(&[2, 2, 3], Values::Any), (&[2, 3], Values::Labels(2)), (&[1, 1, 2, 2], Values::Any)],
        ),
    ];

    const SCORES: (&[usize], &[f32]) = (&[1, 2], &[0.0, 0.0]);
    const MATRIX: (&[usize], &[f32]) = (&[2, 2], &[1.0, 0.0, 0.5, 2.0]);

    #[test]
    fn the_row_of_the_label_counts() {
        let loss = |label| forward("type: 'InfogainLoss'", &[SCORES, (&[1], &[label]), MATRIX])[0][0];
        assert!((loss(0.0) - 2f32.ln()).abs() < 1e-6);
        assert!((loss(1.0) - 2.5 * 2f32.ln()).abs() < 1e-6);
        let tops = forward_with("type: 'InfogainLoss'", 2, &[SCORES, (&[1], &[0.0]), MATRIX], &[]);
        assert_eq!(tops[1], [0.5, 0.5]);
    }

    #[test]
    fn the_matrix_may_come_from_a_file() {
        use prost::Message as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.binaryproto");
        let blob = BlobProto { double_data: vec![1.0, 0.0, 0.5, 2.0], ..BlobProto::default() };
        std::fs::write(&path, blob.encode_to_vec()).unwrap();
        let text = format!("type: 'InfogainLoss' infogain_loss_param {{ source: '{}' }}", path.display());
        assert!((forward(&text, &[SCORES, (&[1], &[1.0])])[0][0] - 2.5 * 2f32.ln()).abs() < 1e-6);
        std::fs::write(&path, "no blob").unwrap();
        assert!(refusal(&text, &[&[1, 2], &[1]]).contains("cannot read"));
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = |bottoms: &[&[usize]]| refusal("type: 'InfogainLoss'", bottoms);
        assert!(refused(&[&[1, 2], &[1]]).contains("by source or as a third bottom"));
        assert_eq!(refused(&[&[1, 2], &[1], &[3]]), "the matrix must have 2 x 2 values, found 3");
        assert!(refused(&[&[2, 2], &[1, 2], &[4]]).contains("same first axis, found 2 x 2 and 1 x 2"));
        let text = failure("type: 'InfogainLoss'", &[SCORES, (&[1], &[2.0]), MATRIX]);
        assert!(text.contains("label 2 of sample 0"), "{text}");
    }
}
