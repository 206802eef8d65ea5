//! `Tile`: repeats the bottom along an axis.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::LayerParameter,
    kernels::rows::{repeat_rows, sum_repeated_rows},
    tensor::Shape,
};

/// The row of `Tile`.
pub const KIND: Kind = Kind {
    name: "Tile",
    summary: "repeats the bottom along an axis",
    settings: &["tile_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The bottom `tiles` times along `axis`; dE/dx is the sum over its copies.
///
/// Shapes: top as the bottom, but `tiles` times as long along `axis`. Params: none. Differs from Caffe: no.
struct Tile {
    axis: i32,
    tiles: usize,
    /// Values of a row, which begins at the axis.
    row: usize,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.tile_param.unwrap_or_default();
    let refused = |message| Err(LayerError::setting("tile_param.tiles", message));
    match param.tiles {
        None => refused("tiles must be given".into()),
        Some(tiles) => match usize::try_from(tiles) {
            Err(_) | Ok(0) => refused(format!("tiles must be 1 or more, found {tiles}")),
            Ok(tiles) => Ok(Box::new(Tile { axis: param.axis(), tiles, row: 0 })),
        },
    }
}

impl Layer for Tile {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let axis = axes::resolve(bottom, self.axis, "tile_param.axis")?;
        self.row = bottom.count_of(axis..);
        let mut sides = bottom.to_vec();
        sides[axis] = sides[axis].saturating_mul(self.tiles);
        let too_large = || LayerError::shape(format!("{} tiles of {bottom} are too large", self.tiles));
        Ok(Outline::of([axes::counted(sides).ok_or_else(too_large)?]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        repeat_rows(pass.bottoms[0].data, self.row, self.tiles, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            sum_repeated_rows(pass.tops[0].diff, self.row, self.tiles, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Tile' tile_param { tiles: 3 }", &[(&[2, 2, 3], Values::Any)]),
        Case::new("type: 'Tile' tile_param { axis: -1 tiles: 2 }", &[(&[2, 3, 1], Values::Any)]),
    ];

    #[test]
    fn rows_are_repeated() {
        let x: (&[usize], &[f32]) = (&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = forward("type: 'Tile' tile_param { tiles: 2 }", &[x]);
        assert_eq!(y[0], [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
        let y = forward("type: 'Tile' tile_param { axis: 0 tiles: 2 }", &[x]);
        assert_eq!(y[0], [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(refusal("type: 'Tile'", &[&[1, 1]]), "tiles must be given");
        assert_eq!(
            refusal("type: 'Tile' tile_param { tiles: 0 }", &[&[1, 1]]),
            "tiles must be 1 or more, found 0"
        );
        assert!(refusal("type: 'Tile' tile_param { tiles: 2 axis: 2 }", &[&[1, 1]]).contains("out of range"));
        let many = "type: 'Tile' tile_param { tiles: 2147483647 }";
        assert!(refusal(many, &[&[1 << 20, 1 << 20]]).contains("too large"));
    }
}
