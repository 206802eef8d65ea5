//! Which layers of a net find their weights in a file.

use super::{LayerBlobs, Weights};
use crate::tensor::Shape;

/// What becomes of a layer when weights are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gets its weights from the file.
    Loaded,
    /// The file has no layer of its name.
    Missing,
    /// The file has a layer of its name, but the shapes in the net are not known.
    Unchecked,
    /// The file has a layer of its name, but with parameters of another number or shape.
    Differs,
    /// The net has no layer of this name.
    Unused,
}

impl Fate {
    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Loaded => "loaded",
            Fate::Missing => "missing",
            Fate::Unchecked => "not checked",
            Fate::Differs => "shape differs",
            Fate::Unused => "unused",
        }
    }
}

/// A layer of a net or of a file of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Its name.
    pub layer: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The shapes of its parameters in the net.
    pub net: Vec<Shape>,
    /// Their shapes in the file.
    pub file: Vec<Shape>,
}

impl Weights {
    /// Matches the file with the layers of a net that have parameters, given by name and, where they are known, shapes:
    /// first the net's layers in their order, then those that only the file has.
    pub fn matches(&self, net: &[(String, Option<Vec<Shape>>)]) -> Vec<Match> {
        let of_net = net.iter().map(|(layer, shapes)| {
            let saved = self.layers.iter().find(|l| l.name == *layer);
            let fate = match (saved, shapes) {
                (None, _) => Fate::Missing,
                (Some(_), None) => Fate::Unchecked,
                (Some(saved), Some(shapes))
                    if saved.blobs.len() == shapes.len()
                        && saved
                            .blobs
                            .iter()
                            .zip(shapes)
                            .all(|(b, s)| b.as_ref().is_none_or(|b| b.fits(s))) =>
                {
                    Fate::Loaded
                }
                (Some(_), Some(_)) => Fate::Differs,
            };
            let file = saved.map_or(vec![], LayerBlobs::shapes);
            Match { layer: layer.clone(), fate, net: shapes.clone().unwrap_or_default(), file }
        });
        let known = |name: &str| net.iter().any(|(layer, _)| layer == name);
        let unused = self.layers.iter().filter(|l| !known(&l.name)).map(|l| Match {
            layer: l.name.clone(),
            fate: Fate::Unused,
            net: vec![],
            file: l.shapes(),
        });
        of_net.chain(unused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::BlobValues;

    #[test]
    fn every_layer_has_its_fate() {
        let blob =
            |axes: &[usize]| Some(BlobValues { shape: axes.into(), legacy: false, values: vec![].into() });
        let layer = |name: &str, blobs| LayerBlobs { name: name.into(), blobs };
        let weights = Weights {
            layers: vec![
                layer("a", vec![blob(&[2, 3]), blob(&[2])]),
                layer("b", vec![blob(&[4])]),
                layer("c", vec![blob(&[4])]),
                layer("old", vec![blob(&[1])]),
            ],
            source_net: None,
            changed: false,
        };
        let shapes = |list: &[&[usize]]| Some(list.iter().map(|&s| s.into()).collect::<Vec<Shape>>());
        let net = [
            ("a".to_owned(), shapes(&[&[2, 3], &[2]])),
            ("b".to_owned(), shapes(&[&[5]])),
            ("new".to_owned(), shapes(&[&[1]])),
            ("c".to_owned(), None),
        ];
        let fates: Vec<_> = weights.matches(&net).into_iter().map(|m| (m.layer, m.fate)).collect();
        let named = |name: &str, fate| (name.to_owned(), fate);
        assert_eq!(
            fates,
            [
                named("a", Fate::Loaded),
                named("b", Fate::Differs),
                named("new", Fate::Missing),
                named("c", Fate::Unchecked),
                named("old", Fate::Unused)
            ]
        );
    }
}
