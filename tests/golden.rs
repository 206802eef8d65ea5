//! Holds nets, solvers and files against the reference tensors of `tests/golden`, made by the real Caffe.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Once,
};

use cnnctl::{
    config,
    net::{BlobId, Net, Options, Params},
    snapshot::{State, Weights, load_state},
    solver::{Event, Observer, Solver, net_sources},
    tensor::Shape,
};
use ndarray::{ArrayD, ArrayViewD};
use ndarray_npy::ReadNpyExt as _;
use serde_json::Value;

/// Largest error, relative to the largest value of the array.
const LAYER_LIMIT: f64 = 1e-4;
/// The same after 20 iterations.
const SOLVER_LIMIT: f64 = 1e-3;

/// Cases that Caffe refuses and cnnctl runs: SoftmaxWithLoss hands out its probabilities as a second top.
const BEYOND_CAFFE: &[&str] = &["softmaxloss_two_tops", "softmaxloss_two_tops_noweight"];

/// The cases of one kind; paths in their prototxts are relative to the folder of the cases.
fn cases(kind: &str) -> Vec<Value> {
    static ENTER: Once = Once::new();
    ENTER.call_once(|| env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).unwrap());
    let index: Value = serde_json::from_slice(&fs::read("index.json").unwrap()).unwrap();
    index["cases"].as_array().unwrap().iter().filter(|c| c["kind"] == kind).cloned().collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |a| a)
}

fn array(path: impl AsRef<Path>) -> ArrayD<f32> {
    let bytes = fs::read(&path).unwrap();
    ArrayD::<f32>::read_npy(&bytes[..])
        .or_else(|_| ArrayD::<f64>::read_npy(&bytes[..]).map(|a| a.mapv(|v| v as f32)))
        .or_else(|_| ArrayD::<i64>::read_npy(&bytes[..]).map(|a| a.mapv(|v| v as f32)))
        .unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// Adds a line to `wrong` unless the values are the reference's.
fn compare(wrong: &mut Vec<String>, what: &str, got: &[f32], want: &ArrayD<f32>, limit: f64) {
    if got.len() != want.len() {
        return wrong.push(format!("{what}: {} values, reference {}", got.len(), want.len()));
    }
    let largest = want.iter().fold(1e-3f64, |m, v| m.max(f64::from(v.abs())));
    let error = got.iter().zip(want).map(|(g, w)| f64::from((g - w).abs())).fold(0.0, f64::max) / largest;
    if error > limit || got.iter().any(|v| v.is_nan()) {
        wrong.push(format!("{what}: error {error:.2e} of the largest value"));
    }
}

/// Fails with all wrong cases at once.
fn report(wrong: BTreeMap<String, Vec<String>>, ran: usize) {
    assert!(ran > 0, "no case ran");
    let lines: Vec<String> =
        wrong.iter().map(|(name, lines)| format!("{name}: {}", lines.join("; "))).collect();
    assert!(wrong.is_empty(), "{} of {ran} cases fail:\n{}", wrong.len(), lines.join("\n"));
}

fn phase(case: &Value) -> config::proto::Phase {
    if case["phase"] == "TRAIN" { config::proto::Phase::Train } else { config::proto::Phase::Test }
}

/// Runs a layer case; the lines say what differs.
fn layer_case(case: &Value) -> Result<Vec<String>, String> {
    let dir = PathBuf::from(text(&case["dir"]));
    let file = config::load_net(dir.join(text(&case["net"]))).map_err(|e| e.to_string())?;
    let backward = !case["backward"].is_null();
    let mut options = Options::new(phase(case), 1);
    options.backward = backward;
    options.keep_all = true;
    options.given_diffs = list(&case["top_diffs"]).iter().map(|t| text(&t["blob"]).to_owned()).collect();
    let mut params = Params::new();
    let mut net = Net::new(&file.net, options, &mut params).map_err(|e| e.to_string())?;
    if let Some(weights) = case["weights"].as_str() {
        let weights = Weights::load(&dir.join(weights)).map_err(|e| e.to_string())?;
        weights.copy_into(&net, &mut params).map_err(|e| e.to_string())?;
    }
    let inputs: Vec<(&str, ArrayD<f32>)> =
        list(&case["inputs"]).iter().map(|i| (text(&i["blob"]), array(dir.join(text(&i["file"]))))).collect();
    let shapes: Vec<(&str, Shape)> = inputs.iter().map(|(n, v)| (*n, Shape::from(v.shape()))).collect();
    net.reshape(&shapes).map_err(|e| e.to_string())?;
    for (name, values) in &inputs {
        net.set_input(name, values.as_slice().unwrap()).map_err(|e| e.to_string())?;
    }
    for _ in 0..case["forward_passes"].as_u64().unwrap_or(1) {
        net.forward(&mut params).map_err(|e| e.to_string())?;
    }
    let mut wrong = Vec::new();
    for output in list(&case["outputs"]) {
        let (name, want) = (text(&output["blob"]), array(dir.join(text(&output["file"]))));
        let id = net.blob(name).unwrap();
        if want.ndim() > 0 && net.shape(id)[..] != *want.shape() {
            wrong.push(format!("data {name}: shape {}, reference {:?}", net.shape(id), want.shape()));
        }
        compare(&mut wrong, &format!("data {name}"), net.values(id), &want, LAYER_LIMIT);
    }
    for after in list(&case["params_after_forward"]) {
        let want = array(dir.join(text(&after["file"])));
        compare(&mut wrong, "parameter after forward", &params[param(&net, after)].data, &want, LAYER_LIMIT);
    }
    if backward {
        let diffs: Vec<(BlobId, ArrayD<f32>)> = list(&case["top_diffs"])
            .iter()
            .map(|t| (net.blob(text(&t["blob"])).unwrap(), array(dir.join(text(&t["file"])))))
            .collect();
        let given: Vec<(BlobId, &[f32])> = diffs.iter().map(|(id, d)| (*id, d.as_slice().unwrap())).collect();
        net.backward_given(&mut params, &given);
        for diff in list(&case["input_diffs"]) {
            let (name, want) = (text(&diff["blob"]), array(dir.join(text(&diff["file"]))));
            compare(&mut wrong, &format!("diff {name}"), net.diff(name).unwrap_or(&[]), &want, LAYER_LIMIT);
        }
        for diff in list(&case["param_diffs"]) {
            let want = array(dir.join(text(&diff["file"])));
            let param = &params[param(&net, diff)];
            let zeros = vec![0.0; param.data.len()];
            let got = if param.diff.is_empty() { &zeros } else { &param.diff[..] };
            compare(&mut wrong, &format!("diff of parameter {}", diff["index"]), got, &want, LAYER_LIMIT);
        }
    }
    Ok(wrong)
}

fn param(net: &Net, case: &Value) -> usize {
    let layer = net.layers().find(|l| l.config.name() == text(&case["layer"])).unwrap();
    layer.params[case["index"].as_u64().unwrap() as usize]
}

#[test]
fn layers_agree_with_caffe() {
    let mut wrong = BTreeMap::new();
    let cases = cases("layer");
    for case in &cases {
        let name = text(&case["name"]);
        let refused = case["status"] == "fails" && !BEYOND_CAFFE.contains(&name);
        match layer_case(case) {
            Ok(lines) if lines.is_empty() && !refused => {}
            Err(_) if refused => {}
            Ok(_) if refused => drop(wrong.insert(name.to_owned(), vec!["should be refused".into()])),
            Ok(lines) => drop(wrong.insert(name.to_owned(), lines)),
            Err(error) => drop(wrong.insert(name.to_owned(), vec![error])),
        }
    }
    report(wrong, cases.len());
}

/// Blobs and layers after filtering and split insertion have Caffe's names.
#[test]
fn nets_are_wired_like_caffes() {
    let mut wrong = BTreeMap::new();
    let cases: Vec<Value> = cases("layer").into_iter().filter(|c| c["status"] == "ok").collect();
    for case in &cases {
        let file = config::load_net(Path::new(text(&case["dir"])).join(text(&case["net"]))).unwrap();
        let Ok(net) = Net::new(&file.net, Options::new(phase(case), 1), &mut Params::new()) else { continue };
        let strings = |v: &Value| list(v).iter().map(|s| text(s).to_owned()).collect::<Vec<_>>();
        let layers: Vec<String> = net.layers().map(|l| l.config.name().to_owned()).collect();
        let blobs: Vec<String> = net.blob_names().into_iter().map(str::to_owned).collect();
        if layers != strings(&case["layer_names"]) || blobs != strings(&case["blob_names"]) {
            wrong.insert(text(&case["name"]).to_owned(), vec![format!("{layers:?} {blobs:?}")]);
        }
    }
    report(wrong, cases.len());
}

/// Collects losses and learning rates.
#[derive(Default)]
struct Seen {
    losses: Vec<f32>,
    rates: Vec<f32>,
}

impl Observer for Seen {
    fn see(&mut self, _: &Solver, event: &Event<'_>) {
        if let Event::Train { loss, rate, .. } = event {
            self.losses.push(*loss);
            self.rates.push(*rate);
        }
    }
}

fn solver(case: &Value, snaps: &Path) -> Result<Solver, String> {
    let dir = Path::new(text(&case["dir"]));
    let file = config::load_solver(dir.join(text(&case["solver"]))).map_err(|e| e.to_string())?;
    let sources = net_sources(&file).map_err(|e| e.to_string())?;
    let mut settings = file.solver.clone();
    settings.snapshot_prefix = Some(snaps.join("snap").display().to_string());
    Solver::new(settings, &sources, 1).map_err(|e| e.to_string())
}

/// Compares what the last snapshot holds. (The solver itself has run one more pass since, to show the last loss, and
/// that pass moves the running statistics.)
fn compare_end(wrong: &mut Vec<String>, case: &Value, snaps: &Path) {
    let dir = Path::new(text(&case["dir"]));
    let weights = Weights::load(&snaps.join("snap_iter_20.caffemodel")).unwrap();
    for end in list(&case["params_final"]) {
        let want = array(dir.join(text(&end["file"])));
        let what = format!("{} {}", text(&end["layer"]), end["index"]);
        let saved = weights.layers.iter().find(|l| l.name == text(&end["layer"])).unwrap();
        let blob = saved.blobs[end["index"].as_u64().unwrap() as usize].as_ref().unwrap();
        assert_eq!(blob.shape[..], *want.shape());
        compare(wrong, &format!("saved {what}"), &blob.values, &want, SOLVER_LIMIT);
    }
    let State { head, history: saved } = load_state(&snaps.join("snap_iter_20.solverstate")).unwrap();
    assert_eq!(i64::from(head.iter()), 20);
    assert_eq!(Some(i64::from(head.current_step())), case["state"]["current_step"].as_i64());
    for history in list(&case["history"]) {
        let (i, want) =
            (history["index"].as_u64().unwrap() as usize, array(dir.join(text(&history["file"]))));
        let got = saved.get(i).map_or(&[][..], |h| &h.values);
        compare(wrong, &format!("history {i}"), got, &want, SOLVER_LIMIT);
    }
}

fn solver_case(case: &Value) -> Result<Vec<String>, String> {
    let dir = Path::new(text(&case["dir"]));
    let snaps = tempfile::tempdir().unwrap();
    let mut solver = solver(case, snaps.path())?;
    let mut wrong = Vec::new();
    let mut seen = Seen::default();
    let resume_at = case["resume_at"].as_u64().unwrap_or(0) as usize;
    if resume_at > 0 {
        // Caffe starts its data anew at a resume, and so do we from one of its states.
        let resumed = solver
            .restore(&dir.join(format!("snap_iter_{resume_at}.solverstate")))
            .map_err(|e| e.to_string())?;
        assert!(!resumed.lost.is_empty(), "a state of Caffe's lacks what exact resuming needs");
    } else {
        let weights = Weights::load(&dir.join(text(&case["init"]))).map_err(|e| e.to_string())?;
        solver.copy_weights(weights, false).map_err(|(_, e)| e.to_string())?;
    }
    solver.solve(&mut seen).map_err(|e| e.to_string())?;
    for (what, got, limit) in [("losses", &seen.losses, SOLVER_LIMIT), ("lrs", &seen.rates, 1e-5)] {
        if let Some(file) = case[what]["file"].as_str() {
            let want = array(dir.join(file));
            let want = want.as_slice().unwrap()[resume_at..].to_vec();
            let want: ArrayD<f32> = ArrayViewD::from_shape(vec![want.len()], &want).unwrap().to_owned();
            compare(&mut wrong, what, got, &want, limit);
        }
    }
    compare_end(&mut wrong, case, snaps.path());
    Ok(wrong)
}

#[test]
fn solvers_agree_with_caffe() {
    let mut wrong = BTreeMap::new();
    let cases = cases("solver");
    for case in &cases {
        let name = text(&case["name"]).to_owned();
        let refused = case["status"] == "fails";
        match solver_case(case) {
            Ok(lines) if lines.is_empty() && !refused => {}
            Err(_) if refused => {}
            Ok(_) if refused => drop(wrong.insert(name, vec!["should be refused".into()])),
            Ok(lines) => drop(wrong.insert(name, lines)),
            Err(error) => drop(wrong.insert(name, vec![error])),
        }
    }
    report(wrong, cases.len());
}
