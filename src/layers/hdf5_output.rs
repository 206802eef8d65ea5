//! `HDF5Output`: writes its bottoms to a file.

use std::path::Path;

use super::{Arity, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup, Shard};
use crate::{config::proto::LayerParameter, data::RowFile, tensor::Shape};

/// The row of `HDF5Output`.
pub const KIND: Kind = Kind {
    name: "HDF5Output",
    summary: "writes its bottoms to an HDF5 file, batch after batch",
    settings: &["hdf5_output_param"],
    bottoms: Arity::Exactly(2),
    tops: Arity::Exactly(0),
    role: Role::Measure,
    no_gradient: &[0, 1],
    ..Kind::usual(from_config)
};

/// The bottoms as the datasets `data` and `label`, the batches of all passes below each other.
///
/// Rows are kept in memory; the file is whole after the passes 1, 2, 4, 8, ... and after the last.
///
/// Shapes: bottoms `N x ...` and `N x ...`. Params: none. Gradient: none.
/// Differs from Caffe, which cannot write a second batch.
struct Hdf5Output {
    file: RowFile,
    passes: u64,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.hdf5_output_param.clone().unwrap_or_default();
    if param.file_name().is_empty() {
        return Err(LayerError::setting("hdf5_output_param.file_name", "file_name is missing"));
    }
    let file = RowFile::new(Path::new(param.file_name()), &["data", "label"]);
    Ok(Box::new(Hdf5Output { file, passes: 0 }))
}

impl Layer for Hdf5Output {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let rows = |shape: &Shape| shape.first().copied().unwrap_or(1);
        if rows(&bottoms[0]) != rows(&bottoms[1]) {
            let message = format!("data {} and label {} differ in rows", bottoms[0], bottoms[1]);
            return Err(LayerError::shape(message));
        }
        Ok(Outline::of([]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let blobs: Vec<(&Shape, &[f32])> = pass.bottoms.iter().map(|b| (b.shape, b.data)).collect();
        self.file.add(&blobs).map_err(|e| LayerError::value(e.with_reason()))?;
        self.passes += 1;
        if self.passes.is_power_of_two() { self.finish() } else { Ok(()) }
    }

    /// Ranks would replace each other's file.
    fn take_part(&mut self, shard: Shard) -> Result<(), LayerError> {
        if shard.count <= 1 {
            return Ok(());
        }
        let message = format!(
            "{} ranks cannot write one file: leave this layer out, or run it on one rank",
            shard.count
        );
        Err(LayerError::setting("hdf5_output_param.file_name", message))
    }

    fn finish(&mut self) -> Result<(), LayerError> {
        self.file.write().map_err(|e| LayerError::output(e.with_reason()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::gradient_check::refusal_of;

    #[test]
    fn ranks_do_not_write_one_file() {
        let mut layer = Hdf5Output { file: RowFile::new(Path::new("x.h5"), &["data", "label"]), passes: 0 };
        assert!(layer.take_part(Shard { rank: 0, count: 1 }).is_ok());
        let refused = layer.take_part(Shard { rank: 1, count: 2 }).unwrap_err();
        assert!(refused.to_string().starts_with("2 ranks cannot write one file"), "{refused}");
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(refusal_of("type: 'HDF5Output'", 0, &[&[1], &[1]]), "file_name is missing");
        let named = "type: 'HDF5Output' hdf5_output_param { file_name: 'x.h5' }";
        assert_eq!(refusal_of(named, 0, &[&[3, 2], &[4]]), "data 3 x 2 and label 4 differ in rows");
    }
}
