//! `PriorBox`: boxes around each place of a feature map.

use super::{Arity, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup};
use crate::{
    config::proto::{LayerParameter, PriorBoxParameter},
    kernels::parallel::{CHUNK, for_chunks_mut},
    tensor::Shape,
};

/// The row of `PriorBox`.
pub const KIND: Kind = Kind {
    name: "PriorBox",
    summary: "boxes around each place of a feature map, for a detector to move",
    settings: &["prior_box_param"],
    bottoms: Arity::Exactly(2),
    role: Role::Measure,
    no_gradient: &[0, 1],
    ..Kind::usual(from_config)
};

/// Boxes of some sizes and forms around each place of a feature map, in shares of the image that it was made of.
///
/// left, right = ((x + offset) step -+ width / 2) / width of the image       top, bottom likewise
/// width, height = m, m;  s, s with s = sqrt(m `max_size`);  m sqrt(r), m / sqrt(r) for each ratio r but 1; and so for each m =
/// `min_size`
///
/// Shapes: bottoms, of which only the sides count, `N x C x H x W` (features, image); top `1 x 2 x 4 H W boxes`: the corners of
/// all boxes, place by place, and behind them the variances of each. Params: none. Gradient: none.
/// Reference: Liu et al. 2016 (SSD). Differs from SSD's fork, whose sizes are whole pixels, too: ratios that are not above 0 are
/// refused.
struct PriorBox {
    settings: PriorBoxSettings,
    grid: Grid,
}

/// `prior_box_param`, checked. Of pairs the first is the height.
pub struct PriorBoxSettings {
    /// Width and height in pixels of the boxes at each place.
    sizes: Vec<[f32; 2]>,
    clip: bool,
    variance: [f32; 4],
    /// None: as the second bottom.
    image: Option<[u32; 2]>,
    /// None: as far as the image's sides go.
    step: Option<[f32; 2]>,
    offset: f32,
}

/// Where the boxes lie; heights and widths.
#[derive(Clone, Copy, Default)]
pub struct Grid {
    map: [usize; 2],
    image: [usize; 2],
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.prior_box_param.clone().unwrap_or_default();
    Ok(Box::new(PriorBox { settings: PriorBoxSettings::of(&param)?, grid: Grid::default() }))
}

fn setting(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("prior_box_param.{field}"), message)
}

/// Two numbers of a ratio that count as one.
fn alike(a: f32, b: f32) -> bool {
    f64::from((a - b).abs()) < 1e-6
}

impl PriorBoxSettings {
    /// Checks `prior_box_param`.
    ///
    /// # Errors
    /// For settings that no bottom fits.
    pub fn of(p: &PriorBoxParameter) -> Result<Self, LayerError> {
        Ok(Self {
            sizes: sizes(p)?,
            clip: p.clip(),
            variance: variance(&p.variance)?,
            image: pair(["img_size", "img_h", "img_w"], [p.img_size, p.img_h, p.img_w])?,
            step: pair(["step", "step_h", "step_w"], [p.step, p.step_h, p.step_w])?,
            offset: p.offset(),
        })
    }

    /// Where the boxes of these bottoms lie.
    ///
    /// # Errors
    /// When one has no sides.
    pub fn grid(&self, features: &Shape, image: &Shape) -> Result<Grid, LayerError> {
        let given = self.image.map(|sides| sides.map(|side| side as usize));
        let grid = Grid { map: sides(features)?, image: given.map_or_else(|| sides(image), Ok)? };
        if grid.map.contains(&0) || grid.image.contains(&0) {
            let message = format!("needs features and an image with places, found {features} and {image}");
            return Err(LayerError::shape(message));
        }
        Ok(grid)
    }

    /// The corners of all boxes, and then their variances.
    pub fn fill(&self, grid: &Grid, to: &mut [f32]) {
        let Grid { map, image } = *grid;
        let [step_y, step_x] = self.step.unwrap_or([0, 1].map(|i| image[i] as f32 / map[i] as f32));
        // The fork computes this in double precision.
        let edge = |centre: f32, size: f32, side: usize| {
            let share = ((f64::from(centre) + f64::from(size) / 2.0) / side as f64) as f32;
            if self.clip { share.clamp(0.0, 1.0) } else { share }
        };
        let (boxes, variances) = to.split_at_mut(to.len() / 2);
        let place = 4 * self.sizes.len();
        for_chunks_mut(boxes, (CHUNK / place).max(1) * place, |start, boxes| {
            for (at, boxes) in (start / place..).zip(boxes.chunks_exact_mut(place)) {
                let x = ((at % map[1]) as f32 + self.offset) * step_x;
                let y = ((at / map[1]) as f32 + self.offset) * step_y;
                for (corners, &[width, height]) in boxes.as_chunks_mut::<4>().0.iter_mut().zip(&self.sizes) {
                    *corners = [
                        edge(x, -width, image[1]),
                        edge(y, -height, image[0]),
                        edge(x, width, image[1]),
                        edge(y, height, image[0]),
                    ];
                }
            }
        });
        variances.as_chunks_mut::<4>().0.fill(self.variance);
    }
}

/// Width and height of the boxes at a place.
fn sizes(p: &PriorBoxParameter) -> Result<Vec<[f32; 2]>, LayerError> {
    let (least, largest) = (&p.min_size, &p.max_size);
    if least.is_empty() {
        return Err(setting("min_size", "min_size must be given"));
    }
    if !largest.is_empty() && largest.len() != least.len() {
        let message = format!(
            "give max_size for each min_size or for none: found {} for {}",
            largest.len(),
            least.len()
        );
        return Err(setting("max_size", message));
    }
    let ratios = ratios(p)?;
    let mut sizes = Vec::new();
    for (i, &min_size) in least.iter().enumerate() {
        let side = pixels("min_size", min_size)?;
        sizes.push([side as f32; 2]);
        if let Some(&max_size) = largest.get(i) {
            if max_size <= min_size {
                let message = format!("max_size must be above its min_size {min_size}, found {max_size}");
                return Err(setting("max_size", message));
            }
            sizes.push([(side * pixels("max_size", max_size)?).sqrt() as f32; 2]);
        }
        let formed = ratios.iter().map(|&ratio| f64::from(ratio).sqrt());
        sizes.extend(formed.map(|root| [(side * root) as f32, (side / root) as f32]));
    }
    Ok(sizes)
}

/// A size in whole pixels, as the fork cuts it.
fn pixels(field: &str, size: f32) -> Result<f64, LayerError> {
    if size > 0.0 && size < i32::MAX as f32 {
        return Ok(f64::from(size.trunc()));
    }
    Err(setting(field, format!("{field} must be above 0 and below 2^31, found {size}")))
}

/// The ratios of width and height, but for 1.
fn ratios(p: &PriorBoxParameter) -> Result<Vec<f32>, LayerError> {
    let mut all = vec![1.0];
    for &ratio in &p.aspect_ratio {
        if !(ratio > 0.0 && ratio.is_finite()) {
            return Err(setting("aspect_ratio", format!("aspect_ratio must be above 0, found {ratio}")));
        }
        if !all.iter().any(|&known| alike(ratio, known)) {
            all.push(ratio);
            if p.flip() {
                all.push((1.0 / f64::from(ratio)) as f32);
            }
        }
    }
    all.retain(|&ratio| !alike(ratio, 1.0));
    Ok(all)
}

fn variance(given: &[f32]) -> Result<[f32; 4], LayerError> {
    if let Some(low) = given.iter().find(|&&v| v <= 0.0 || v.is_nan()) {
        return Err(setting("variance", format!("variance must be above 0, found {low}")));
    }
    match *given {
        [] => Ok([0.1; 4]),
        [all] => Ok([all; 4]),
        [a, b, c, d] => Ok([a, b, c, d]),
        _ => Err(setting("variance", format!("give variance once or four times, not {}", given.len()))),
    }
}

/// Height and width as given by one of the fields: both at once, or each.
fn pair<T: Copy + Into<f64>>(
    names: [&str; 3],
    [both, height, width]: [Option<T>; 3],
) -> Result<Option<[T; 2]>, LayerError> {
    let [both_name, height_name, width_name] = names;
    for (name, value) in names.into_iter().zip([both, height, width]) {
        if let Some(value) = value.map(Into::<f64>::into)
            && !(value > 0.0 && value.is_finite())
        {
            return Err(setting(name, format!("{name} must be above 0, found {value}")));
        }
    }
    match (both, height, width) {
        (None, None, None) => Ok(None),
        (Some(both), None, None) => Ok(Some([both; 2])),
        (None, Some(height), Some(width)) => Ok(Some([height, width])),
        _ => {
            let message = format!("give {both_name} alone, or {height_name} and {width_name}");
            Err(setting(if both.is_some() { both_name } else { height_name }, message))
        }
    }
}

/// Height and width of a blob; axes that it lacks are 1, as in Caffe.
fn sides(shape: &Shape) -> Result<[usize; 2], LayerError> {
    if shape.len() > 4 {
        let message = format!("needs bottoms of four axes (N x C x H x W), found {shape}");
        return Err(LayerError::shape(message));
    }
    Ok([2, 3].map(|axis| shape.get(axis).copied().unwrap_or(1)))
}

impl Layer for PriorBox {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [features, image] = bottoms else { return Err(LayerError::shape("two bottoms are needed")) };
        self.grid = self.settings.grid(features, image)?;
        let ([height, width], boxes) = (self.grid.map, self.settings.sizes.len());
        if Shape::from([height, width, boxes, 8]).checked_count().is_none() {
            let message = format!("{boxes} boxes at each place of {features} are too large");
            return Err(LayerError::shape(message));
        }
        Ok(Outline::of([[1, 2, height * width * boxes * 4].into()]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        self.settings.fill(&self.grid, pass.tops[0].data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{forward, refusal, top_shapes};

    fn text(settings: &str) -> String {
        format!("type: 'PriorBox' prior_box_param {{ {settings} }}")
    }

    /// The boxes and variances of features 1 high and 2 wide over an image of 100 by 200.
    fn of(settings: &str) -> Vec<f32> {
        let image = vec![0.0; 100 * 200];
        forward(&text(settings), &[(&[1, 1, 1, 2], &[0.0; 2]), (&[1, 1, 100, 200], &image)]).remove(0)
    }

    #[test]
    fn boxes_by_hand() {
        let all = of("min_size: 20.7 max_size: 80 aspect_ratio: 4 variance: [0.1, 0.1, 0.2, 0.2]");
        let first = [
            [0.2, 0.4, 0.3, 0.6],
            [0.15, 0.3, 0.35, 0.7],
            [0.15, 0.45, 0.35, 0.55],
            [0.225, 0.3, 0.275, 0.7],
        ];
        let second = first.map(|[l, t, r, b]| [l + 0.5, t, r + 0.5, b]);
        let want = [first, second].concat().concat();
        assert!(all[..32].iter().zip(&want).all(|(a, b): (&f32, &f32)| (a - b).abs() < 1e-6), "{all:?}");
        assert_eq!(all[32..], [0.1, 0.1, 0.2, 0.2].repeat(8));
    }

    #[test]
    fn ratios_count_once() {
        let count = |settings: &str| {
            let shapes = top_shapes(&text(settings), 1, &[&[1, 8, 3, 5], &[1, 3, 30, 50]]);
            assert_eq!(shapes[0][..2], [1, 2]);
            shapes[0][2] / (3 * 5 * 4)
        };
        assert_eq!(count("min_size: 5"), 1);
        assert_eq!(count("min_size: 5 aspect_ratio: [1, 2, 0.5, 2, 3]"), 5);
        assert_eq!(count("min_size: 5 aspect_ratio: [1, 2, 0.5, 3] flip: false"), 4);
        assert_eq!(count("min_size: [5, 9] max_size: [7, 11] aspect_ratio: 2"), 8);
    }

    #[test]
    fn steps_sides_and_cuts() {
        // Centres at 0 and 4 of an image 8 wide and 16 high.
        let all = of("min_size: 4 img_h: 16 img_w: 8 step: 4 offset: 0 variance: 0.5");
        assert_eq!(all[..8], [-0.25, -0.125, 0.25, 0.125, 0.25, -0.125, 0.75, 0.125]);
        assert_eq!(all[8..], [0.5; 8]);
        let cut = of("min_size: 4 img_h: 16 img_w: 8 step_h: 1 step_w: 4 offset: 0 clip: true");
        assert_eq!(cut[..8], [0.0, 0.0, 0.25, 0.125, 0.25, 0.0, 0.75, 0.125]);
        assert_eq!(cut[8..], [0.1; 8]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let shapes: [&[usize]; 2] = [&[1, 1, 2, 2], &[1, 1, 8, 8]];
        for (settings, want) in [
            ("", "min_size must be given"),
            ("min_size: -1", "min_size must be above 0 and below 2^31, found -1"),
            ("min_size: 5 max_size: 5", "max_size must be above its min_size 5, found 5"),
            ("min_size: 5 max_size: [7, 8]", "give max_size for each min_size or for none: found 2 for 1"),
            ("min_size: 5 aspect_ratio: 0", "aspect_ratio must be above 0, found 0"),
            ("min_size: 5 variance: 0", "variance must be above 0, found 0"),
            ("min_size: 5 variance: [1, 1]", "give variance once or four times, not 2"),
            ("min_size: 5 img_size: 0", "img_size must be above 0, found 0"),
            ("min_size: 5 img_h: 3", "give img_size alone, or img_h and img_w"),
            ("min_size: 5 step: 3 step_w: 3", "give step alone, or step_h and step_w"),
            ("min_size: 5 step: -1", "step must be above 0, found -1"),
        ] {
            assert_eq!(refusal(&text(settings), &shapes), want, "{settings}");
        }
    }

    #[test]
    fn bad_shapes_are_refused() {
        let refused = |features: &[usize], image: &[usize]| refusal(&text("min_size: 5"), &[features, image]);
        let empty = refused(&[1, 1, 0, 2], &[1, 1, 8, 8]);
        assert_eq!(empty, "needs features and an image with places, found 1 x 1 x 0 x 2 and 1 x 1 x 8 x 8");
        assert!(refused(&[1, 1, 2, 2, 2], &[1, 1, 8, 8]).contains("needs bottoms of four axes"));
        assert!(refused(&[1, 1, 1 << 22, 1 << 22], &[1, 1, 8, 8]).contains("too large"));
    }
}
