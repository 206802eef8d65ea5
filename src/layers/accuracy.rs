//! `Accuracy`: the share of labels that are among the best scores.

use super::{
    Arity, Forward, Kind, LabelRange, Layer, LayerError, Outline, Reads, Role, Setup, axes::make_room,
    labels::Labels,
};
use crate::{
    config::proto::LayerParameter,
    kernels::parallel::{CHUNK, for_chunks_mut},
    tensor::Shape,
};

/// The row of `Accuracy`.
pub const KIND: Kind = Kind {
    name: "Accuracy",
    summary: "share of labels among the best scores, also per class",
    settings: &["accuracy_param"],
    bottoms: Arity::Exactly(2),
    tops: Arity::Between(1, 2),
    role: Role::Measure,
    no_gradient: &[0, 1],
    ..Kind::usual(from_config)
};

/// Share of the positions whose true class has fewer than `top_k` rivals: other classes that score as high or
/// higher. Ties count against the true class.
///
/// Shapes: bottoms scores `N x C x ...` (classes on `axis`) and labels `N x ...`; tops one value, and, if there is
/// a second top, the same for each class, `C`. Without labels that count the share is 0. Params: none. Gradient: none.
/// Reference: Russakovsky et al. 2015 for top-5. Differs from Caffe: a NaN among the scores counts against the true
/// class, where Caffe's comparisons let a diverged net look perfect; `top_k: 0` is refused.
struct Accuracy {
    rivals: usize,
    axis: i32,
    labels: Labels,
    per_class: bool,
    /// Of each position: the class, or `IGNORED`.
    classes: Vec<u32>,
    /// Of each position: whether it is right.
    right: Vec<bool>,
    /// Of each class: positions, and those that are right.
    tally: Vec<(usize, usize)>,
}

const IGNORED: u32 = u32::MAX;
const TOP_K: &str = "accuracy_param.top_k";

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = config.accuracy_param.unwrap_or_default();
    if settings.top_k() == 0 {
        return Err(LayerError::setting(TOP_K, "top_k must be at least 1, found 0"));
    }
    Ok(Box::new(Accuracy {
        rivals: settings.top_k() as usize,
        axis: settings.axis(),
        labels: Labels::new(settings.ignore_label),
        per_class: config.top.len() > 1,
        classes: vec![],
        right: vec![],
        tally: vec![],
    }))
}

impl Layer for Accuracy {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.labels.outline(&bottoms[0], &bottoms[1], self.axis, "accuracy_param.axis")?;
        let dims = self.labels.dims;
        if self.rivals > dims.classes {
            let text = format!("top_k {} exceeds the number of classes {}", self.rivals, dims.classes);
            return Err(LayerError::setting(TOP_K, text));
        }
        make_room(&mut self.classes, dims.positions());
        make_room(&mut self.right, dims.positions());
        self.tally.resize(dims.classes, (0, 0));
        let mut tops = vec![Shape::default()];
        tops.extend(self.per_class.then(|| [dims.classes].into()));
        Ok(Outline::of(tops).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (scores, labels) = (pass.bottoms[0].data, pass.bottoms[1].data);
        self.labels.read(labels, &mut self.classes, |class| class.unwrap_or(IGNORED))?;
        self.judge(scores);
        self.tally.fill((0, 0));
        for (&class, &right) in self.classes.iter().zip(&self.right).filter(|(c, _)| **c != IGNORED) {
            let (all, good) = &mut self.tally[class as usize];
            *all += 1;
            *good += usize::from(right);
        }
        let share =
            |(all, good): (usize, usize)| if all == 0 { 0.0 } else { (good as f64 / all as f64) as f32 };
        let total = self.tally.iter().fold((0, 0), |sum, class| (sum.0 + class.0, sum.1 + class.1));
        pass.tops[0].data[0] = share(total);
        if let Some(top) = pass.tops.get_mut(1) {
            top.data.iter_mut().zip(&self.tally).for_each(|(value, &class)| *value = share(class));
        }
        Ok(())
    }

    fn label_range(&self) -> Option<LabelRange> {
        Some(self.labels.range())
    }
}

impl Accuracy {
    /// Decides for each position whether it is right.
    fn judge(&mut self, scores: &[f32]) {
        let (dims, classes, rivals) = (&self.labels.dims, &self.classes, self.rivals);
        for_chunks_mut(&mut self.right, (CHUNK / dims.classes.max(1)).max(1), |start, right| {
            for (i, right) in right.iter_mut().enumerate() {
                let class = classes[start + i];
                if class == IGNORED {
                    continue;
                }
                let first = dims.start(start + i);
                let own = scores[first + class as usize * dims.inner];
                let all = scores[first..].iter().step_by(dims.inner).take(dims.classes);
                // What is not below is a rival, NaN too, or the class itself.
                let below = all.filter(|&&score| score < own).count();
                *right = dims.classes - below <= rivals;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{forward_with, refusal};

    const SCORES: (&[usize], &[f32]) = (&[4, 3], &[0., 1., 2., 2., 1., 0., 5., 5., 0., 1., 3., 2.]);

    fn run(settings: &str, labels: &[f32]) -> Vec<Vec<f32>> {
        forward_with(&format!("type: 'Accuracy' {settings}"), 2, &[SCORES, (&[4], labels)], &[])
    }

    #[test]
    fn ties_count_against_the_true_class() {
        let tops = run("", &[2., 0., 0., 2.]);
        assert_eq!(tops[0], [0.5]);
        assert_eq!(tops[1], [0.5, 0.0, 0.5]);
        assert_eq!(run("accuracy_param { top_k: 2 }", &[2., 0., 0., 2.])[0], [1.0]);
    }

    #[test]
    fn ignored_labels_count_for_nothing() {
        let tops = run("accuracy_param { ignore_label: 2 }", &[2., 0., 0., 2.]);
        assert_eq!((tops[0][0], &tops[1][..]), (0.5, &[0.5, 0.0, 0.0][..]));
        assert_eq!(run("accuracy_param { ignore_label: 2 }", &[2.; 4])[0], [0.0]);
    }

    #[test]
    fn classes_may_lie_on_another_axis() {
        let text = "type: 'Accuracy' accuracy_param { axis: -1 }";
        let scores: (&[usize], &[f32]) = (&[1, 2, 2], &[0., 1., 1., 0.]);
        assert_eq!(forward_with(text, 1, &[scores, (&[1, 2], &[1., 1.])], &[])[0], [0.5]);
        let text = "type: 'Accuracy'";
        assert_eq!(forward_with(text, 1, &[scores, (&[1, 2], &[1., 0.])], &[])[0], [1.0]);
    }

    #[test]
    fn nan_is_never_right() {
        let scores: (&[usize], &[f32]) = (&[2, 2], &[f32::NAN, f32::NAN, 1.0, f32::NAN]);
        assert_eq!(forward_with("type: 'Accuracy'", 1, &[scores, (&[2], &[0., 0.])], &[])[0], [0.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused = |settings: &str| refusal(&format!("type: 'Accuracy' {settings}"), &[&[2, 3], &[2]]);
        assert_eq!(refused("accuracy_param { top_k: 4 }"), "top_k 4 exceeds the number of classes 3");
        assert_eq!(refused("accuracy_param { top_k: 0 }"), "top_k must be at least 1, found 0");
        assert!(refused("accuracy_param { axis: 5 }").contains("no axis 5"));
        assert!(refusal("type: 'Accuracy'", &[&[2, 3], &[3]]).contains("need 2 labels, found 3"));
    }
}
