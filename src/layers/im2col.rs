//! `Im2col`: each output position's window of the input as a column.

use super::{
    Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup,
    convolution_settings::ConvolutionSettings,
};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        conv::{Axes, ConvAxis, col2im, im2col},
        parallel::for_chunks_mut,
    },
    tensor::Shape,
};

/// The row of `Im2col`.
pub const KIND: Kind = Kind {
    name: "Im2col",
    summary: "the windows that a convolution's filter sees, one a column",
    settings: &["convolution_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The windows of a convolution, unrolled.
///
/// y[(c, k), p] = x[c, stride p + dilation k - pad], 0 in the rim      dE/dx[c, i] = sum of the dE/dy read from it
///
/// Shapes: bottom `N... x C x S...`, channels at `axis`; top `N... x (C kernel...) x S'...`, S' as of a convolution.
/// Params: none. Differs from Caffe: a dilation of 0 is refused.
struct Im2col {
    settings: ConvolutionSettings,
    channels: usize,
    axes: Axes,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = ConvolutionSettings::new(config.convolution_param.as_ref())?;
    Ok(Box::new(Im2col { settings, channels: 0, axes: Axes::new() }))
}

impl Im2col {
    /// The lengths of one sample in the bottom and in the top.
    fn lengths(&self) -> (usize, usize) {
        let product = |f: fn(&ConvAxis) -> usize| self.channels * self.axes.iter().map(f).product::<usize>();
        (product(|a| a.input), product(|a| a.kernel * a.output))
    }
}

impl Layer for Im2col {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let window = self.settings.fit(bottoms)?;
        self.channels = window.channels;
        self.axes = window.convolved()?;
        let rows = window.filters(1, self.channels)?.count();
        let top = window.top(&bottoms[0], rows, self.axes.iter().map(|a| a.output))?;
        Ok(Outline::of([top]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (image, columns) = self.lengths();
        let x = pass.bottoms[0].data;
        for_chunks_mut(pass.tops[0].data, columns, |start, y| {
            im2col(&self.axes, self.channels, &x[start / columns * image..][..image], y);
        });
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        let (image, columns) = self.lengths();
        let dy = pass.tops[0].diff;
        for_chunks_mut(dx, image, |start, dx| {
            col2im(&self.axes, self.channels, &dy[start / image * columns..][..columns], dx);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'Im2col' convolution_param { kernel_size: 3 stride: 2 pad: 1 dilation: [1, 2] }",
            &[(&[2, 2, 4, 5], Values::Any)],
        ),
        Case::new("type: 'Im2col' convolution_param { kernel_size: 2 }", &[(&[2, 1, 2, 3, 2], Values::Any)]),
    ];

    #[test]
    fn windows_by_hand() {
        let x: (&[usize], &[f32]) = (&[2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let y = forward("type: 'Im2col' convolution_param { kernel_size: 2 pad: 1 stride: 2 }", &[x]);
        assert_eq!(y[0], [0.0, 2.0, 1.0, 3.0, 0.0, 5.0, 4.0, 6.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(refusal("type: 'Im2col'", &[&[1, 1, 5]]), "kernel_size is missing");
    }
}
