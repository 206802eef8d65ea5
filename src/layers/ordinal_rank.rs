//! `OrdinalRank`: the rank that yes-or-no questions give.

use super::{Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup, ordinal_tasks::OrdinalTasks};
use crate::{
    config::proto::LayerParameter,
    kernels::parallel::{CHUNK, for_chunks_mut},
    tensor::Shape,
};

/// The row of `OrdinalRank`.
pub const KIND: Kind = Kind {
    name: "OrdinalRank",
    summary: "the rank that the scores of `OrdinalRegressionLoss` give",
    settings: &["ordinal_regression_param"],
    role: Role::Measure,
    no_gradient: &[0],
    ..Kind::usual(from_config)
};

/// The number of questions "is the rank above k?" with the answer yes: a rank from 0 to K - 1.
///
/// y_i = sum_k [z_ik > 0], z the logit of yes
///
/// Shapes: bottom scores as for `OrdinalRegressionLoss`; top `N x ...`, without the axis of the questions, as labels
/// are. Params: none. Gradient: none.
/// Reference: Niu et al. 2016. Not in Caffe.
struct OrdinalRank(OrdinalTasks);

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(OrdinalRank(OrdinalTasks::from_config(config))))
}

impl Layer for OrdinalRank {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.0.outline(&bottoms[0])?;
        let mut top = bottoms[0].to_vec();
        top.remove(bottoms[0].axis(self.0.config.axis()).unwrap_or(0));
        Ok(Outline::of([Shape::new(top)]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (tasks, scores) = (&self.0, pass.bottoms[0].data);
        for_chunks_mut(pass.tops[0].data, (CHUNK / tasks.dims.classes).max(1), |first, ranks| {
            for (position, rank) in (first..).zip(ranks) {
                let start = tasks.dims.start(position);
                let yes = (0..tasks.count).filter(|&task| tasks.logit(scores, start, task) > 0.0);
                *rank = yes.count() as f32;
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::forward;

    #[test]
    fn answers_are_counted() {
        let pairs: (&[usize], &[f32]) = (&[2, 4], &[0.0, 1.0, 1.0, 0.0, 0.0, 2.0, 1.0, 3.0]);
        assert_eq!(forward("type: 'OrdinalRank'", &[pairs])[0], [1.0, 2.0]);
        let single = "type: 'OrdinalRank' ordinal_regression_param { outputs: SIGMOID }";
        let map: (&[usize], &[f32]) = (&[1, 3, 2], &[1.0, -1.0, 2.0, -1.0, 0.0, -1.0]);
        assert_eq!(forward(single, &[map])[0], [2.0, 0.0]);
    }
}
