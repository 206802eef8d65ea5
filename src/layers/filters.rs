//! What the layers with learned filters share: the same filters over every bottom.

use super::{
    Backward, Clearing, Follow, Forward, Layer, LayerError, Outline, Place, Reads, Taken, Wanted,
    convolution_settings::ConvolutionSettings, filter_window::Window, finish::Finish,
};
use crate::{
    kernels::{channels::Channels, conv::Epilogue},
    tensor::Shape,
};

/// Learned filters and how they meet a bottom.
pub trait Filters: Send {
    /// Fits the filters to bottoms of one shape.
    ///
    /// # Errors
    /// When the settings do not fit the shape.
    fn fit(
        &mut self,
        settings: &ConvolutionSettings,
        window: &Window,
        bottom: &Shape,
    ) -> Result<Fitted, LayerError>;

    /// Whether the forward pass does all of an epilogue, and not only adds the bias.
    fn finishes(&self) -> bool {
        false
    }

    /// One bottom's top.
    fn forward(&self, x: &[f32], weights: &[f32], epilogue: Epilogue<'_>, y: &mut [f32], scratch: &mut [f32]);

    /// Adds to the diffs of the weights and of the bias, where they are wanted.
    fn backward_params(&self, x: &[f32], dy: &[f32], diffs: ParamDiffs<'_>, scratch: &mut [f32]);

    /// Overwrites the bottom's diffs.
    fn backward_input(&self, dy: &[f32], weights: &[f32], dx: &mut [f32], scratch: &mut [f32]);

    /// Whether [`Filters::add_input`] can be called, whatever the shape of the bottom.
    fn can_add(&self) -> bool {
        false
    }

    /// Adds to the bottom's diffs, which then become 0 where `x`, if it is given, is not above 0.
    fn add_input(&self, _x: Option<&[f32]>, _dy: &[f32], _w: &[f32], _dx: &mut [f32], _scratch: &mut [f32]) {
        unreachable!("only filters that can add are asked to");
    }

    /// Whether [`Filters::lie_within`] can be called.
    fn lies_within(&self) -> bool {
        false
    }

    /// Makes tops, and reads their diffs, at a place in a larger blob.
    fn lie_within(&mut self, _place: Place) {}

    /// Multiply-adds of one bottom's forward pass.
    fn multiply_adds(&self) -> usize;
}

/// The diffs of the weights and of the bias; `None` where nobody asks.
pub type ParamDiffs<'a> = [Option<&'a mut [f32]>; 2];

/// What fitted filters need and make.
pub struct Fitted {
    /// The shape of a top.
    pub top: Shape,
    /// The shape of the weights.
    pub weights: Shape,
    /// How many biases.
    pub biases: usize,
    /// Values of scratch.
    pub scratch: usize,
}

/// A layer that applies its filters to every bottom.
pub struct FilterLayer<F> {
    settings: ConvolutionSettings,
    filters: F,
    bottoms: usize,
    /// Values of scratch that the filters need.
    scratch: usize,
    /// Of a top, where its channels lie along axis 1.
    top: Channels,
    /// The axis of the channels.
    axis: usize,
    finish: Finish,
    /// Whether the bottom's gradient is added to its diff, and then 0 where the bottom is not above 0.
    adds: bool,
    clears: bool,
}

impl<F> FilterLayer<F> {
    /// A layer with these settings.
    pub fn new(settings: ConvolutionSettings, filters: F) -> Self {
        Self {
            settings,
            filters,
            bottoms: 0,
            scratch: 0,
            top: Channels::default(),
            axis: 0,
            finish: Finish::default(),
            adds: false,
            clears: false,
        }
    }
}

impl<F: Filters> Layer for FilterLayer<F> {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let window = self.settings.fit(bottoms)?;
        let fitted = self.filters.fit(&self.settings, &window, &bottoms[0])?;
        (self.bottoms, self.scratch) = (bottoms.len(), fitted.scratch);
        self.axis = window.axis;
        self.top = Channels::of(&fitted.top, window.axis, window.axis + 1);
        let workspace = self.scratch + if self.finish.descends() { self.top.count() } else { 0 };
        let params = self.settings.params(fitted.weights, [fitted.biases]);
        let tops = vec![fitted.top; bottoms.len()];
        Ok(Outline::of(tops).params(params).workspace(workspace).reads(Reads::BOTTOMS))
    }

    fn take_up(&mut self, next: Follow, wanted: Wanted) -> Taken {
        // What follows by channels has them along axis 1.
        let fits = next == Follow::Rectify || self.settings.axis() == 1;
        if self.filters.finishes() && fits { self.finish.take_up(next, wanted) } else { Taken::Nothing }
    }

    fn adds(&self, _: usize) -> bool {
        self.bottoms == 1 && self.filters.can_add()
    }

    fn add(&mut self, _: usize) {
        self.adds = true;
    }

    fn clear(&mut self, _: usize) -> Clearing {
        self.clears = self.adds;
        if self.clears { Clearing::Written } else { Clearing::Nothing }
    }

    fn lies_within(&self, axis: usize) -> bool {
        self.bottoms == 1 && self.axis == axis && !self.finish.descends() && self.filters.lies_within()
    }

    fn lie_within(&mut self, place: Place) {
        self.filters.lie_within(place);
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (own, taken) = pass.params.split_at(self.settings.param_count());
        let epilogue = self.finish.epilogue(self.top.channels, own.get(1).copied(), taken, pass.state);
        for (bottom, top) in pass.bottoms.iter().zip(pass.tops.iter_mut()) {
            self.filters.forward(bottom.data, own[0], epilogue, top.data, pass.workspace);
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        for ((bottom, top), dx) in pass.bottoms.iter().zip(pass.tops).zip(&mut *pass.bottom_diffs) {
            let (scratch, below) = pass.workspace.split_at_mut(self.scratch);
            let dy = self.finish.descend(self.top, top.diff, below);
            let (dw, others) = pass.param_diffs[..self.settings.param_count()].split_at_mut(1);
            let db = others.first_mut().and_then(Option::as_deref_mut);
            self.filters.backward_params(bottom.data, dy, [dw[0].as_deref_mut(), db], scratch);
            let (Some(dx), weights) = (dx, pass.params[0]) else { continue };
            if self.adds {
                self.filters.add_input(self.clears.then_some(bottom.data), dy, weights, dx, scratch);
            } else {
                self.filters.backward_input(dy, weights, dx, scratch);
            }
        }
    }

    fn multiply_adds(&self) -> u64 {
        (self.bottoms * self.filters.multiply_adds()) as u64
    }
}
