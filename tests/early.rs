//! Weights that are updated within the backward pass, without their gradients ever being stored, get the bits of those that
//! are updated after it.

use cnnctl::{
    config,
    solver::{Event, Observer, Solver, net_sources, rules::RULES},
};

/// A fully connected net: `wide` in blocks of several rows and columns, `turned` with its weights transposed, `deep` whose
/// bottom's gradient comes with its weights', `twin 1` and `twin 2` with the same weights, `frozen` with weights that stay, `ip` with few.
const NET: &str = "
    layer { name: 'data' type: 'DummyData' top: 'data' top: 'label' dummy_data_param {
      shape { dim: 5 dim: 2000 } shape { dim: 5 }
      data_filler { type: 'gaussian' std: 1 } data_filler { type: 'constant' value: 1 } } }
    layer { name: 'wide' type: 'InnerProduct' bottom: 'data' top: 'wide'
      inner_product_param { num_output: 1050 weight_filler { type: 'xavier' } } }
    layer { name: 'relu' type: 'ReLU' bottom: 'wide' top: 'wide' }
    layer { name: 'turned' type: 'InnerProduct' bottom: 'wide' top: 'turned'
      inner_product_param { num_output: 2000 transpose: true weight_filler { type: 'xavier' } } }
    layer { name: 'deep' type: 'InnerProduct' bottom: 'turned' top: 'deep'
      inner_product_param { num_output: 2000 weight_filler { type: 'xavier' } } }
    layer { name: 'twin 1' type: 'InnerProduct' bottom: 'deep' top: 'twin1' param { name: 'w' } param { name: 'b' }
      inner_product_param { num_output: 2000 weight_filler { type: 'xavier' } } }
    layer { name: 'twin 2' type: 'InnerProduct' bottom: 'twin1' top: 'twin2' param { name: 'w' } param { name: 'b' }
      inner_product_param { num_output: 2000 weight_filler { type: 'xavier' } } }
    layer { name: 'frozen' type: 'InnerProduct' bottom: 'twin2' top: 'frozen' param { lr_mult: 0 } param { lr_mult: 2 }
      inner_product_param { num_output: 1050 weight_filler { type: 'xavier' } } }
    layer { name: 'ip' type: 'InnerProduct' bottom: 'frozen' top: 'ip' param { lr_mult: 2 decay_mult: 0.5 }
      inner_product_param { num_output: 10 weight_filler { type: 'xavier' } } }
    layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }
";

/// Collects losses, and the layers whose weights have gradients when they are about to be updated.
#[derive(Default)]
struct Seen {
    wants_gradients: bool,
    losses: Vec<u32>,
    stored: Vec<String>,
}

impl Observer for Seen {
    fn see(&mut self, solver: &Solver, event: &Event<'_>) {
        if let Event::Train { loss, .. } = event {
            self.losses.push(loss.to_bits());
            let weights = solver.params().iter().filter(|p| p.owner.1 == 0);
            let stored = weights.filter(|p| p.diff.iter().any(|&d| d != 0.0));
            self.stored = stored.map(|p| p.owner.0.clone()).collect();
        }
    }

    fn wants_gradients(&self, _: i32) -> bool {
        self.wants_gradients
    }
}

/// Losses and the bits of all parameters after some steps, and what [`Seen`] has seen stored.
fn train(settings: &str, wants_gradients: bool) -> (Vec<u32>, Vec<Vec<u32>>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("net.prototxt"), NET).unwrap();
    let common =
        "net: 'net.prototxt' base_lr: 0.00001 lr_policy: 'inv' gamma: 0.1 power: 0.75 weight_decay: 0.01
        delta: 0.001 max_iter: 3 snapshot_after_train: false random_seed: 1 ";
    std::fs::write(path("solver.prototxt"), common.to_owned() + settings).unwrap();
    let file = config::load_solver(path("solver.prototxt")).unwrap();
    let mut solver = Solver::new(file.solver.clone(), &net_sources(&file).unwrap(), 1).unwrap();
    let mut seen = Seen { wants_gradients, ..Seen::default() };
    solver.solve(&mut seen).unwrap();
    let bits = solver.params().iter().map(|p| p.data.iter().map(|v| v.to_bits()).collect()).collect();
    (seen.losses, bits, seen.stored)
}

#[test]
fn every_rule_gives_the_same_bits() {
    for rule in RULES {
        let momentum = if ["AdaGrad", "RMSProp"].contains(&rule.name) { "" } else { "momentum: 0.9" };
        let decay = if rule.name == "SGD" { "L1" } else { "L2" };
        let settings = format!("type: '{}' {momentum} regularization_type: '{decay}'", rule.name);
        let (losses, early, stored) = train(&settings, false);
        assert_eq!(stored, ["twin 1", "ip"], "{settings}");
        let (same_losses, late, stored) = train(&settings, true);
        assert_eq!(stored, ["wide", "turned", "deep", "twin 1", "ip"], "{settings}");
        assert!(losses[0] != losses[2], "{settings}: nothing is learned");
        assert_eq!(losses, same_losses, "{settings}");
        for (i, (early, late)) in early.iter().zip(&late).enumerate() {
            assert!(early == late, "{settings}: parameter {i} differs");
        }
    }
}

/// What needs all gradients before the first update has them.
#[test]
fn updates_wait_where_they_must() {
    let shown = "debug_info: true display: 1";
    for settings in ["clip_gradients: 1", "iter_size: 2", "snapshot_diff: true", shown, "larc: true"] {
        let (_, _, stored) = train(settings, false);
        assert_eq!(stored, ["wide", "turned", "deep", "twin 1", "ip"], "{settings}");
    }
    let (_, _, stored) = train("debug_info: true display: 5", false);
    assert_eq!(stored, ["twin 1", "ip"], "the last iteration is not shown");
}
