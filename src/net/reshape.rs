//! New shapes for a net that is built.

use std::ops::Range;

use super::{BlobId, Net, NetError, build::check_sizes};
use crate::{layers::Role, tensor::Shape};

impl Net {
    /// Gives blobs of `Input` layers (or other sources) new shapes, and then every layer above its new shapes.
    ///
    /// # Errors
    /// When a blob is not a source's, or a layer cannot take the new shapes.
    pub fn reshape(&mut self, shapes: &[(&str, Shape)]) -> Result<(), NetError> {
        let mut changed = false;
        for (name, shape) in shapes {
            let sources = self.nodes.iter().filter(|n| n.kind.role == Role::Source);
            let Some(id) =
                sources.flat_map(|n| n.tops.iter().copied()).find(|&t| self.blobs[t].name == *name)
            else {
                return Err(NetError::Net(format!("no source layer makes a blob `{name}`")));
            };
            changed |= self.blobs[id].shape != *shape;
            self.blobs[id].shape = shape.clone();
        }
        if changed {
            self.outline(0..self.nodes.len())?;
            self.lay_out()?;
        }
        Ok(())
    }

    /// Has all layers that read data sets make batches of this size from now on; every layer above gets its new shapes.
    ///
    /// # Errors
    /// When a layer cannot take the new shapes.
    pub fn set_batch_size(&mut self, batch_size: usize) -> Result<(), NetError> {
        let mut changed = false;
        let mut others: Vec<BlobId> = Vec::new();
        for node in self.nodes.iter_mut().filter(|n| n.kind.role == Role::Source) {
            if node.layer.samples().is_none() {
                others.extend(&node.tops);
            } else if node.outline.tops.first().and_then(|top| top.first()) != Some(&batch_size) {
                node.layer.set_batch_size(batch_size);
                node.outline = node.layer.outline(&[]).map_err(|e| NetError::of(&node.config, e))?;
                for (&t, shape) in node.tops.iter().zip(&node.outline.tops) {
                    self.blobs[t].shape = shape.clone();
                }
                changed = true;
            }
        }
        if changed {
            let kept = self.copy_of(others);
            self.outline(0..self.nodes.len())?;
            self.lay_out()?;
            self.put_back(kept);
        }
        Ok(())
    }

    /// Values that are to outlive a new plan of the memory, which may move them.
    pub(super) fn copy_of(&self, blobs: impl IntoIterator<Item = BlobId>) -> Vec<(BlobId, Vec<f32>)> {
        let wholes = blobs.into_iter().map(|b| self.blobs[b].whole);
        wholes.map(|b| (b, self.values(b).to_vec())).collect()
    }

    /// Puts values where they belong by the new plan.
    pub(super) fn put_back(&mut self, kept: Vec<(BlobId, Vec<f32>)>) {
        for (b, values) in kept {
            let slot = self.blobs[b].slot;
            let len = values.len().min(self.blobs[b].shape.count());
            self.slots[slot][..len].copy_from_slice(&values[..len]);
        }
    }

    /// Outlines some layers again, after shapes have changed; sources keep their blobs' shapes.
    pub(super) fn outline(&mut self, layers: Range<usize>) -> Result<(), NetError> {
        for node in &mut self.nodes[layers] {
            if node.kind.role == Role::Source {
                continue;
            }
            let bottoms: Vec<Shape> = node.bottoms.iter().map(|&b| self.blobs[b].shape.clone()).collect();
            let outline = node.layer.outline(&bottoms).map_err(|e| NetError::of(&node.config, e))?;
            check_sizes(&node.config, &outline, self.planned.is_some())?;
            let same =
                (outline.params.iter().zip(&node.outline.params)).all(|(new, old)| new.shape == old.shape);
            if !same {
                let message = "the new shapes of its bottoms ask for parameters of another shape";
                return Err(NetError::layer(&node.config, "", message));
            }
            for (&t, shape) in node.tops.iter().zip(&outline.tops) {
                self.blobs[t].shape = shape.clone();
            }
            node.outline = outline;
        }
        Ok(())
    }
}
