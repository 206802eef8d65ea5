//! `Split`: several tops of one bottom; the net puts one wherever a blob has several readers.

use super::{Arity, Backward, Clearing, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        elementwise::{Rectified, copy, map2, map3, rectified, update, update_each},
        parallel::{CHUNK, for_chunks_mut},
    },
    tensor::Shape,
};

/// The row of `Split`.
pub const KIND: Kind = Kind {
    name: "Split",
    summary: "copies the bottom to each top",
    tops: Arity::AtLeast(1),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// y_i = x       dE/dx = sum of dE/dy_i, from the last top to the first
///
/// Shapes: bottom and tops alike. Params: none. Differs from Caffe: no.
struct Split {
    tops: usize,
    /// Whether the bottom's gradient is 0 where the bottom is not above 0.
    clears: bool,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Split { tops: config.top.len(), clears: false }))
}

impl Layer for Split {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let reads = if self.clears { Reads::BOTTOMS } else { Reads::NOTHING };
        Ok(Outline::of(vec![bottoms[0].clone(); self.tops]).reads(reads).alias())
    }

    fn clear(&mut self, _: usize) -> Clearing {
        // The one top's diff is the bottom's: nothing is written.
        if self.tops < 2 {
            return Clearing::Nothing;
        }
        self.clears = true;
        Clearing::Written
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let x = pass.bottoms[0].data;
        match pass.tops {
            [] => {}
            [a] => copy(a.diff, diff),
            [a, b] if self.clears => map3(a.diff, b.diff, x, diff, |a, b, x| rectified(a + b, x)),
            [a, b] => map2(a.diff, b.diff, diff, |a, b| a + b),
            [a, b, c] if !self.clears => map3(a.diff, b.diff, c.diff, diff, |a, b, c| c + b + a),
            // Chunk by chunk, so that the sum stays in the cache while the tops are added.
            [rest @ .., a, b, c] => for_chunks_mut(diff, CHUNK, |start, diff| {
                let part = start..start + diff.len();
                let [a, b, c] = [a, b, c].map(|top| &top.diff[part.clone()]);
                map3(a, b, c, diff, |a, b, c| c + b + a);
                rest.iter().rev().for_each(|top| update(&top.diff[part.clone()], diff, |x, sum| sum + x));
                if self.clears {
                    update_each(&x[part], diff, Rectified);
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with};

    const ANY: &[(&[usize], Values)] = &[(&[2, 3], Values::Any)];

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Split'", ANY),
        Case::new("type: 'Split'", ANY).tops(2),
        Case::new("type: 'Split'", ANY).tops(3),
        Case::new("type: 'Split'", ANY).tops(5),
    ];

    #[test]
    fn every_top_is_the_bottom() {
        let tops = forward_with("type: 'Split'", 2, &[(&[2], &[1.0, 2.0])], &[]);
        assert_eq!(tops, [[1.0, 2.0], [1.0, 2.0]]);
    }
}
