//! The events of a run as a person in front of a terminal wants to read them: a line each.

use console::style;

use super::{general, info, log_format::clock, outcome::Outcome, screen};
use crate::solver::{Event, Solver};

/// Shows an event; gives whether it had a line of its own here.
pub(super) fn event(solver: &Solver, event: &Event<'_>, outcome: &Outcome) -> bool {
    match event {
        Event::Start => start(solver),
        Event::Train { iter, smoothed, rate, shown: true, .. } => {
            let mut parts = vec![format!("loss {}", general(f64::from(*smoothed)))];
            let outputs = solver.train_net().outputs();
            // A single output is the loss.
            if outputs.len() > 1 {
                parts.extend(outputs.iter().map(|o| output(o.name, o.values)));
            }
            parts.push(style(format!("lr {}", general(f64::from(*rate)))).for_stderr().dim().to_string());
            line(solver, *iter, "train", &parts);
        }
        Event::Test { iter, net, outputs, loss } => {
            let mut parts: Vec<String> = outputs.iter().map(|m| output(&m.name, &m.values)).collect();
            parts.extend(loss.map(|loss| format!("total loss {}", general(f64::from(loss)))));
            if outcome.is_best(*iter, *net) && *iter > 0 {
                parts.push(style("best so far").for_stderr().green().to_string());
            }
            let kind = if *net == 0 { "test".to_owned() } else { format!("test #{net}") };
            line(solver, *iter, &style(format!("{kind:<5}")).for_stderr().cyan().bold().to_string(), &parts);
        }
        Event::Snapshot { state, took, .. } => {
            info(&format!("Snapshot: {} ({:.3} s)", state.display(), took.as_secs_f64()));
        }
        Event::Last { iter, loss } => {
            line(solver, *iter, "train", &[format!("loss {}", general(f64::from(*loss)))])
        }
        Event::TestStart { .. } | Event::Train { .. } => {}
        _ => return false,
    }
    true
}

fn start(solver: &Solver) {
    let (name, max) = (solver.train_net().name(), solver.config().max_iter());
    let name = if name.is_empty() { "a net without a name" } else { name };
    let epochs = solver.epochs(max).map_or(String::new(), |epochs| format!(", {} epochs", general(epochs)));
    let from = if solver.iter() > 0 { format!(" from iteration {}", solver.iter()) } else { String::new() };
    info(&format!("Training {name}{from} to iteration {max}{epochs}"));
}

/// `12:34:56    100  epoch 4.45   train  loss 0.25`, past the log's own ways, which would spoil the colours.
fn line(solver: &Solver, iter: i32, kind: &str, parts: &[String]) {
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let width = solver.config().max_iter().max(1).ilog10() as usize + 1;
    let epoch = solver.epochs(iter).map_or(String::new(), |epoch| format!("epoch {epoch:<7.2}"));
    let epoch = style(epoch).for_stderr().dim();
    screen::write_lines(&format!("{}  {iter:>width$}  {epoch}  {kind:<5}  {}", clock(), parts.join("  ")));
}

/// `accuracy 0.98`, or `name 1 2 3` for several values.
pub(super) fn output(name: &str, values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(|v| general(f64::from(*v))).collect();
    format!("{} {}", name.replace(char::is_control, "?"), values.join(" "))
}
