//! The filters that look at the data itself, as pictures.

use std::collections::HashSet;

use super::proto::summary;
use crate::{
    net::{Net, Param, Params},
    report::picture,
};

/// TensorBoard's number for it.
const RGBA: i32 = 4;
/// A filter is at least so many pixels wide, as far as whole pixels go.
const LEAST: usize = 24;
/// More pictures are not shown.
const MOST: usize = 1024;

/// The weights of convolutions that no layer with weights comes before, with their layers' names.
pub fn first<'a>(net: &'a Net, params: &'a Params) -> Vec<(&'a str, &'a Param)> {
    let mut untouched: HashSet<usize> = HashSet::new();
    let mut found = Vec::new();
    for layer in net.layers() {
        if !layer.bottoms.iter().all(|bottom| untouched.contains(bottom)) {
            continue;
        }
        let Some(&weights) = layer.params.first() else {
            untouched.extend(layer.tops);
            continue;
        };
        let kind = layer.kind.name.ends_with("Convolution") || layer.kind.name == "ConvolutionDepthwise";
        if kind && layer.kind.name != "Deconvolution" && params[weights].shape.len() == 4 {
            found.push((layer.config.name(), &params[weights]));
        }
    }
    found
}

/// Filters `N x C x H x W` side by side.
///
/// # Errors
/// When no PNG can be made of them.
pub fn picture(filters: &Param) -> Result<summary::Image, String> {
    let &[n, c, h, w] = &filters.shape[..] else { return Err("not N x C x H x W".into()) };
    let zoom = LEAST.div_ceil(w.max(h).max(1));
    let (encoded_image_string, [width, height]) = picture::filters(&filters.data, [n, c, h, w], MOST, zoom)?;
    Ok(summary::Image { height: height as i32, width: width as i32, colorspace: RGBA, encoded_image_string })
}
