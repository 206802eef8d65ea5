//! `DetectionOutput`: what a detector has found.

use super::{Arity, Blob, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup, axes::make_room};
use crate::{
    config::proto::{DetectionOutputParameter, LayerParameter, prior_box_parameter::CodeType},
    kernels::{
        boxes::{Code, Column, Corners, Thinning, cut_to_best, decode, thin},
        parallel::{CHUNK, for_chunks_mut, for_parts_mut},
    },
    tensor::Shape,
};

/// The row of `DetectionOutput`.
pub const KIND: Kind = Kind {
    name: "DetectionOutput",
    summary: "what a detector has found: boxes with labels and scores",
    settings: &["detection_output_param"],
    bottoms: Arity::Between(3, 4),
    role: Role::Measure,
    no_gradient: &[0, 1, 2, 3],
    shaped_by_values: true,
    ..Kind::usual(from_config)
};

/// Of all priors, moved as the first bottom says, those boxes of each class but the background that the second scores best and that
/// overlap no better one of their class by more than `nms_threshold`.
///
/// CORNER: left = l + v t, and so top, right and bottom
/// CORNER_SIZE: left = l + v t w, and so top, right and bottom
/// CENTER_SIZE: centre = c + v t w, width = w exp(v t), and so downwards
/// with t what is told, v its variance (1 with `variance_encoded_in_target`), and l, c, w left, centre and width of the prior
///
/// Of each class the `top_k` best above `confidence_threshold` are looked at; of each image the `keep_top_k` best stay. Of equal
/// scores the first counts as better.
/// With neither of the two every box of a class is compared with all that stay.
///
/// Shapes: bottoms `N x 4 P` (or `4 P C`, unless classes share their boxes), `N x P C` and `1 x 2 x 4 P`, for P priors and C
/// classes; a fourth, the images, is of no use. Top `1 x 1 x M x 7`, whose M changes from pass to pass: image, label, score,
/// left, top, right, bottom; by image, then label, best first. With nothing in the whole batch a row for each image, whose
/// label and all behind is -1. Params: none. Gradient: none.
/// Reference: Liu et al. 2016 (SSD). Differs from SSD's fork: no files are written and nothing is shown; `background_label_id:
/// -1` works, also with `share_location`.
struct DetectionOutput {
    settings: Settings,
    dims: Dims,
    /// Of one image: boxes by prior and class, as they are told.
    boxes: Vec<Corners>,
    /// Of one image: for each class the numbers of the priors that are kept, and how many those are.
    kept: Vec<u32>,
    counts: Vec<u32>,
    /// What the pass has found.
    rows: Vec<f32>,
}

/// `detection_output_param`, checked.
struct Settings {
    classes: usize,
    shared: bool,
    /// The class that is nothing, if there is one.
    background: Option<usize>,
    thinning: Thinning,
    /// The most boxes of an image.
    most: usize,
    code: Code,
    /// Whether variances are in what is told already.
    encoded: bool,
}

#[derive(Clone, Copy, Default)]
struct Dims {
    images: usize,
    priors: usize,
    /// Boxes that are told for a prior.
    told: usize,
    /// The most boxes of a class.
    room: usize,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.detection_output_param.clone().unwrap_or_default();
    Ok(Box::new(DetectionOutput {
        settings: Settings::of(&param)?,
        dims: Dims::default(),
        boxes: Vec::new(),
        kept: Vec::new(),
        counts: Vec::new(),
        rows: Vec::new(),
    }))
}

fn setting(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("detection_output_param.{field}"), message)
}

impl Settings {
    fn of(p: &DetectionOutputParameter) -> Result<Self, LayerError> {
        refuse_files(p)?;
        let Some(classes) = p.num_classes.filter(|&n| n > 0) else {
            return Err(setting("num_classes", "num_classes must be given and not 0"));
        };
        let suppression = p.nms_param.unwrap_or_default();
        if suppression.soft_nms() {
            return Err(setting("nms_param.soft_nms", "soft_nms is not supported: boxes stay or go"));
        }
        let (overlap, eta) = (suppression.nms_threshold(), suppression.eta());
        if !(overlap >= 0.0 && overlap.is_finite()) {
            let message = format!("nms_threshold must be 0 or more, found {overlap}");
            return Err(setting("nms_param.nms_threshold", message));
        }
        if !(eta > 0.0 && eta <= 1.0) {
            return Err(setting("nms_param.eta", format!("eta must be above 0 and at most 1, found {eta}")));
        }
        // Below 0 is without end.
        let most = |k: i32| usize::try_from(k).unwrap_or(usize::MAX);
        Ok(Self {
            classes: classes as usize,
            shared: p.share_location(),
            background: usize::try_from(p.background_label_id()).ok(),
            thinning: Thinning {
                score: p.confidence_threshold.unwrap_or(f32::MIN),
                candidates: suppression.top_k.map_or(usize::MAX, most),
                overlap,
                eta,
            },
            most: most(p.keep_top_k()),
            code: match p.code_type() {
                CodeType::Corner => Code::Corner,
                CodeType::CenterSize => Code::CenterSize,
                CodeType::CornerSize => Code::CornerSize,
            },
            encoded: p.variance_encoded_in_target(),
        })
    }
}

/// What the fork writes beside its top.
fn refuse_files(p: &DetectionOutputParameter) -> Result<(), LayerError> {
    let save = p.save_output_param.clone().unwrap_or_default();
    // The fork saves nothing where one of them is missing.
    let files = [save.output_directory(), save.label_map_file(), save.name_size_file()];
    if files.iter().all(|file| !file.is_empty()) {
        let message = "detections are not saved as VOC or COCO files: leave save_output_param out; `cnnctl run` writes the top";
        return Err(setting("save_output_param", message));
    }
    if p.visualize() {
        return Err(setting("visualize", "detections are not shown: leave visualize out"));
    }
    Ok(())
}

impl Layer for DetectionOutput {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [told, scores, priors, ..] = bottoms else {
            return Err(LayerError::shape("three bottoms are needed"));
        };
        let count = match priors[..] {
            [1, 2, corners] | [1, 2, corners, 1] if corners % 4 == 0 => corners / 4,
            _ => return Err(LayerError::shape(format!("priors must be 1 x 2 x 4 P, found {priors}"))),
        };
        let Settings { classes, shared, .. } = self.settings;
        let each = if shared { 1 } else { classes };
        for (bottom, what, values) in [(told, "numbers of boxes", 4 * each), (scores, "scores", classes)] {
            let found = bottom.get(1..).map(|sides| Shape::from(sides).count());
            if found != count.checked_mul(values) || bottom.first() != scores.first() {
                let message = format!(
                    "{count} priors and {classes} classes need N x {} {what}, found {bottom}; the other is {}",
                    count.saturating_mul(values),
                    if what == "scores" { told } else { scores },
                );
                return Err(LayerError::shape(message));
            }
        }
        let room = count.min(self.settings.thinning.candidates).min(self.settings.most);
        if u32::try_from(classes.saturating_mul(count)).is_err() {
            return Err(LayerError::shape(format!("{count} priors of {classes} classes are too large")));
        }
        self.dims = Dims { images: told[0], priors: count, told: each, room };
        make_room(&mut self.boxes, count * each);
        make_room(&mut self.kept, classes * room);
        make_room(&mut self.counts, if count == 0 { 0 } else { classes });
        Ok(Outline::of([[1, 1, 1, 7].into()]).reads(Reads::NOTHING))
    }

    /// Finds all that there is: only then the shape is known.
    fn shapes_now(&mut self, bottoms: &[Blob<'_>]) -> Result<Option<Vec<Shape>>, LayerError> {
        let [told, scores, priors, ..] = bottoms else { return Ok(None) };
        let (priors, variances) = priors.data.split_at(4 * self.dims.priors);
        let (priors, variances) = (priors.as_chunks().0, variances.as_chunks().0);
        self.check(priors)?;
        self.rows.clear();
        let Dims { images, priors: count, told: each, .. } = self.dims;
        for image in 0..images {
            self.decode(told.data[image * count * each * 4..].as_chunks().0, priors, variances);
            self.find(image, &scores.data[image * count * self.settings.classes..]);
        }
        if self.rows.is_empty() {
            let nothing = (0..images).flat_map(|image| [image as f32, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]);
            self.rows.extend(nothing);
        }
        Ok(Some(vec![[1, 1, self.rows.len() / 7, 7].into()]))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        pass.tops[0].data.copy_from_slice(&self.rows);
        Ok(())
    }
}

impl DetectionOutput {
    /// Codes by sides need priors that have some.
    fn check(&self, priors: &[Corners]) -> Result<(), LayerError> {
        let wide = |p: &Corners| p[2] > p[0] && p[3] > p[1];
        match priors.iter().position(|p| self.settings.code != Code::Corner && !wide(p)) {
            Some(at) => {
                let message = format!("prior {at} has no width or no height: {:?}", priors[at]);
                Err(LayerError::value(message))
            }
            None => Ok(()),
        }
    }

    /// The boxes of an image.
    fn decode(&mut self, told: &[Corners], priors: &[Corners], variances: &[Corners]) {
        let (Settings { code, encoded, .. }, each) = (&self.settings, self.dims.told);
        for_chunks_mut(&mut self.boxes, CHUNK / 4, |start, boxes| {
            for (at, to) in (start..).zip(boxes) {
                let prior = at / each;
                let variance = if *encoded { [1.0; 4] } else { variances[prior] };
                *to = decode(*code, priors[prior], variance, told[at]);
            }
        });
    }

    /// Adds the rows of an image.
    fn find(&mut self, image: usize, scores: &[f32]) {
        let Self { settings, dims, boxes, kept, counts, rows } = self;
        let (classes, shared, room, boxes) = (settings.classes, settings.shared, dims.room, &boxes[..]);
        let column = |class: usize| Column { values: scores, first: class, step: classes };
        let places =
            |class: usize| Column { values: boxes, first: if shared { 0 } else { class }, step: dims.told };
        counts.fill(0);
        for_parts_mut(kept, room, counts, 1, |class, kept, count| {
            if settings.background != Some(class) {
                let found = thin(places(class), column(class), dims.priors, &settings.thinning, kept);
                count[0] = found as u32;
            }
        });
        let number = |class: usize, i: usize| kept[class * room + i] as usize;
        cut_to_best(counts, room, settings.most, |class, i| *column(class).at(number(class, i)));
        for (class, &count) in counts.iter().enumerate() {
            for i in 0..count as usize {
                let prior = number(class, i);
                rows.extend([image as f32, class as f32, *column(class).at(prior)]);
                rows.extend(places(class).at(prior));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::gradient_check::{config, forward, forward_with, refusal, top_shapes};

    fn text(settings: &str) -> String {
        format!("type: 'DetectionOutput' detection_output_param {{ {settings} }}")
    }

    /// Three priors side by side, half as wide as the image is wide.
    const PRIORS: [f32; 24] = [
        0.0, 0.0, 0.5, 1.0, 0.05, 0.0, 0.55, 1.0, 0.5, 0.0, 1.0, 1.0, //
        0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2, 0.2,
    ];

    /// Rows found in images whose boxes are those of the priors.
    fn found(settings: &str, scores: &[f32]) -> Vec<Vec<f32>> {
        let images = scores.len() / 9;
        let bottoms: [(&[usize], &[f32]); 3] =
            [(&[images, 12], &vec![0.0; 12 * images]), (&[images, 9], scores), (&[1, 2, 12], &PRIORS)];
        let rows = forward(&text(&format!("num_classes: 3 {settings}")), &bottoms).remove(0);
        rows.chunks(7).map(<[f32]>::to_vec).collect()
    }

    const SCORES: [f32; 9] = [0.9, 0.1, 0.3, 0.8, 0.2, 0.6, 0.7, 0.4, 0.5];

    #[test]
    fn the_best_of_each_class_are_found() {
        let row = |class: f32, score: f32, left: f32| vec![0.0, class, score, left, 0.0, left + 0.5, 1.0];
        let all = found("nms_param { nms_threshold: 0.45 }", &SCORES);
        let (first, second) = (row(1.0, 0.4, 0.5), row(1.0, 0.2, 0.05));
        assert_eq!(all, [first.clone(), second, row(2.0, 0.6, 0.05), row(2.0, 0.5, 0.5)]);
        let two = "nms_param { nms_threshold: 0.45 } keep_top_k: 3";
        assert_eq!(found(two, &SCORES), [first.clone(), row(2.0, 0.6, 0.05), row(2.0, 0.5, 0.5)]);
        assert_eq!(found("nms_param { top_k: 1 } confidence_threshold: 0.4", &SCORES), [row(2.0, 0.6, 0.05)]);
        let background = found("background_label_id: 2 nms_param { top_k: 1 } keep_top_k: 1", &SCORES);
        assert_eq!(background, [row(0.0, 0.9, 0.0)]);
        assert_eq!(found("background_label_id: -1 nms_param { top_k: 1 }", &SCORES).len(), 3);
    }

    #[test]
    fn images_follow_each_other_and_nothing_is_a_row() {
        let scores = [&[0.0; 9][..], &SCORES].concat();
        let rows = found("confidence_threshold: 0.45 nms_param { top_k: 1 }", &scores);
        assert_eq!(rows, [[1.0, 2.0, 0.6, 0.05, 0.0, 0.55, 1.0]]);
        let nothing = found("confidence_threshold: 2", &scores);
        assert_eq!(nothing, [0.0, 1.0].map(|image| [&[image][..], &[-1.0; 6]].concat()));
        assert_eq!(found("keep_top_k: 0", &SCORES), [[&[0.0][..], &[-1.0; 6]].concat()]);
    }

    #[test]
    fn classes_may_have_boxes_of_their_own() {
        // One prior; the boxes of two classes; the background's tell nothing of use.
        let told = [f32::NAN, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let bottoms: [(&[usize], &[f32]); 3] = [
            (&[1, 8], &told),
            (&[1, 2], &[0.1, 0.9]),
            (&[1, 2, 4, 1], &[0.25, 0.25, 0.5, 0.75, 0.1, 0.1, 0.1, 0.1]),
        ];
        let of = |settings: &str| {
            forward(&text(&format!("num_classes: 2 share_location: false {settings}")), &bottoms).remove(0)
        };
        assert_eq!(of("variance_encoded_in_target: true"), [0.0, 1.0, 0.9, 1.25, 1.25, 1.5, 1.75]);
        assert_eq!(of("")[3..], [0.35, 0.35, 0.6, 0.85]);
        let sized = &of("code_type: CORNER_SIZE variance_encoded_in_target: true")[3..];
        assert_eq!(sized, [0.5, 0.75, 0.75, 1.25]);
        let centred = &of("code_type: CENTER_SIZE variance_encoded_in_target: true")[3..];
        let e = std::f32::consts::E / 2.0;
        let want = [0.625 - e * 0.25, 1.0 - e * 0.5, 0.625 + e * 0.25, 1.0 + e * 0.5];
        assert!(centred.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{centred:?}");
    }

    #[test]
    fn priors_without_sides_are_an_error_of_the_data() {
        let config = config(&text("num_classes: 3 code_type: CENTER_SIZE"));
        let setup = Setup { phase: crate::config::proto::Phase::Test, seed: 1, backward: false };
        let mut layer = from_config(&config, &setup).unwrap();
        let shapes: [Shape; 3] = [[1, 12].into(), [1, 9].into(), [1, 2, 12].into()];
        layer.outline(&shapes).unwrap();
        let mut priors = PRIORS;
        priors[6] = 0.05;
        let data: [&[f32]; 3] = [&[0.0; 12], &SCORES, &priors];
        let bottoms: Vec<Blob<'_>> =
            shapes.iter().zip(data).map(|(shape, data)| Blob { shape, data }).collect();
        let error = layer.shapes_now(&bottoms).unwrap_err().to_string();
        assert_eq!(error, "prior 1 has no width or no height: [0.05, 0.0, 0.05, 1.0]");
    }

    #[test]
    fn no_priors_and_no_images_find_nothing() {
        let none: [(&[usize], &[f32]); 3] = [(&[1, 0], &[]), (&[1, 0], &[]), (&[1, 2, 0], &[])];
        assert_eq!(forward(&text("num_classes: 3"), &none)[0], [0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]);
        let none: [(&[usize], &[f32]); 3] = [(&[0, 12], &[]), (&[0, 9], &[]), (&[1, 2, 12], &PRIORS)];
        assert!(forward(&text("num_classes: 3"), &none)[0].is_empty());
    }

    #[test]
    fn what_asks_for_nothing_is_accepted() {
        let asks = "num_classes: 3 visualize: false nms_param { soft_nms: false theta: 0.5 }
                    save_output_param { output_directory: '' label_map_file: 'a' name_size_file: 'b' }";
        let shapes: [&[usize]; 4] = [&[2, 12, 1, 1], &[2, 9], &[1, 2, 12], &[2, 3, 8, 8]];
        assert_eq!(top_shapes(&text(asks), 1, &shapes)[0][..], [1, 1, 1, 7]);
        let zeros = [vec![0.0; 24], vec![0.0; 18], PRIORS.to_vec(), vec![0.0; 384]];
        let bottoms: Vec<(&[usize], &[f32])> = shapes.into_iter().zip(zeros.iter().map(|z| &z[..])).collect();
        assert_eq!(forward_with(&text(asks), 1, &bottoms, &[])[0].len(), 2 * 2 * 2 * 7);
    }

    #[test]
    fn bad_input_is_refused() {
        let shapes: [&[usize]; 3] = [&[2, 12], &[2, 9], &[1, 2, 12]];
        let refused = |settings: &str| refusal(&text(settings), &shapes);
        assert_eq!(refused(""), "num_classes must be given and not 0");
        let low = refused("num_classes: 3 nms_param { nms_threshold: -1 }");
        assert_eq!(low, "nms_threshold must be 0 or more, found -1");
        let eta = refused("num_classes: 3 nms_param { eta: 0 }");
        assert_eq!(eta, "eta must be above 0 and at most 1, found 0");
        assert!(refused("num_classes: 3 nms_param { soft_nms: true }").contains("soft_nms"));
        assert!(refused("num_classes: 3 visualize: true").contains("visualize"));
        let save = "save_output_param { output_directory: 'o' label_map_file: 'a' name_size_file: 'b' }";
        assert!(refused(&format!("num_classes: 3 {save}")).contains("leave save_output_param out"));
        assert_eq!(
            refused("num_classes: 4"),
            "3 priors and 4 classes need N x 12 scores, found 2 x 9; the other is 2 x 12"
        );
        let priors = refusal(&text("num_classes: 3"), &[&[2, 12], &[2, 9], &[1, 1, 24]]);
        assert_eq!(priors, "priors must be 1 x 2 x 4 P, found 1 x 1 x 24");
        let images = refusal(&text("num_classes: 3"), &[&[1, 12], &[2, 9], &[1, 2, 12]]);
        assert!(images.contains("found 1 x 12; the other is 2 x 9"), "{images}");
    }
}
