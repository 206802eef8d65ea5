//! Log lines on stderr, in Caffe's words, because other people's parsers read them.

use std::path::Path;

use super::{debug, general, info, warn};
use crate::{
    config::proto::SolverParameter,
    net::Net,
    snapshot::{Copied, Format},
    solver::{Ending, Event, Mean, Resumed, Solver},
};

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source()).map(|e| format!(": {e}"));
    std::iter::once(error.to_string()).chain(causes).collect()
}

/// Says what became of the layers when weights were copied.
pub fn copied(copied: &Copied) {
    if copied.changed {
        warn(
            "the file of weights does not fit its checksum: it is damaged, or another program has changed it",
        );
    }
    for name in &copied.ignored {
        info(&format!("Ignoring source layer {name}"));
    }
    if copied.empty {
        warn("the file of weights holds none: nothing was copied");
    } else if copied.loaded.is_empty() {
        warn("no layer of the net has a name that is in the file of weights: nothing was copied");
    }
    for name in &copied.missing {
        warn(&format!("layer `{name}` is not in the file of weights: it keeps its own start"));
    }
}

/// Says what a snapshot from elsewhere cannot give back, and what has changed since it was written.
pub fn resumed(path: &Path, resumed: &Resumed) {
    if !resumed.lost.is_empty() {
        warn(&format!(
            "{} was not written by cnnctl. These start anew, for it does not hold:",
            path.display()
        ));
        resumed.lost.iter().for_each(|what| warn(&format!("    {what}")));
    }
    for what in &resumed.changed {
        warn(&format!(
            "{what} has changed since {} was written; the run goes on with today's",
            path.display()
        ));
    }
    if let Some(ranks) = resumed.hidden_of {
        warn(&format!(
            "{} holds hidden states of {ranks} rank{}, but this run has another number: recurrent layers start without, so \
             this run will not equal an unbroken one byte for byte",
            path.display(),
            if ranks == 1 { "" } else { "s" }
        ));
    }
}

/// Says what lengths in epochs have become.
pub fn epochs(config: &SolverParameter) {
    if let Some(epochs) = config.max_epoch {
        info(&format!("{epochs} epochs are {} iterations", config.max_iter()));
    }
    if let Some(epochs) = config.test_epoch {
        info(&format!("{epochs} epochs are {} iterations from test to test", config.test_interval()));
    }
}

/// Shows an event of a run.
pub fn event(solver: &Solver, event: &Event<'_>) {
    match event {
        Event::Start => info(&format!("Solving {}", solver.train_net().name())),
        Event::Train { iter, smoothed, rate, stepped, shown, .. } => {
            if *shown {
                info(&format!("Iteration {iter}, loss = {}", general(f64::from(*smoothed))));
                let outputs = solver.train_net().outputs();
                let values = outputs.iter().flat_map(|o| lines(o.name, o.values, o.loss_weight));
                values.enumerate().for_each(|(k, v)| info(&format!("    Train net output #{k}: {v}")));
            }
            if let (Some(step), Some(status)) = (stepped, step_status(solver.config().lr_policy())) {
                info(&format!("{status}: Iteration {iter}, step = {step}"));
            }
            if *shown {
                info(&format!("Iteration {iter}, lr = {}", general(f64::from(*rate))));
            }
        }
        Event::Debug(stage) => debug::show(solver, *stage),
        Event::DebugTest { net, layer } => debug::forward(solver.test_net(*net), *layer, solver.params()),
        Event::TestStart { iter, net } => info(&format!("Iteration {iter}, Testing net (#{net})")),
        Event::Test { outputs, loss, .. } => {
            if let Some(loss) = loss {
                info(&format!("Test loss: {}", general(f64::from(*loss))));
            }
            let values = outputs.iter().flat_map(mean_lines);
            values.enumerate().for_each(|(k, v)| info(&format!("    Test net output #{k}: {v}")));
        }
        Event::Snapshot { weights, state, format, written, took, .. } => {
            let kind = match format {
                Format::BinaryProto => "binary proto",
                Format::Hdf5 => "HDF5",
            };
            info(&format!("Snapshotting to {kind} file {}", weights.display()));
            info(&format!("Snapshotting solver state to {kind} file {}", state.display()));
            info(&format!("The snapshot took {:.3} s", took.as_secs_f64()));
            if *format == Format::BinaryProto && written.bytes > i32::MAX as u64 {
                warn(&format!(
                    "{} has more than 2 GB: Caffe cannot read it; with snapshot_format: HDF5 it could",
                    weights.display()
                ));
            }
        }
        Event::Last { iter, loss } => {
            info(&format!("Iteration {iter}, loss = {}", general(f64::from(*loss))))
        }
        Event::End(Ending::Done) => info("Optimization Done."),
        Event::End(Ending::Stopped(why)) => info(&format!("Optimization stopped early. ({why})")),
        Event::SnapshotFailed { error } => {
            warn(&format!("{}: the last snapshot stays, training goes on", chain(*error)));
        }
        Event::Lost { error } => warn(&format!("{error}; saving the last finished iteration")),
        Event::Best { .. } => {}
        Event::RolledBack { error, iter, rate_factor } => {
            warn(&format!("{error}: back to iteration {iter}, with the learning rate times {rate_factor}"));
        }
    }
}

/// What Caffe calls the steps of a policy; it does not tell those of "step".
fn step_status(policy: &str) -> Option<&'static str> {
    match policy {
        "multistep" => Some("MultiStep Status"),
        "plateau" => Some("Plateau Status"),
        _ => None,
    }
}

/// `name = v` for each value of an output, with ` (* w = z loss)` where it has a weight.
fn lines<'a>(name: &'a str, values: &'a [f32], loss_weight: f32) -> impl Iterator<Item = String> + 'a {
    let w = f64::from(loss_weight);
    values.iter().map(|&v| f64::from(v)).map(move |v| {
        let weighted =
            if w == 0.0 { String::new() } else { format!(" (* {} = {} loss)", general(w), general(w * v)) };
        format!("{name} = {}{weighted}", general(v))
    })
}

fn mean_lines(mean: &Mean) -> impl Iterator<Item = String> + '_ {
    lines(&mean.name, &mean.values, mean.loss_weight)
}

/// The outputs of a batch of `cnnctl test`.
pub fn batch(i: usize, net: &Net) {
    for output in net.outputs() {
        lines(output.name, output.values, 0.0).for_each(|v| info(&format!("Batch {i}, {v}")));
    }
}

/// The results of `cnnctl test`.
pub fn means(means: &[Mean], loss: f32) {
    info(&format!("Loss: {}", general(f64::from(loss))));
    means.iter().flat_map(mean_lines).for_each(|line| info(&line));
}
