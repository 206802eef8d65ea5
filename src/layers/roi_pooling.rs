//! `ROIPooling`: maxima of regions of a feature map.

use super::{
    Arity, Backward, Blob, Forward, Kind, Layer, LayerError, Outline, Reads, Setup,
    axes::{counted, make_room},
};
use crate::{
    config::proto::LayerParameter,
    kernels::regions::{RegionDims, Regions, Span, cut, largest, spread},
    tensor::Shape,
};

/// The row of `ROIPooling`.
pub const KIND: Kind = Kind {
    name: "ROIPooling",
    summary: "maxima of regions of a feature map, each on a grid",
    settings: &["roi_pooling_param"],
    bottoms: Arity::Exactly(2),
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The largest value of each window of a grid over each region; 0 where a window lies outside.
///
/// places of a region: from round(`spatial_scale` x1) to round(`spatial_scale` x2), both included and at least one, likewise downwards
/// window i of n, over a region of k places: from floor(i k / n) up to, but without, ceil((i + 1) k / n); windows may share places
/// dE/dx = sum of dE/dy of the windows whose first largest value it is
///
/// Shapes: bottoms `N x C x H x W` and `R x 5`: image, x1, y1, x2, y2; top `R x C x pooled_h x pooled_w`. Params: none. Gradient to
/// the regions: none.
/// Reference: Girshick 2015 (Fast R-CNN). Differs from its fork: a NaN spreads; an image that is not there is an error of the data;
/// the gradient reaches the places that a window takes beyond its region, as rounding and regions that end before they begin let it.
struct RoiPooling {
    scale: f32,
    backward: bool,
    images: usize,
    dims: RegionDims,
    /// Of each region.
    image: Vec<u32>,
    spans: Vec<Span>,
    /// Which place each window took.
    taken: Vec<u32>,
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.roi_pooling_param.unwrap_or_default();
    for (name, value) in [("pooled_h", param.pooled_h()), ("pooled_w", param.pooled_w())] {
        if value == 0 {
            let message = format!("{name} must be given and not 0");
            return Err(LayerError::setting(format!("roi_pooling_param.{name}"), message));
        }
    }
    let (rows, columns) = (param.pooled_h() as usize, param.pooled_w() as usize);
    Ok(Box::new(RoiPooling {
        scale: param.spatial_scale(),
        backward: setup.backward,
        images: 0,
        dims: RegionDims { rows, columns, ..RegionDims::default() },
        image: Vec::new(),
        spans: Vec::new(),
        taken: Vec::new(),
    }))
}

/// The farthest place that a region may name.
const FARTHEST: f32 = 1e9;

impl RoiPooling {
    /// Reads the regions.
    fn read(&mut self, regions: &Blob<'_>) -> Result<(), LayerError> {
        let RegionDims { height, width, rows, columns, .. } = self.dims;
        let all = regions.data.as_chunks::<5>().0.iter().zip(&mut self.image);
        for (number, ((region, image), spans)) in all.zip(self.spans.chunks_mut(rows + columns)).enumerate() {
            // Fractions are cut off, as in the fork.
            let whole = region[0].trunc();
            if !(whole >= 0.0 && whole < self.images as f32) {
                let (found, images) = (region[0], self.images);
                let message = format!("region {number} is of image {found}, but there are {images} images");
                return Err(LayerError::value(message));
            }
            *image = whole as u32;
            let corners = [1, 2, 3, 4].map(|i| (region[i] * self.scale).round());
            if let Some(at) = corners.iter().position(|place| place.is_nan() || place.abs() > FARTHEST) {
                let name = ["x1", "y1", "x2", "y2"][at];
                let message = format!("region {number} has no place: {name} is {}", region[at + 1]);
                return Err(LayerError::value(message));
            }
            let [x1, y1, x2, y2] = corners.map(|place| place as i64);
            let (down, across) = spans.split_at_mut(rows);
            cut(y1, y2, height, down);
            cut(x1, x2, width, across);
        }
        Ok(())
    }
}

impl Layer for RoiPooling {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [features, regions] = bottoms else { return Err(LayerError::shape("two bottoms are needed")) };
        let [images, channels, height, width] = features[..] else {
            let message = format!("features must be N x C x H x W, found {features}");
            return Err(LayerError::shape(message));
        };
        let count = match regions.first() {
            Some(&count) if regions.count_of(1..) == 5 => count,
            _ => return Err(LayerError::shape(format!("regions must be R x 5, found {regions}"))),
        };
        if height.checked_mul(width).is_none_or(|places| u32::try_from(places).is_err()) {
            return Err(LayerError::shape(format!("planes of {features} are too large")));
        }
        self.images = images;
        self.dims = RegionDims { channels, height, width, ..self.dims };
        let RegionDims { rows, columns, .. } = self.dims;
        let too_large =
            || LayerError::shape(format!("{count} regions of {rows} x {columns} windows are too large"));
        let top = counted(vec![count, channels, rows, columns]).ok_or_else(too_large)?;
        let spans = counted(vec![count, rows + columns]).ok_or_else(too_large)?;
        make_room(&mut self.image, count);
        make_room(&mut self.spans, spans.count());
        make_room(&mut self.taken, if self.backward { top.count() } else { 0 });
        Ok(Outline::of([top]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        self.read(&pass.bottoms[1])?;
        let regions = Regions { images: &self.image, spans: &self.spans };
        largest(&self.dims, pass.bottoms[0].data, regions, pass.tops[0].data, &mut self.taken);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            spread(&self.dims, pass.tops[0].diff, &self.image, &self.taken, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, refusal, top_shapes};

    const REGIONS: Values = Values::Given(&[
        0.0, 0.0, 0.0, 7.0, 5.0, //
        1.0, 2.0, -4.0, 13.0, 3.0, //
        1.0, 5.0, 4.0, 2.0, 9.0,
    ]);

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'ROIPooling' roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
            &[(&[2, 2, 4, 5], Values::Distinct), (&[3, 5], REGIONS)],
        ),
        Case::new(
            "type: 'ROIPooling' roi_pooling_param { pooled_h: 3 pooled_w: 7 }",
            &[(&[2, 1, 6, 6], Values::Distinct), (&[3, 5, 1, 1], REGIONS)],
        ),
    ];

    /// A plane of 4 x 6: 0 to 23.
    fn of(settings: &str, regions: &[f32]) -> Vec<f32> {
        let x: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let text = format!("type: 'ROIPooling' roi_pooling_param {{ {settings} }}");
        forward(&text, &[(&[1, 1, 4, 6], &x), (&[regions.len() / 5, 5], regions)]).remove(0)
    }

    #[test]
    fn regions_by_hand() {
        let two = "pooled_h: 2 pooled_w: 2";
        assert_eq!(of(two, &[0.0, 0.0, 0.0, 3.0, 3.0]), [7.0, 9.0, 19.0, 21.0]);
        // Five columns: the windows share the middle one.
        assert_eq!(of(two, &[0.9, 1.0, 2.0, 5.0, 2.0]), [15.0, 17.0, 15.0, 17.0]);
        // Halves are rounded away from 0; what lies outside is 0.
        let half = "pooled_h: 1 pooled_w: 2 spatial_scale: 0.5";
        assert_eq!(of(half, &[0.0, 1.0, 1.0, 5.0, 5.0]), [20.0, 21.0]);
        assert_eq!(of(half, &[0.0, 9.0, 0.0, 15.0, 0.0]), [5.0, 0.0]);
        // Ends before it begins: one place.
        assert_eq!(of(two, &[0.0, 3.0, 2.0, 1.0, 1.0]), [15.0; 4]);
        assert!(of(two, &[]).is_empty());
    }

    #[test]
    fn shapes_are_those_of_the_grid() {
        let text = "type: 'ROIPooling' roi_pooling_param { pooled_h: 2 pooled_w: 3 }";
        let tops = top_shapes(text, 1, &[&[2, 8, 9, 9], &[7, 5, 1, 1]]);
        assert_eq!(tops[0][..], [7, 8, 2, 3]);
    }

    #[test]
    fn bad_regions_are_an_error_of_the_data() {
        let text = "type: 'ROIPooling' roi_pooling_param { pooled_h: 1 pooled_w: 1 }";
        let failed = |region: [f32; 5]| {
            let regions = [[0.0; 5], region].concat();
            failure(text, &[(&[2, 1, 3, 3], &[0.0; 18]), (&[2, 5], &regions)])
        };
        for image in [2.0, -1.0, f32::NAN] {
            let want = format!("region 1 is of image {image}, but there are 2 images");
            assert_eq!(failed([image, 0.0, 0.0, 0.0, 0.0]), want);
        }
        assert_eq!(failed([0.0, 0.0, f32::NAN, 0.0, 0.0]), "region 1 has no place: y1 is NaN");
        assert_eq!(failed([0.0, 0.0, 0.0, 2e9, 0.0]), "region 1 has no place: x2 is 2000000000");
    }

    #[test]
    fn bad_settings_and_shapes_are_refused() {
        assert_eq!(
            refusal("type: 'ROIPooling'", &[&[1, 1, 2, 2], &[1, 5]]),
            "pooled_h must be given and not 0"
        );
        let text = "type: 'ROIPooling' roi_pooling_param { pooled_h: 2 pooled_w: 3 }";
        let features = refusal(text, &[&[1, 2, 2], &[1, 5]]);
        assert_eq!(features, "features must be N x C x H x W, found 1 x 2 x 2");
        assert_eq!(refusal(text, &[&[1, 1, 2, 2], &[5, 1]]), "regions must be R x 5, found 5 x 1");
        let many = "type: 'ROIPooling' roi_pooling_param { pooled_h: 4294967295 pooled_w: 4294967295 }";
        assert!(refusal(many, &[&[1, 1, 2, 2], &[1, 5]]).contains("too large"));
    }
}
