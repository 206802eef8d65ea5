//! Pictures of the samples that are classified worst, kept while the set goes by.

use crate::report::picture::{Tile, range};

/// The worst samples so far.
pub struct Worst {
    most: usize,
    rgb: bool,
    /// Loss, number and picture, the worst first.
    kept: Vec<(f64, usize, Tile)>,
}

impl Worst {
    /// At most so many; `rgb` says that colours come in the order red, green, blue and not blue, green, red.
    pub fn new(most: usize, rgb: bool) -> Self {
        Self { most, rgb, kept: Vec::new() }
    }

    /// Whether a sample of this loss is among them so far.
    pub fn wants(&self, loss: f64) -> bool {
        self.kept.len() < self.most || self.kept.last().is_some_and(|(least, ..)| loss > *least)
    }

    /// Adds sample `number` of one or three channels; samples come in the order of their numbers.
    pub fn add(&mut self, number: usize, loss: f64, [c, h, w]: [usize; 3], values: &[f32]) {
        let planes: Vec<&[f32]> = values.chunks_exact(h * w).collect();
        let order = match (c, self.rgb) {
            (3, true) => [0, 1, 2],
            (3, false) => [2, 1, 0],
            _ => [0; 3],
        };
        let tile = Tile::of_planes(order.map(|plane| planes[plane]), w, range(values));
        let at = self.kept.partition_point(|(other, ..)| *other >= loss);
        self.kept.insert(at, (loss, number, tile));
        self.kept.truncate(self.most);
    }

    /// Their numbers and pictures, the worst first.
    pub fn tiles(&self) -> impl Iterator<Item = (usize, &Tile)> {
        self.kept.iter().map(|(_, number, tile)| (*number, tile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_stay_and_of_equals_the_first() {
        let mut worst = Worst::new(2, false);
        for (number, loss) in [1.0, 3.0, 2.0, 3.0, 3.0, f64::INFINITY].into_iter().enumerate() {
            if worst.wants(loss) {
                worst.add(number, loss, [1, 1, 2], &[0.0, 1.0]);
            }
        }
        assert_eq!(worst.tiles().map(|(number, _)| number).collect::<Vec<_>>(), [5, 1]);
        assert!(!Worst::new(0, false).wants(1.0));
    }

    #[test]
    fn colours_are_put_in_order() {
        let mut worst = Worst::new(1, false);
        worst.add(0, 1.0, [3, 1, 1], &[0.0, 0.5, 1.0]);
        assert_eq!(worst.tiles().next().unwrap().1.pixels, [[255, 128, 0]]);
        let mut worst = Worst::new(1, true);
        worst.add(0, 1.0, [3, 1, 1], &[0.0, 0.5, 1.0]);
        assert_eq!(worst.tiles().next().unwrap().1.pixels, [[0, 128, 255]]);
    }
}
