//! From the forms that nets and solvers had in 2013 and since to today's: pure functions, one file each.
//!
//! They work on messages, so text and binary files alike; a layer's `cnnctl_origin` stays with it. All are
//! idempotent. What they find wrong names a layer and a field, and whoever has the text adds the place.

mod batch_norm;
mod data_transform;
mod input;
mod solver_type;
mod v0;
pub(crate) mod v1;

use super::diagnostic::Severity;
use super::proto::{LayerParameter, NetParameter, SolverParameter, V1LayerParameter};

/// A step from an old form of nets to the next one.
pub struct Upgrade {
    /// What is old, in a few words.
    pub name: &'static str,
    applies: fn(&NetParameter) -> bool,
    apply: fn(NetParameter, &mut Vec<Complaint>) -> NetParameter,
}

/// All upgrades of nets, in the order in which they must come: each takes what the one before leaves.
pub const UPGRADES: [Upgrade; 5] = [
    Upgrade { name: "layers of 2013 (V0)", applies: v0::applies, apply: v0::apply },
    Upgrade {
        name: "image transformations in data layers",
        applies: data_transform::applies,
        apply: data_transform::apply,
    },
    Upgrade { name: "`layers` of 2014 (V1)", applies: v1::applies, apply: v1::apply },
    Upgrade { name: "`input` fields", applies: input::applies, apply: input::apply },
    Upgrade { name: "learning rates of BatchNorm", applies: batch_norm::applies, apply: batch_norm::apply },
];

/// Something wrong with an old net or solver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Whether the upgrade failed or only left something behind.
    pub severity: Severity,
    /// The layer that it is about, if it is about one.
    pub layer: Option<LayerId>,
    /// The field, as a path within the layer or else within the file.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Which layer of a net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerId {
    /// Its name.
    pub name: String,
    /// Its `cnnctl_origin`, if it comes from a text.
    pub origin: Option<u32>,
}

impl LayerId {
    fn of_v1(layer: &V1LayerParameter) -> Self {
        let inner = layer.layer.as_ref().map_or("", |inner| inner.name());
        let name = layer.name.as_deref().unwrap_or(inner).to_owned();
        Self { name, origin: layer.cnnctl_origin }
    }

    fn of(layer: &LayerParameter) -> Self {
        Self { name: layer.name().to_owned(), origin: layer.cnnctl_origin }
    }
}

impl Complaint {
    fn error(layer: Option<LayerId>, field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self { severity: Severity::Error, layer, field, message, hint: None }
    }

    fn warning(layer: Option<LayerId>, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(layer, field, message) }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A message in today's form.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgraded<M> {
    /// The message; not fit for use if a complaint is an error.
    pub message: M,
    /// What was old in it.
    pub applied: Vec<&'static str>,
    /// What is wrong with it.
    pub complaints: Vec<Complaint>,
}

fn failed(complaints: &[Complaint]) -> bool {
    complaints.iter().any(|c| c.severity == Severity::Error)
}

/// The net in today's form. Stops at the first upgrade that fails.
pub fn upgrade_net(net: NetParameter) -> Upgraded<NetParameter> {
    let mut done = Upgraded { message: net, applied: Vec::new(), complaints: Vec::new() };
    for upgrade in &UPGRADES {
        if failed(&done.complaints) {
            break;
        }
        if (upgrade.applies)(&done.message) {
            done.applied.push(upgrade.name);
            done.message = (upgrade.apply)(done.message, &mut done.complaints);
        }
    }
    data_transform::warn_of_ignored(&done.message, &mut done.complaints);
    done
}

/// The solver in today's form, with the nets inside it.
pub fn upgrade_solver(mut solver: SolverParameter) -> Upgraded<SolverParameter> {
    let (mut applied, mut complaints) = (Vec::new(), Vec::new());
    if solver_type::applies(&solver) {
        applied.push(solver_type::NAME);
        solver = solver_type::apply(solver, &mut complaints);
    }
    let nets =
        solver.net_param.iter_mut().chain(&mut solver.train_net_param).chain(&mut solver.test_net_param);
    for net in nets {
        let done = upgrade_net(std::mem::take(net));
        *net = done.message;
        applied.extend(done.applied);
        complaints.extend(done.complaints);
    }
    Upgraded { message: solver, applied, complaints }
}

/// Where the field of an upgraded layer may stand in a text in an old form, nearest first.
pub(crate) fn old_paths(path: &str) -> Vec<String> {
    let (head, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut paths = Vec::new();
    if let Some(index) = head.strip_prefix("param") {
        let list = match last {
            "name" => "param",
            "share_mode" => "blob_share_mode",
            "lr_mult" => "blobs_lr",
            "decay_mult" => "weight_decay",
            _ => return paths,
        };
        paths.push(format!("{list}{index}"));
        paths.push(format!("layer.{list}{index}"));
    } else {
        if head == "transform_param" {
            paths.extend(data_transform::OLD_OWNERS.iter().map(|owner| format!("{owner}.{last}")));
        }
        paths.push(format!("layer.{}", v0::old_name(last)));
    }
    paths
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::text::{parse, print};

    /// The net of a text after one upgrade, as text, with the messages of the complaints. Also holds that a
    /// second time changes nothing.
    pub fn upgraded(text: &str, upgrade: &str) -> (String, Vec<String>) {
        let net = parse::<NetParameter>("net", text).expect("a good text").message;
        let step = UPGRADES.iter().find(|u| u.name.contains(upgrade)).expect("an upgrade of this name");
        assert!((step.applies)(&net), "does not apply to {text}");
        let mut complaints = Vec::new();
        let done = (step.apply)(net, &mut complaints);
        if !failed(&complaints) {
            assert!(!(step.applies)(&done), "applies again to {}", print(&done));
            assert_eq!((step.apply)(done.clone(), &mut Vec::new()), done);
        }
        (print(&done), complaints.into_iter().map(|c| c.message).collect())
    }

    /// The same text, laid out as the printer does.
    pub fn printed(text: &str) -> String {
        print(&parse::<NetParameter>("net", text).expect("a good text").message)
    }

    #[test]
    fn a_net_of_today_stays_as_it_is() {
        let layer = LayerParameter { name: Some("a".into()), ..Default::default() };
        let net = NetParameter { layer: vec![layer], ..Default::default() };
        let done = upgrade_net(net.clone());
        assert_eq!(done, Upgraded { message: net, applied: vec![], complaints: vec![] });
    }

    #[test]
    fn the_steps_work_in_one_go_from_2013_to_today() {
        let text = "input: 'x' input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 5
            layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'x' top: 'p' }
            layers { layer { name: 'c' type: 'conv' num_output: 4 kernelsize: 3 blobs_lr: 1 blobs_lr: 2 }
                     bottom: 'p' top: 'c' }";
        let net = parse::<NetParameter>("net", text).expect("a good text").message;
        let done = upgrade_net(net);
        assert_eq!(done.applied, [UPGRADES[0].name, UPGRADES[2].name, UPGRADES[3].name]);
        assert_eq!(done.complaints, []);
        let expected = "
            layer { name: 'input' type: 'Input' top: 'x' input_param { shape { dim: [1, 3, 5, 5] } } }
            layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' param { lr_mult: 1 } param { lr_mult: 2 }
                    convolution_param { num_output: 4 pad: 2 kernel_size: 3 } }";
        assert_eq!(print(&done.message), printed(expected));
        assert_eq!(upgrade_net(done.message.clone()).message, done.message);
    }

    #[test]
    fn nets_inside_solvers_are_upgraded_too() {
        let text =
            "solver_type: ADAM net_param { layers { name: 'r' type: RELU } } test_net_param { input: 'x' }";
        let solver = parse::<SolverParameter>("s", text).expect("a good text").message;
        let done = upgrade_solver(solver);
        let expected = "test_net_param {\n}\nnet_param {\n  layer {\n    name: \"r\"\n    type: \"ReLU\"\n  }\n}\n\
                        type: \"Adam\"\n";
        assert_eq!(print(&done.message), expected);
        assert_eq!(done.complaints, []);
    }

    #[test]
    fn upgraded_fields_are_looked_up_under_their_old_names() {
        assert_eq!(old_paths("param[1].lr_mult")[0], "blobs_lr[1]");
        assert_eq!(old_paths("convolution_param.kernel_size"), ["layer.kernelsize"]);
        assert!(old_paths("transform_param.scale").contains(&"data_param.scale".to_owned()));
    }
}
