//! Small nets drawn from the table of layer types: what is built runs forward and backward without a panic, its values
//! are finite, and neither the memory plan nor in-place use changes a bit of them.

mod generator;

use std::{
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
    thread,
};

use cnnctl::{
    config::{self, proto::Phase},
    layers::{LAYERS, Role},
    net::{BlobId, Net, NetError, Options, Params},
};

use generator::{Draw, Sketch, kinds};

/// Prints the net of a test that panics.
struct Shown<'a>(&'a str);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// What a net gives: its outputs, and the diffs of its parameters.
#[derive(Debug, PartialEq)]
struct Outcome(Vec<(String, Vec<u32>)>);

fn build(sketch: &Sketch, phase: Phase, keep_all: bool) -> Result<(Net, Params), NetError> {
    let _shown = Shown(&sketch.text);
    let text = format!("force_backward: true\n{}", sketch.text);
    let net = config::net_from_text("random.prototxt", &text[..]).unwrap_or_else(|e| panic!("{e}")).net;
    let mut params = Params::new();
    let mut options = Options { backward: true, keep_all, ..Options::new(phase, 7) };
    // Blobs that no later layer reads.
    for (i, layer) in net.layer.iter().enumerate() {
        let read = |top: &String| net.layer[i + 1..].iter().any(|l| l.bottom.contains(top));
        options.given_diffs.extend(layer.top.iter().filter(|&top| !read(top)).cloned());
    }
    Net::new(&net, options, &mut params).map(|net| (net, params))
}

/// Runs a net twice forward and once backward. `None` when its values are refused.
fn run(sketch: &Sketch, phase: Phase, keep_all: bool) -> Option<Outcome> {
    let _shown = Shown(&sketch.text);
    let (mut net, mut params) = build(sketch, phase, keep_all).unwrap();
    for (name, values) in &sketch.inputs {
        net.set_input(name, values).unwrap();
    }
    for _ in 0..2 {
        let loss = net.forward(&mut params).ok()?;
        assert!(loss.is_finite(), "loss {loss}");
    }
    let bits = |what: &str, values: &[f32]| {
        assert!(values.iter().all(|v| v.is_finite()), "{what} is not finite: {values:?}");
        (what.to_owned(), values.iter().map(|v| v.to_bits()).collect())
    };
    let mut outcome: Vec<_> = net.outputs().iter().map(|o| bits(o.name, o.values)).collect();
    let ends: Vec<BlobId> = net.given_diffs().iter().filter_map(|name| net.blob(name)).collect();
    let ones: Vec<Vec<f32>> =
        ends.iter().map(|&b| (0..net.shape(b).count()).map(|i| (i % 3) as f32 - 0.5).collect()).collect();
    let given: Vec<(BlobId, &[f32])> = ends.into_iter().zip(ones.iter().map(|v| &v[..])).collect();
    net.backward_given(&mut params, &given);
    outcome.extend(params.iter().enumerate().map(|(i, p)| bits(&format!("parameter {i}'s diff"), &p.diff)));
    Some(Outcome(outcome))
}

/// Runs a net in both phases, with every blob in memory of its own and with memory shared. Whether it ran.
fn run_all(sketch: &Sketch) -> bool {
    [Phase::Train, Phase::Test].into_iter().all(|phase| {
        let apart = run(sketch, phase, true);
        assert_eq!(apart, run(sketch, phase, false), "shared memory changes values:\n{}", sketch.text);
        apart.is_some()
    })
}

#[test]
fn random_nets_run_with_finite_values() {
    let mut built: BTreeSet<&str> = BTreeSet::new();
    let mut ran = 0;
    for seed in 0..300 {
        let mut draw = Draw::new(seed);
        let axes = draw.between(2, 5);
        let shape: Vec<usize> = (0..axes).map(|_| *draw.of(&[1, 2, 3, 5, 7])).collect();
        let mut sketch = Sketch::default();
        let mut blobs = vec![sketch.start(&shape, &mut draw)];
        for _ in 0..draw.between(2, 8) {
            let from = if draw.one_in(3) { draw.below(blobs.len()) } else { blobs.len() - 1 };
            let (kind, in_place) = (*draw.of(&kinds()), draw.one_in(3));
            let mut next = sketch.clone();
            next.add(kind, &blobs[from], in_place, &mut draw);
            let Ok((net, _)) = build(&next, Phase::Train, false) else { continue };
            blobs = net
                .blob_names()
                .into_iter()
                .filter(|name| !name.contains("_split_"))
                .map(|name| {
                    let shape = net.blob(name).map(|b| net.shape(b).to_vec());
                    (name.to_owned(), shape.unwrap_or_default())
                })
                .collect();
            built.insert(kind.name);
            sketch = next;
        }
        ran += usize::from(run_all(&sketch));
    }
    let all: BTreeSet<&str> = kinds().iter().map(|k| k.name).collect();
    assert_eq!(built, all, "types that were built at least once, and all that need no data");
    assert!(ran >= 250, "only {ran} nets ran");
}

/// The shapes that every type must take, and those that it may refuse.
const ODD: [&[usize]; 9] = [
    &[1, 3, 7, 5],
    &[2, 4, 1, 1],
    &[3, 5, 7, 11],
    &[1, 1, 1, 1],
    &[0, 3, 5, 7],
    &[2, 0, 5, 7],
    &[2, 3, 0, 7],
    &[7],
    &[],
];
const MUST: usize = 4;

#[test]
fn every_type_runs_on_odd_shapes() {
    let mut wrong = Vec::new();
    for kind in kinds() {
        for (i, shape) in ODD.into_iter().enumerate() {
            let mut ran = 0;
            for seed in 0..8 {
                let mut draw = Draw::new(seed);
                let mut sketch = Sketch::default();
                let blob = sketch.start(shape, &mut draw);
                sketch.add(kind, &blob, false, &mut draw);
                let run = || build(&sketch, Phase::Train, false).is_ok() && run_all(&sketch);
                match panic::catch_unwind(AssertUnwindSafe(run)) {
                    Ok(whether) => ran += usize::from(whether),
                    Err(_) => wrong.push(format!("{} panics on {shape:?}, seed {seed}", kind.name)),
                }
            }
            if i < MUST && ran == 0 {
                wrong.push(format!("no {} ran on {shape:?}", kind.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn in_place_gives_what_apart_gives() {
    let mut compared = BTreeSet::new();
    for kind in kinds().into_iter().filter(|k| k.role == Role::Transform && k.bottoms.allows(1, 1)) {
        for (seed, shape) in (0..8).zip([[2, 3, 5, 4], [1, 4, 3, 3]].iter().cycle()) {
            let of = |in_place: bool| {
                let mut draw = Draw::new(seed);
                let mut sketch = Sketch::default();
                let below = sketch.start(shape, &mut draw);
                sketch.add(kind, &below, in_place, &mut draw);
                let text = format!("force_backward: true\n{}", sketch.text);
                let net = config::net_from_text("net.prototxt", text).unwrap().net;
                let top = net.layer.last().and_then(|l| l.top.last().cloned())?;
                sketch.layer("Power", &[&top], &["above".into()], "power_param { scale: 0.5 }");
                build(&sketch, Phase::Train, false).ok()?;
                Some((sketch.clone(), run(&sketch, Phase::Train, false)?))
            };
            let (Some((_, apart)), Some((sketch, in_place))) = (of(false), of(true)) else { continue };
            assert_eq!(apart, in_place, "in place differs:\n{}", sketch.text);
            compared.insert(kind.name);
        }
    }
    let rest: Vec<&str> = LAYERS
        .iter()
        .filter(|k| k.role == Role::Transform && k.bottoms.allows(1, 1) && !compared.contains(k.name))
        .map(|k| k.name)
        .collect();
    assert_eq!(rest, ["Silence"], "types that were not compared");
}

/// Nets whose sizes overflow, or that no memory holds: each is refused, not tried.
#[test]
fn sizes_beyond_all_memory_are_refused() {
    let most = u32::MAX;
    let over = |shape: &str, layer: &str| {
        let dims: String = shape.split(' ').map(|n| format!("dim: {n} ")).collect();
        format!(
            "layer {{ name: 'in' type: 'Input' top: 'in' input_param {{ shape {{ {dims} }} }} }}
             layer {{ name: 'l' bottom: 'in' top: 'out' {layer} }}"
        )
    };
    let conv = |kind: &str, settings: &str| {
        over("1 3 8 8", &format!("type: '{kind}' convolution_param {{ {settings} }}"))
    };
    let nets = [
        over("1099511627776 1099511627776", "type: 'ReLU'"),
        over("9223372036854775807 9223372036854775807", "type: 'ReLU'"),
        over("0 9223372036854775807", "type: 'ReLU'"),
        over("1048576 1048576", "type: 'ReLU'"),
        over(&["1"; 40].join(" "), "type: 'Convolution' convolution_param { num_output: 1 kernel_size: 1 }"),
        over("1048576 1024", &format!("type: 'InnerProduct' inner_product_param {{ num_output: {most} }}")),
        over("8 8", &format!("type: 'Embed' embed_param {{ num_output: {most} input_dim: {most} }}")),
        over("8 8", "type: 'Tile' tile_param { axis: 0 tiles: 2147483647 }"),
        over("1 1 8 8", &format!("type: 'Pooling' pooling_param {{ kernel_size: {most} pad: {} }}", most - 1)),
        conv("Convolution", &format!("num_output: {most} kernel_size: 1 pad: {most}")),
        conv("Convolution", &format!("num_output: {most} kernel_size: 8 dilation: {most} pad: {most}")),
        conv("Convolution", &format!("num_output: 1 kernel_size: {most} pad: {most}")),
        conv("Deconvolution", &format!("num_output: {most} kernel_size: {most} stride: {most}")),
        conv("Deconvolution", &format!("num_output: 1 kernel_size: 1 stride: {most}")),
        conv("LocallyConnected", &format!("num_output: {most} kernel_size: {most} pad: {most}")),
        conv("DepthwiseConvolution", &format!("num_output: 4294967292 kernel_size: {most} pad: {most}")),
        conv("Im2col", &format!("kernel_size: {most} pad: {most}")),
        format!(
            "layer {{ name: 'in' type: 'Input' top: 'x' top: 'cont' input_param {{ shape {{ dim: 2 dim: 2 dim: 2 }} shape {{
             dim: 2 dim: 2 }} }} }} layer {{ name: 'l' type: 'LSTM' bottom: 'x' bottom: 'cont' top: 'y' recurrent_param {{
             num_output: {most} }} }}"
        ),
    ];
    for text in nets {
        let _shown = Shown(&text);
        let mut sketch = Sketch::default();
        sketch.text.clone_from(&text);
        let error =
            build(&sketch, Phase::Train, false).err().expect("a net that no memory holds").to_string();
        assert!(
            ["large", "memory", "exceeds", "at most", "counted"].iter().any(|word| error.contains(word)),
            "{error}"
        );
    }
}
