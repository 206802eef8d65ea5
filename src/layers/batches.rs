//! What the layers that read data sets share: tops filled with the next batch.

use super::{Blob, Carry, Few, Forward, Layer, LayerError, Outline, Setup, Shard};
use crate::{
    config::proto::LayerParameter,
    data::{BadSamples, Batches, DataError, LabelRange, OnBad, open_layer},
    kernels::random::Draw,
    tensor::Shape,
};

/// A layer whose tops are the next batch of a data set.
struct BatchLayer(Batches);

/// Opens the data set that `config` names.
pub fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let seed = Draw::new(setup.seed, config.name(), 0).seed();
    match open_layer(config, setup.phase, seed) {
        Ok(mut batches) => {
            batches.take_any_shape();
            Ok(Box::new(BatchLayer(batches)))
        }
        Err(DataError::Setting(message)) => Err(LayerError::setting("", message)),
        Err(error) => Err(LayerError::value(error.with_reason())),
    }
}

impl Layer for BatchLayer {
    fn outline(&mut self, _: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of(self.0.shapes()))
    }

    fn shapes_now(&mut self, _: &[Blob<'_>]) -> Result<Option<Vec<Shape>>, LayerError> {
        self.0.next_shapes().map_err(|e| LayerError::value(e.with_reason()))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let mut tops: Few<&mut [f32]> = pass.tops.iter_mut().map(|t| &mut *t.data).collect();
        self.0.next(&mut tops).map_err(|e| LayerError::value(e.with_reason()))
    }

    fn carry(&self) -> Option<Carry> {
        Some(Carry { consumed: self.0.position(), values: Vec::new() })
    }

    fn resume(&mut self, carry: &Carry) -> Result<(), LayerError> {
        self.0.seek(carry.consumed);
        Ok(())
    }

    fn take_part(&mut self, shard: Shard) -> Result<(), LayerError> {
        self.0.set_shard(shard).map_err(|e| LayerError::value(e.with_reason()))
    }

    fn set_batch_size(&mut self, batch_size: usize) {
        self.0.set_batch_size(batch_size);
    }

    fn expect_labels(&mut self, top: usize, range: LabelRange) {
        self.0.expect_labels(top, range);
    }

    fn skip_bad_samples(&mut self) {
        self.0.set_on_bad(OnBad::Skip);
    }

    fn bad_samples(&self) -> Option<&BadSamples> {
        Some(self.0.bad())
    }

    fn waited(&self) -> std::time::Duration {
        self.0.waited()
    }

    fn samples(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
