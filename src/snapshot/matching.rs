//! Which layers of a net find their weights in a file.

use std::iter::repeat;

use super::{BlobValues, LayerBlobs, Weights};
use crate::{net::check::Keeper, tensor::Shape};

/// What becomes of a layer when weights are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gets its weights from the file.
    Loaded,
    /// The file has no layer of its name.
    Missing,
    /// So it is, but all its parameters are those of layers above.
    Shared,
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
            Fate::Shared => "shared",
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
    /// Matches the file with the layers of a net that have parameters, first those in their order, then those that only
    /// the file has.
    pub fn matches(&self, net: &[Keeper]) -> Vec<Match> {
        let of_net = net.iter().map(|Keeper { layer, params }| {
            let saved = self.layers.iter().rfind(|l| l.name == *layer);
            let fate = match (saved, params) {
                (None, Some(params)) if params.iter().all(|(_, own)| !own) => Fate::Shared,
                (None, _) => Fate::Missing,
                (Some(_), None) => Fate::Unchecked,
                (Some(saved), Some(params)) => {
                    let blobs = saved.blobs.iter().map(Option::as_ref).chain(repeat(None));
                    let fits = |((shape, own), blob): (&(Shape, bool), Option<&BlobValues>)| {
                        blob.map_or(!own, |blob| blob.fits(shape))
                    };
                    let fit = saved.blobs.len() <= params.len() && params.iter().zip(blobs).all(fits);
                    if fit { Fate::Loaded } else { Fate::Differs }
                }
            };
            let shapes = params.iter().flatten().map(|(shape, _)| shape.clone());
            Match {
                layer: layer.clone(),
                fate,
                net: shapes.collect(),
                file: saved.map_or(vec![], LayerBlobs::shapes),
            }
        });
        let known = |name: &str| net.iter().any(|keeper| keeper.layer == name);
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
                layer("half", vec![blob(&[4])]),
                layer("short", vec![blob(&[4])]),
                layer("old", vec![blob(&[1])]),
            ],
            source_net: None,
            changed: false,
        };
        let keeper = |layer: &str, params: Option<&[(&[usize], bool)]>| Keeper {
            layer: layer.to_owned(),
            params: params.map(|params| params.iter().map(|&(shape, own)| (shape.into(), own)).collect()),
        };
        let net = [
            keeper("a", Some(&[(&[2, 3], true), (&[2], true)])),
            keeper("b", Some(&[(&[5], true)])),
            keeper("new", Some(&[(&[1], true)])),
            keeper("c", None),
            keeper("twin", Some(&[(&[2, 3], false), (&[2], false)])),
            keeper("half", Some(&[(&[4], true), (&[2], false)])),
            keeper("short", Some(&[(&[4], true), (&[2], true)])),
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
                named("twin", Fate::Shared),
                named("half", Fate::Loaded),
                named("short", Fate::Differs),
                named("old", Fate::Unused)
            ]
        );
    }
}
