//! The training loop allocates nothing: an allocator that counts, beneath whole nets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unsafe_code, reason = "an allocator is unsafe by nature")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use cnnctl::{
    config,
    solver::{Event, Observer, Solver, net_sources},
};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts what all threads ask for.
struct Counting;

// SAFETY: passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a step has asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    count: usize,
    bytes: usize,
    largest: usize,
}

/// Takes the counts from one update to the next.
struct Steps(Vec<Step>);

impl Observer for Steps {
    fn see(&mut self, _: &Solver, event: &Event<'_>) {
        if let Event::Train { .. } = event {
            let step = Step {
                count: COUNT.swap(0, Relaxed),
                bytes: BYTES.swap(0, Relaxed),
                largest: LARGEST.swap(0, Relaxed),
            };
            self.0.push(step);
        }
    }
}

/// The steps of a training run on one thread after the first few.
fn steps(net: &str) -> Vec<Step> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("net.prototxt"), net).unwrap();
    let solver = "net: 'net.prototxt' base_lr: 0.001 lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.001
        clip_gradients: 10 average_loss: 5 display: 0 max_iter: 12 snapshot_after_train: false random_seed: 1";
    std::fs::write(path("solver.prototxt"), solver).unwrap();
    let file = config::load_solver(path("solver.prototxt")).unwrap();
    let sources = net_sources(&file).unwrap();
    let mut steps = Steps(Vec::with_capacity(12));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| Solver::new(file.solver.clone(), &sources, 1).unwrap().solve(&mut steps)).unwrap();
    steps.0.split_off(6)
}

/// A layer of the prototxt.
fn layer(kind: &str, bottoms: &[&str], top: &str, settings: &str) -> String {
    let bottoms: String = bottoms.iter().map(|b| format!("bottom: '{b}' ")).collect();
    format!("layer {{ name: '{kind} {top}' type: '{kind}' {bottoms} top: '{top}' {settings} }}\n")
}

/// Random images and labels.
fn source(batch: usize, channels: usize, side: usize) -> String {
    format!(
        "layer {{ name: 'data' type: 'DummyData' top: 'data' top: 'label' dummy_data_param {{
           shape {{ dim: {batch} dim: {channels} dim: {side} dim: {side} }} shape {{ dim: {batch} }}
           data_filler {{ type: 'gaussian' std: 1 }} data_filler {{ type: 'constant' value: 1 }} }} }}\n"
    )
}

/// A classifier of ten classes on top of a blob.
fn head(last: &str) -> String {
    let settings = "inner_product_param { num_output: 10 weight_filler { type: 'msra' } }";
    layer("InnerProduct", &[last], "ip", settings) + &layer("SoftmaxWithLoss", &["ip", "label"], "loss", "")
}

fn convolution(outputs: usize, kernel: usize, pad: usize) -> String {
    format!(
        "convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {pad} weight_filler {{ type: 'msra' }} }}"
    )
}

/// Convolutions, both kinds of response normalization and of pooling, and dropout.
fn classic(batch: usize) -> String {
    let pool = |kind| format!("pooling_param {{ pool: {kind} kernel_size: 3 stride: 2 }}");
    [
        source(batch, 3, 28),
        layer("Convolution", &["data"], "conv1", &convolution(16, 5, 2)),
        layer("ReLU", &["conv1"], "conv1", ""),
        layer("LRN", &["conv1"], "norm1", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"),
        layer("Pooling", &["norm1"], "pool1", &pool("MAX")),
        layer("Convolution", &["pool1"], "conv2", &convolution(32, 3, 1)),
        layer("ReLU", &["conv2"], "conv2", ""),
        layer("LRN", &["conv2"], "norm2", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }"),
        layer("Pooling", &["norm2"], "pool2", &pool("AVE")),
        layer(
            "InnerProduct",
            &["pool2"],
            "fc",
            "inner_product_param { num_output: 300 weight_filler { type: 'xavier' } }",
        ),
        layer("ReLU", &["fc"], "fc", ""),
        layer("Dropout", &["fc"], "fc", "dropout_param { dropout_ratio: 0.5 }"),
        head("fc"),
    ]
    .concat()
}

/// Blocks of convolutions and batch normalization whose ends are summed, or stand side by side.
fn blocks(batch: usize, join: &str) -> String {
    let mut net = source(batch, 3, 20);
    let mut last = "data".to_owned();
    for i in 0..3 {
        let [a, b, joined] = ["a", "b", "joined"].map(|part| format!("{part}{i}"));
        for (from, to) in [(&last, &a), (&a, &b)] {
            net += &layer("Convolution", &[from], to, &convolution(16, 3, 1));
            net += &layer("BatchNorm", &[to], to, "");
            net += &layer("Scale", &[to], to, "scale_param { bias_term: true }");
            net += &layer("ReLU", &[to], to, "");
        }
        net += &layer(join, &[&a, &b], &joined, "");
        last = joined;
    }
    net + &layer("Pooling", &[&last], "pool", "pooling_param { pool: AVE global_pooling: true }")
        + &head("pool")
}

/// Convolutions that make their tops where these are joined.
fn fire(batch: usize) -> String {
    let mut net = source(batch, 3, 20) + &layer("Convolution", &["data"], "squeezed", &convolution(16, 3, 1));
    net += &layer("ReLU", &["squeezed"], "squeezed", "");
    for (top, kernel) in [("pointwise", 1), ("square", 3)] {
        net += &layer("Convolution", &["squeezed"], top, &convolution(32, kernel, kernel / 2));
        net += &layer("ReLU", &[top], top, "");
    }
    net + &layer("Concat", &["pointwise", "square"], "joined", "")
        + &layer("Pooling", &["joined"], "pool", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
        + &head("pool")
}

/// Digits read from files, in batches of 200 KB.
fn digits() -> String {
    let file = |what| format!("{}/data/digits/digits-{what}-ubyte.gz", env!("CARGO_MANIFEST_DIR"));
    let settings = format!(
        "top: 'label' data_param {{ source: '{}' labels: '{}' backend: IDX batch_size: 64 shuffle: true }}",
        file("images-idx3"),
        file("labels-idx1")
    );
    layer("Data", &[], "data", &settings) + &head("data")
}

/// Layers that have something of their own to do in either pass.
fn various(batch: usize) -> String {
    let pointwise = ["PReLU", "ELU", "Sigmoid", "TanH", "AbsVal", "BNLL", "Power", "Swish", "Clip", "ReLU6"];
    let mut net = source(batch, 4, 12);
    let mut last = "data".to_owned();
    for kind in pointwise {
        let settings = if kind == "Clip" { "clip_param { min: -1 max: 1 }" } else { "" };
        net += &layer(kind, &[&last], kind, settings);
        last = kind.into();
    }
    let wide = "convolution_param { num_output: 8 kernel_size: 4 stride: 2 weight_filler { type: 'msra' } }";
    let depthwise =
        "convolution_param { num_output: 8 group: 8 kernel_size: 3 weight_filler { type: 'msra' } }";
    let slices = "top: 'right' slice_param { axis: 1 }";
    net + &layer("Deconvolution", &[&last], "up", wide)
        + &layer("Crop", &["up", "data"], "cut", "crop_param { axis: 2 offset: 1 }")
        + &layer("Convolution", &["cut"], "deep", depthwise)
        + &layer("MVN", &["deep"], "mvn", "")
        + &layer("Normalize", &["mvn"], "norm", "norm_param { channel_shared: false }")
        + &layer("Normalize", &["norm"], "norms", "norm_param { across_spatial: false }")
        + &layer("Slice", &["norms"], "left", slices)
        + &layer("Eltwise", &["left", "right"], "product", "eltwise_param { operation: PROD }")
        + &layer("Pooling", &["product"], "squeezed", "pooling_param { pool: AVE global_pooling: true }")
        + &layer("Axpy", &["squeezed", "product", "product"], "excited", "")
        + &layer("Tile", &["excited"], "tile", "tile_param { axis: 1 tiles: 2 }")
        + &layer("ShuffleChannel", &["tile"], "shuffled", "shuffle_channel_param { group: 2 }")
        + &layer("Bias", &["shuffled"], "bias", "")
        + &layer("Permute", &["bias"], "permuted", "permute_param { order: [0, 2, 3, 1] }")
        + &layer("Reshape", &["permuted"], "flat", "reshape_param { shape { dim: 0 dim: -1 } }")
        + &layer("Softmax", &["flat"], "soft", "")
        + &head("soft")
}

/// Layers of forks that segmentation takes, and a convolution to few channels.
fn segmentation(batch: usize) -> String {
    [
        source(batch, 3, 16),
        layer("Convolution", &["data"], "conv", &convolution(50, 3, 1)),
        layer("BN", &["conv"], "conv", "bn_param { slope_filler { value: 1 } }"),
        layer("ReLU", &["conv"], "conv", ""),
        layer("Pooling", &["conv"], "pool", "top: 'mask' pooling_param { kernel_size: 2 stride: 2 }"),
        layer("BN", &["pool"], "pool", "bn_param { slope_filler { value: 1 } frozen: true }"),
        layer("Upsample", &["pool", "mask"], "up", ""),
        layer("BN", &["up"], "up", "bn_param { bn_mode: LEARN scale_filler { value: 1 } }"),
        layer("Interp", &["up"], "small", "interp_param { shrink_factor: 4 }"),
        layer("Interp", &["small"], "large", "interp_param { height: 16 width: 16 }"),
        layer("Convolution", &["large"], "colors", &convolution(3, 3, 1)),
        layer("SmoothL1Loss", &["colors", "data"], "difference", "smooth_l1_loss_param { sigma: 3 }"),
        head("large"),
    ]
    .concat()
}

/// All has its memory before the first steps end.
#[test]
fn steps_allocate_nothing() {
    let nets: [(&str, &dyn Fn(usize) -> String); 6] = [
        ("classic", &classic),
        ("sums", &|batch| blocks(batch, "Eltwise")),
        ("side by side", &|batch| blocks(batch, "Concat")),
        ("joined", &fire),
        ("various", &various),
        ("segmentation", &segmentation),
    ];
    for (name, net) in nets {
        for batch in [2, 8] {
            let steps = steps(&net(batch));
            // The queues of the threads' pool put aside what they no longer need, 2 KB once in dozens of steps.
            let (count, bytes) = steps.iter().fold((0, 0), |(n, b), step| (n + step.count, b + step.bytes));
            assert!(count <= 1 && bytes <= 4096, "{name} of {batch}: {steps:?}");
        }
    }
    // Reading goes on in threads of its own, at times of its own.
    for step in steps(&digits()) {
        assert!(step.largest < 64 * 1024, "digits: {step:?}");
    }
}
