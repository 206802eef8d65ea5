//! Checks every layer's gradient against differences of its own forward pass, and runs layers in unit tests.
//!
//! Each layer's row carries [`Case`]s: a prototxt, shapes, and values that stay clear of kinks. The objective is
//! the sum of the tops times fixed weights; step and tolerance live here, once.

pub use super::gradient_case::{Case, Values};
use super::{
    Backward, Blob, BlobMut, Forward, Layer, Outline, Role, Setup, TopDiff, gradient_case::STEP, kind,
};
use crate::{
    config::proto::{LayerParameter, Phase},
    kernels::random::Draw,
    tensor::Shape,
};

/// Largest error, absolute below 1 and relative above.
const TOLERANCE: f64 = 2e-3;

/// A layer with everything that a net would lend it.
struct Bench {
    config: LayerParameter,
    phase: Phase,
    layer: Box<dyn Layer>,
    outline: Outline,
    bottoms: Vec<(Shape, Vec<f32>)>,
    params: Vec<Vec<f32>>,
    state: Vec<Vec<f32>>,
    tops: Vec<Vec<f32>>,
}

/// The gradients of one backward pass.
struct Gradients {
    bottoms: Vec<Option<Vec<f32>>>,
    params: Vec<Vec<f32>>,
}

impl Bench {
    fn new(text: &str, phase: Phase, tops: usize, bottoms: Vec<(Shape, Vec<f32>)>) -> Self {
        let mut config = config(text);
        config.name = Some("layer".into());
        config.bottom = (0..bottoms.len()).map(|i| format!("bottom{i}")).collect();
        config.top = (0..tops).map(|i| format!("top{i}")).collect();
        let layer = build(&config, phase).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut bench = Self {
            config,
            phase,
            layer,
            outline: Outline::default(),
            bottoms,
            params: vec![],
            state: vec![],
            tops: vec![],
        };
        bench.rebuild();
        let (learned, state): (Vec<_>, Vec<_>) = bench.outline.params.iter().partition(|p| p.learned);
        let mut rng = Draw::new(1, "params", 0).rng(0);
        bench.params = learned.iter().map(|p| Values::Any.draw(p.shape.count(), &mut rng)).collect();
        bench.state = state.iter().map(|p| vec![0.0; p.shape.count()]).collect();
        bench
    }

    /// A fresh layer: nothing is carried over from an earlier pass.
    fn rebuild(&mut self) {
        self.layer = build(&self.config, self.phase).unwrap();
        let shapes: Vec<Shape> = self.bottoms.iter().map(|(s, _)| s.clone()).collect();
        self.outline =
            self.layer.outline(&shapes).unwrap_or_else(|e| panic!("{:?}: {e}", self.config.r#type));
        let blobs: Vec<Blob> = self.bottoms.iter().map(|(shape, data)| Blob { shape, data }).collect();
        if let Some(shapes) = self.layer.shapes_now(&blobs).expect("no sample is read") {
            self.outline.tops = shapes;
        }
    }

    fn forward(&mut self) {
        self.try_forward().unwrap_or_else(|e| panic!("{:?}: {e}", self.config.r#type));
    }

    fn try_forward(&mut self) -> Result<(), super::LayerError> {
        if self.outline.alias {
            self.tops = self.outline.tops.iter().map(|_| self.bottoms[0].1.clone()).collect();
            return Ok(());
        }
        self.tops = self.outline.tops.iter().map(|s| vec![f32::NAN; s.count()]).collect();
        let mut state = self.state.clone();
        let mut tops: Vec<BlobMut> = (self.tops.iter_mut().zip(&self.outline.tops))
            .map(|(data, shape)| BlobMut { shape, data })
            .collect();
        self.layer.forward(&mut Forward {
            phase: self.phase,
            draw: Draw::new(1, "layer", 0),
            params: &self.params.iter().map(|p| &p[..]).collect::<Vec<_>>(),
            state: &mut state.iter_mut().map(|s| &mut s[..]).collect::<Vec<_>>(),
            bottoms: &self.bottoms.iter().map(|(shape, data)| Blob { shape, data }).collect::<Vec<_>>(),
            tops: &mut tops,
            workspace: &mut vec![f32::NAN; self.outline.workspace],
        })
    }

    fn backward(&mut self, top_diffs: &[Vec<f32>], kind: &super::Kind) -> Gradients {
        let reads = self.outline.reads;
        let bottoms = self.bottoms.len();
        let wanted = |i: usize| kind.takes_gradient(i, bottoms);
        // Bottom diffs start as garbage, since they must be overwritten; parameter diffs as 1, to be added to.
        let mut bottoms: Vec<Option<Vec<f32>>> = self
            .bottoms
            .iter()
            .enumerate()
            .map(|(i, (_, d))| wanted(i).then(|| vec![f32::NAN; d.len()]))
            .collect();
        let mut params: Vec<Vec<f32>> = self.params.iter().map(|p| vec![1.0; p.len()]).collect();
        self.layer.backward(&mut Backward {
            params: &self.params.iter().map(|p| &p[..]).collect::<Vec<_>>(),
            param_diffs: &mut params.iter_mut().map(|p| Some(&mut p[..])).collect::<Vec<_>>(),
            state: &self.state.iter().map(|s| &s[..]).collect::<Vec<_>>(),
            bottoms: &(self.bottoms.iter())
                .map(|(shape, data)| Blob { shape, data: if reads.bottoms { data } else { &[] } })
                .collect::<Vec<_>>(),
            tops: &(self.outline.tops.iter().zip(&self.tops).zip(top_diffs))
                .map(|((shape, data), diff)| TopDiff {
                    shape,
                    data: if reads.tops { data } else { &[] },
                    diff,
                })
                .collect::<Vec<_>>(),
            bottom_diffs: &mut bottoms.iter_mut().map(|d| d.as_deref_mut()).collect::<Vec<_>>(),
            workspace: &mut vec![f32::NAN; self.outline.workspace],
        });
        params.iter_mut().flatten().for_each(|d| *d -= 1.0);
        Gradients { bottoms, params }
    }

    /// The objective after a forward pass of a fresh layer.
    fn objective(&mut self, weights: &[Vec<f32>]) -> f64 {
        self.rebuild();
        self.forward();
        let terms = self.tops.iter().flatten().zip(weights.iter().flatten());
        terms.map(|(&t, &w)| f64::from(t) * f64::from(w)).sum()
    }
}

/// The `LayerParameter` in a text.
pub fn config(text: &str) -> LayerParameter {
    use prost::Message as _;
    let pool = prost_reflect::DescriptorPool::decode(crate::config::proto::DESCRIPTORS).unwrap();
    let message = pool.get_message_by_name("caffe.LayerParameter").unwrap();
    let parsed =
        prost_reflect::DynamicMessage::parse_text_format(message, text).unwrap_or_else(|e| panic!("{e}"));
    LayerParameter::decode(&parsed.encode_to_vec()[..]).unwrap()
}

fn build(config: &LayerParameter, phase: Phase) -> Result<Box<dyn Layer>, super::LayerError> {
    let kind = kind(config.r#type()).unwrap_or_else(|| panic!("no layer type {}", config.r#type()));
    (kind.build)(config, &Setup { phase, seed: 1, backward: true })
}

/// The message with which a layer refuses its settings or the shapes of its bottoms.
pub fn refusal(text: &str, bottoms: &[&[usize]]) -> String {
    refusal_of(text, 1, bottoms)
}

/// Likewise, with so many tops.
pub fn refusal_of(text: &str, tops: usize, bottoms: &[&[usize]]) -> String {
    let shapes: Vec<Shape> = bottoms.iter().map(|&s| s.into()).collect();
    let mut config = config(text);
    config.bottom = (0..bottoms.len()).map(|i| format!("bottom{i}")).collect();
    config.top = (0..tops).map(|i| format!("top{i}")).collect();
    let result = build(&config, Phase::Train).and_then(|mut layer| layer.outline(&shapes));
    result.expect_err("should be refused").to_string()
}

/// The message with which a forward pass in the TRAIN phase, with one top, refuses the values of the bottoms.
pub fn failure(text: &str, bottoms: &[(&[usize], &[f32])]) -> String {
    let bottoms = bottoms.iter().map(|&(s, d)| (s.into(), d.to_vec())).collect();
    let mut bench = Bench::new(text, Phase::Train, 1, bottoms);
    bench.try_forward().expect_err("should be refused").to_string()
}

/// The shapes of the tops that a layer gives to bottoms of these shapes.
pub fn top_shapes(text: &str, tops: usize, bottoms: &[&[usize]]) -> Vec<Shape> {
    let mut config = config(text);
    config.bottom = (0..bottoms.len()).map(|i| format!("bottom{i}")).collect();
    config.top = (0..tops).map(|i| format!("top{i}")).collect();
    let shapes: Vec<Shape> = bottoms.iter().map(|&s| s.into()).collect();
    let outline = build(&config, Phase::Train).and_then(|mut layer| layer.outline(&shapes));
    outline.unwrap_or_else(|e| panic!("{text}: {e}")).tops
}

/// The tops of one forward pass in the TRAIN phase, with one top and parameters drawn at random if there are any.
pub fn forward(text: &str, bottoms: &[(&[usize], &[f32])]) -> Vec<Vec<f32>> {
    forward_with(text, 1, bottoms, &[])
}

/// The tops of one forward pass in the TRAIN phase, with so many tops and these parameters.
pub fn forward_with(
    text: &str,
    tops: usize,
    bottoms: &[(&[usize], &[f32])],
    params: &[&[f32]],
) -> Vec<Vec<f32>> {
    let bottoms = bottoms.iter().map(|&(s, d)| (s.into(), d.to_vec())).collect();
    let mut bench = Bench::new(text, Phase::Train, tops, bottoms);
    params.iter().zip(&mut bench.params).for_each(|(from, to)| to.copy_from_slice(from));
    bench.forward();
    bench.tops
}

/// The first tops of forward passes over one bottom after the other, each pass by a fresh layer that resumes what
/// the last one carried.
pub fn passes(text: &str, bottoms: &[&[(&[usize], &[f32])]]) -> Vec<Vec<f32>> {
    let mut carry = None;
    let one = |bottoms: &&[(&[usize], &[f32])]| {
        let bottoms = bottoms.iter().map(|&(s, d)| (s.into(), d.to_vec())).collect();
        let mut bench = Bench::new(text, Phase::Train, 1, bottoms);
        if let Some(carry) = &carry {
            bench.layer.resume(carry).unwrap();
        }
        bench.forward();
        carry = bench.layer.carry();
        bench.tops.remove(0)
    };
    bottoms.iter().map(one).collect()
}

/// Checks one case.
pub fn check(case: &Case) {
    let mut rng = Draw::new(7, case.layer, 0).rng(0);
    let bottoms = (case.bottoms.iter())
        .map(|&(shape, values)| (shape.into(), values.draw(shape.iter().product(), &mut rng)))
        .collect();
    let mut bench = Bench::new(case.layer, case.phase, case.tops, bottoms);
    if !case.state.is_empty() {
        bench.state = case.state.iter().map(|s| s.to_vec()).collect();
    }
    let kind = kind(bench.config.r#type()).unwrap();
    bench.forward();
    let weights: Vec<Vec<f32>> =
        bench.tops.iter().map(|t| Values::Between(0.5, 1.5).draw(t.len(), &mut rng)).collect();
    let gradients = bench.backward(&weights, kind);

    for (b, gradient) in gradients.bottoms.iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        compare(&mut bench, case, &format!("bottom {b}"), gradient, &weights, |bench| {
            &mut bench.bottoms[b].1
        });
    }
    for (p, gradient) in gradients.params.iter().enumerate() {
        compare(&mut bench, case, &format!("param {p}"), gradient, &weights, |bench| &mut bench.params[p]);
    }
}

fn compare(
    bench: &mut Bench,
    case: &Case,
    what: &str,
    gradient: &[f32],
    weights: &[Vec<f32>],
    values: impl Fn(&mut Bench) -> &mut Vec<f32>,
) {
    for (i, &got) in gradient.iter().enumerate() {
        let start = values(bench)[i];
        values(bench)[i] = start + STEP;
        let above = bench.objective(weights);
        values(bench)[i] = start - STEP;
        let below = bench.objective(weights);
        values(bench)[i] = start;
        let want = (above - below) / (2.0 * f64::from(STEP));
        let got = f64::from(got);
        let scale = want.abs().max(got.abs()).max(1.0);
        assert!(
            (got - want).abs() <= TOLERANCE * scale,
            "{}: {what}[{i}]: backward gives {got}, differences {want}",
            case.layer
        );
    }
}

/// The types that must have gradient cases, and have none.
fn unchecked(kinds: &[&super::Kind]) -> Vec<&'static str> {
    let differentiable = |k: &&&super::Kind| matches!(k.role, Role::Transform | Role::Loss);
    kinds.iter().filter(differentiable).filter(|k| k.gradient.is_empty()).map(|k| k.name).collect()
}

#[test]
fn every_differentiable_layer_has_a_right_gradient() {
    assert_eq!(unchecked(super::LAYERS), [""; 0], "types without a gradient case");
    super::LAYERS.iter().flat_map(|kind| kind.gradient).for_each(check);
}

#[test]
fn a_type_without_gradient_cases_is_found() {
    let without = |role| super::Kind { gradient: &[], role, ..super::relu::KIND };
    let (transform, loss, measure) = (without(Role::Transform), without(Role::Loss), without(Role::Measure));
    assert_eq!(unchecked(&[&super::tanh::KIND, &transform, &loss, &measure]), ["ReLU", "ReLU"]);
}

#[test]
#[should_panic(expected = "backward gives")]
fn a_wrong_gradient_is_found() {
    // At a kink the differences see both sides.
    check(&Case::new("type: 'AbsVal'", &[(&[1], Values::Given(&[0.001]))]));
}
