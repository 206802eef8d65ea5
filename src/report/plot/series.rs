//! From runs to curves.

use super::{Along, Chart, Curve, Kind, Panel, PlotOptions};
use crate::report::{
    draw::Color,
    history::{History, Row},
};

/// Colours that the colour-blind can tell apart (Okabe and Ito, 2008), without yellow, which is too pale for lines.
const COLORS: [Color; 7] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x4d4d4d];
/// Quantities that are shown without being asked for.
const PANELS: usize = 5;
/// Points of a curve that is not smoothed without being asked for.
const POINTS: usize = 150;

/// A run with its name.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is called in the picture.
    pub name: String,
    /// What is known of it.
    pub history: History,
}

/// The curves of runs.
pub(super) fn chart(runs: &[Run], options: &PlotOptions) -> Result<Chart, String> {
    let quantities = quantities(runs, &options.quantities)?;
    let (unit, along) = along(runs, options.along)?;
    let mut panels = Vec::new();
    for name in quantities {
        let mut curves = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            let place = |row: &Row| place(row, options.along).map(|x| x / unit);
            let color = |phase: usize| {
                if runs.len() > 1 { COLORS[i % COLORS.len()] } else { COLORS[phase % COLORS.len()] }
            };
            let train = points(&run.history.train, &place, |row| value(&run.history, row, &name));
            let automatic = if train.len() > POINTS && name != "lr" { train.len() / 60 } else { 1 };
            let window = options.smooth.unwrap_or(automatic);
            if window > 1 && runs.len() == 1 {
                let (label, color) = (String::new(), pale(color(0), 0.72));
                curves.push(Curve { label, color, kind: Kind::Raw, points: train.clone() });
            }
            let strength = if runs.len() > 1 && !run.history.test.is_empty() { 0.45 } else { 0.0 };
            curves.push(Curve {
                label: "train".into(),
                color: pale(color(0), strength),
                kind: Kind::Train,
                points: means(&train, window),
            });
            let nets = run.history.test.iter().map(|row| row.net).max().map_or(0, |net| net + 1);
            // Tests have the rate of training.
            let nets = if name == "lr" && !train.is_empty() { 0 } else { nets };
            for net in 0..nets {
                let rows: Vec<Row> = run.history.test.iter().filter(|row| row.net == net).cloned().collect();
                let label = if nets == 1 { "test".to_owned() } else { format!("test #{net}") };
                let points = points(&rows, &place, |row| value(&run.history, row, &name));
                curves.push(Curve { label, color: color(net + 1), kind: Kind::Test, points });
            }
        }
        curves.iter_mut().for_each(|curve| curve.points.retain(|p| !options.log || p[1] > 0.0));
        curves.retain(|curve| curve.points.iter().any(|p| p[1].is_finite()));
        if !curves.is_empty() {
            panels.push(Panel { name, curves });
        }
    }
    if panels.is_empty() {
        let log = if options.log { " above 0, as a logarithmic scale needs" } else { "" };
        return Err(format!("there is no value to draw{log}"));
    }
    let title = match runs {
        [run] => run.name.clone(),
        _ => String::new(),
    };
    let names = runs.iter().enumerate().map(|(i, run)| (run.name.clone(), COLORS[i % COLORS.len()]));
    let runs = if runs.len() > 1 { names.collect() } else { Vec::new() };
    Ok(Chart { title: options.title.clone().unwrap_or(title), along, runs, panels, log: options.log })
}

/// The names of the outputs of some rows; further values of an output are `NAME[1]` and so on.
fn names(rows: &[Row]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for row in rows {
        for (name, _) in numbered(row) {
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

fn numbered(row: &Row) -> impl Iterator<Item = (String, f64)> + '_ {
    row.outputs.iter().enumerate().map(|(i, (name, value))| {
        match row.outputs[..i].iter().filter(|(other, _)| other == name).count() {
            0 => (name.clone(), *value),
            n => (format!("{name}[{n}]"), *value),
        }
    })
}

/// The output that is the loss by another name: the only one of training.
fn only_output(history: &History) -> Option<&str> {
    let mut names = history.train.iter().flat_map(|row| &row.outputs).map(|(name, _)| &name[..]);
    let first = names.next()?;
    names.all(|name| name == first).then_some(first)
}

/// A quantity in a row.
fn value(history: &History, row: &Row, quantity: &str) -> Option<f64> {
    let output = |wanted: &str| numbered(row).find(|(name, _)| name == wanted).map(|(_, value)| value);
    match quantity {
        "lr" => row.rate,
        "loss" => row.loss.or_else(|| output("loss")).or_else(|| output(only_output(history)?)),
        name => output(name),
    }
}

/// The quantities that are asked for, or those that are worth a look.
fn quantities(runs: &[Run], wanted: &[String]) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    };
    let has = |quantity: &str| {
        let rows = |run: &Run| {
            run.history
                .train
                .iter()
                .chain(&run.history.test)
                .any(|row| value(&run.history, row, quantity).is_some())
        };
        runs.iter().any(rows)
    };
    ["loss"].into_iter().filter(|name| has(name)).for_each(&mut add);
    // The loss of a single output is shown once.
    let covered = |run: &Run, name: &str| name == "loss" || only_output(&run.history) == Some(name);
    for run in runs {
        names(&run.history.test).iter().filter(|name| !covered(run, name)).for_each(|name| add(name));
    }
    if wanted.is_empty() {
        all.truncate(PANELS);
        if all.is_empty() {
            return Err("the runs tell of no loss and of no test".into());
        }
        return Ok(all);
    }
    let mut add = |name: &str| {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    };
    runs.iter().flat_map(|run| names(&run.history.train)).for_each(|name| add(&name));
    runs.iter().flat_map(|run| names(&run.history.test)).for_each(|name| add(&name));
    ["lr"].into_iter().filter(|name| has(name)).for_each(&mut add);
    let mut chosen: Vec<String> = Vec::new();
    for want in wanted {
        let same = all.iter().filter(|name| *name == want);
        let mut matching: Vec<&String> = same.collect();
        if matching.is_empty() {
            matching = all.iter().filter(|name| name.contains(&want[..])).collect();
        }
        if matching.is_empty() {
            return Err(format!("no run has `{want}`; there are {}", all.join(", ")));
        }
        matching.into_iter().for_each(|name| {
            if !chosen.contains(name) {
                chosen.push(name.clone());
            }
        });
    }
    Ok(chosen)
}

/// Where a row stands along the lower edge, in iterations, epochs or seconds.
fn place(row: &Row, along: Along) -> Option<f64> {
    match along {
        Along::Iteration => Some(row.iter as f64),
        Along::Epoch => row.epoch,
        Along::Time => row.seconds,
    }
}

/// The unit along the lower edge and its name.
fn along(runs: &[Run], along: Along) -> Result<(f64, String), String> {
    let mut largest = 0f64;
    for run in runs {
        let rows = run.history.train.iter().chain(&run.history.test);
        let places: Vec<f64> = rows.filter_map(|row| place(row, along)).collect();
        if places.is_empty() {
            let (what, how) = match along {
                Along::Epoch => ("epochs", "metrics files of nets that read a data set do"),
                _ => ("the time", "its log does, and metrics files that were written with --metrics-time"),
            };
            return Err(format!("`{}` does not tell {what}: {how}", run.name));
        }
        largest = places.into_iter().fold(largest, f64::max);
    }
    Ok(match along {
        Along::Iteration => (1.0, "iteration".into()),
        Along::Epoch => (1.0, "epoch".into()),
        Along::Time if largest < 180.0 => (1.0, "seconds".into()),
        Along::Time if largest < 10_800.0 => (60.0, "minutes".into()),
        Along::Time => (3600.0, "hours".into()),
    })
}

fn points(
    rows: &[Row],
    place: &dyn Fn(&Row) -> Option<f64>,
    value: impl Fn(&Row) -> Option<f64>,
) -> Vec<[f64; 2]> {
    let points = rows.iter().filter_map(|row| Some([place(row)?, value(row)?]));
    points.filter(|[x, _]| x.is_finite()).collect()
}

/// The means of the points around each point, `window` of them; those that are no numbers do not count.
fn means(points: &[[f64; 2]], window: usize) -> Vec<[f64; 2]> {
    if window <= 1 {
        return points.to_vec();
    }
    // Of all points before each.
    let mut sums = vec![(0.0, 0usize)];
    for p in points {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(if p[1].is_finite() { (sum + p[1], count + 1) } else { (sum, count) });
    }
    let mean = |(i, p): (usize, &[f64; 2])| {
        let (from, to) = (i.saturating_sub(window / 2), (i + window / 2 + 1).min(points.len()));
        let (sum, count) = (sums[to].0 - sums[from].0, sums[to].1 - sums[from].1);
        [p[0], if p[1].is_finite() { sum / count as f64 } else { f64::NAN }]
    };
    points.iter().enumerate().map(mean).collect()
}

/// A colour with so much of white in it.
fn pale(color: Color, white: f64) -> Color {
    let mixed = |shift: u32| {
        let part = f64::from(color >> shift & 0xff);
        ((part + (255.0 - part) * white).round() as u32) << shift
    };
    mixed(16) | mixed(8) | mixed(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> Run {
        let row = |iter: i64, outputs: &[(&str, f64)]| Row {
            iter,
            rate: Some(0.5),
            outputs: outputs.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
            ..Row::default()
        };
        let train =
            (0..4).map(|i| Row { loss: Some(4.0 - i as f64), ..row(i, &[("softmax", 4.0 - i as f64)]) });
        let test = vec![
            row(0, &[("accuracy", 0.1), ("softmax", 4.5)]),
            row(4, &[("accuracy", 0.9), ("softmax", 0.5)]),
        ];
        Run { name: name.into(), history: History { train: train.collect(), test, turns: vec![] } }
    }

    #[test]
    fn a_single_loss_is_shown_with_that_of_tests() {
        let chart = chart(&[run("a")], &PlotOptions::default()).unwrap();
        let names: Vec<_> = chart.panels.iter().map(|p| &p.name[..]).collect();
        assert_eq!((names, &chart.title[..]), (vec!["loss", "accuracy"], "a"));
        let loss: Vec<_> = chart.panels[0].curves.iter().map(|c| (&c.label[..], c.points.clone())).collect();
        assert_eq!(loss[0].1, [[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]);
        assert_eq!(loss[1], ("test", vec![[0.0, 4.5], [4.0, 0.5]]));
        assert_eq!(chart.panels[1].curves.len(), 1);
    }

    #[test]
    fn quantities_are_chosen_by_name_or_part_of_it() {
        let options = |names: &[&str]| PlotOptions {
            quantities: names.iter().map(|n| (*n).to_owned()).collect(),
            ..PlotOptions::default()
        };
        let chart = |names: &[&str]| chart(&[run("a"), run("b")], &options(names));
        let names = |chart: Chart| chart.panels.into_iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(chart(&["lr", "acc", "softmax"]).unwrap()), ["lr", "accuracy", "softmax"]);
        let error = chart(&["wombat"]).unwrap_err();
        assert_eq!(error, "no run has `wombat`; there are loss, accuracy, softmax, lr");
        let options = PlotOptions { along: Along::Time, ..PlotOptions::default() };
        assert!(super::chart(&[run("a")], &options).unwrap_err().starts_with("`a` does not tell the time"));
    }

    #[test]
    fn means_leave_out_what_is_no_number() {
        let points = [[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0], [3.0, 5.0]];
        let found = means(&points, 2);
        assert_eq!((found[0], found[2], found[3]), ([0.0, 1.0], [2.0, 4.0], [3.0, 4.0]));
        assert!(found[1][1].is_nan());
    }
}
