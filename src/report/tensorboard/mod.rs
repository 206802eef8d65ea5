//! TensorBoard's event files: curves, histograms, filters, the net's graph and the settings of a run.
//!
//! Each run of the program writes a file of its own, as TensorBoard's writers do. A resumed one begins with a word that
//! what earlier files say of its steps no longer holds.

mod filters;
mod graph;
mod histogram;
pub mod proto;
mod record;

pub use record::read;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use prost::Message as _;

use super::{appender::Appender, metrics::now, runs, waited_for_data};
use crate::{
    config::text,
    solver::{Event, Mean, Solver},
};
use proto::{
    DataType, Event as Record, SessionLog, Summary, SummaryMetadata, Tensor, TensorShape, event::What,
    session_log::Status, summary, summary::value::Value, summary_metadata::PluginData,
};

/// Curves of the train net have at most so many points, and those that `display` asks for.
const POINTS: i32 = 10_000;
/// Speed is told at most so often.
const SPEED: Duration = Duration::from_secs(1);

/// An open event file.
pub(super) struct Board {
    file: Appender,
    /// Iterations between histograms.
    histograms: Option<i32>,
    /// Iterations between points of the train net's curves.
    stride: i32,
    /// When speed was last told, after how many iterations, and how long data had been waited for by then.
    last: (Instant, i32, Duration),
    /// The iteration at which filters were last shown.
    pictured: Option<i32>,
}

impl Board {
    /// Opens a file in a folder, with histograms of all parameters every so many iterations if that is asked for.
    ///
    /// # Errors
    /// Names the file or the folder and says why it cannot be written.
    pub fn open(folder: &Path, histograms: Option<i32>, solver: &Solver) -> Result<Self, String> {
        let (path, first) =
            new_file(folder).map_err(|e| format!("cannot write {}: {e}", folder.display()))?;
        let file = Appender::open(&path, |_| Ok(0))?;
        let stride = solver.config().max_iter() / POINTS + 1;
        let last = (Instant::now(), solver.iter(), Duration::ZERO);
        let mut board = Self { file, histograms, stride, last, pictured: None };
        board.add(0, What::FileVersion("brain.Event:2".into()));
        board.restart(solver.iter());
        if first || solver.iter() == 0 {
            let graph = graph::of(solver.train_net(), solver.params());
            board.add(0, What::GraphDef(graph.encode_to_vec()));
            board.summary(0, vec![code("solver", &text::print(solver.config()))]);
        }
        Ok(board)
    }

    /// Whether an iteration has histograms of weights and gradients.
    pub fn has_histograms(&self, iter: i32) -> bool {
        self.histograms.is_some_and(|every| iter % every == 0)
    }

    /// Adds what TensorBoard shows of an event.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>) {
        match event {
            Event::Start => self.last = (Instant::now(), solver.iter(), waited_for_data(solver)),
            Event::Train { iter, .. } => {
                if iter % self.stride == 0 || matches!(event, Event::Train { shown: true, .. }) {
                    self.train(solver, event);
                }
                if self.has_histograms(*iter) {
                    self.summary(*iter, histograms(solver));
                }
            }
            Event::Test { iter, net, outputs, loss } => {
                let group = if *net == 0 { "test".to_owned() } else { format!("test_{net}") };
                let mut values = means(&group, outputs);
                values.extend(loss.map(|loss| scalar(format!("{group}/total_loss"), loss)));
                values.extend(self.pictures(*iter, solver));
                self.summary(*iter, values);
            }
            Event::RolledBack { iter, .. } => self.restart(*iter),
            Event::Snapshot { .. } => self.file.sync(),
            Event::End(_) => {
                let pictures = self.pictures(solver.iter(), solver);
                self.summary(solver.iter(), pictures);
                self.add(solver.iter(), What::SessionLog(SessionLog { status: Status::Stop as i32 }));
            }
            _ => {}
        }
    }

    /// A point of the train net's curves.
    fn train(&mut self, solver: &Solver, event: &Event<'_>) {
        let Event::Train { iter, loss, smoothed, rate, .. } = event else { return };
        let outputs = solver.train_net().outputs();
        let mut values: Vec<summary::Value> =
            outputs.iter().flat_map(|o| scalars("train", o.name, o.values)).collect();
        values.push(scalar("train/total_loss".into(), *loss));
        values.push(scalar("train/smoothed_loss".into(), *smoothed));
        values.push(scalar("settings/learning_rate".into(), *rate));
        values.extend(solver.epochs(*iter).map(|epochs| scalar("settings/epoch".into(), epochs as f32)));
        let (start, before, waited) = self.last;
        let took = start.elapsed();
        if took >= SPEED && *iter > before {
            let (speed, now_waited) =
                (f64::from(iter - before) / took.as_secs_f64(), waited_for_data(solver));
            values.push(scalar("speed/iterations_per_second".into(), speed as f32));
            values.extend(
                solver
                    .samples_an_iteration()
                    .map(|samples| scalar("speed/samples_per_second".into(), (speed * samples) as f32)),
            );
            let share = now_waited.saturating_sub(waited).as_secs_f64() / took.as_secs_f64();
            values.push(scalar("speed/share_of_time_waiting_for_data".into(), share as f32));
            self.last = (Instant::now(), *iter, now_waited);
        }
        self.summary(*iter, values);
    }

    /// The filters at an iteration, once.
    fn pictures(&mut self, iter: i32, solver: &Solver) -> Vec<summary::Value> {
        if self.pictured.replace(iter) == Some(iter) {
            return Vec::new();
        }
        let filters = filters::first(solver.train_net(), solver.params()).into_iter();
        let picture = |(name, param)| Some((format!("filters/{name}"), filters::picture(param).ok()?));
        filters.filter_map(picture).map(|(tag, image)| value(tag, Value::Image(image))).collect()
    }

    /// Says that what has been written of steps from `iter` on no longer holds.
    fn restart(&mut self, iter: i32) {
        self.add(iter, What::SessionLog(SessionLog { status: Status::Start as i32 }));
    }

    fn summary(&mut self, iter: i32, value: Vec<summary::Value>) {
        if !value.is_empty() {
            self.add(iter, What::Summary(Summary { value }));
        }
    }

    fn add(&mut self, iter: i32, what: What) {
        let event = Record { wall_time: now(), step: i64::from(iter), what: Some(what) };
        self.file.add(&record::frame(&event));
    }
}

/// A name in the folder that comes after those of all earlier runs, as TensorBoard sorts them, and whether there are none.
fn new_file(folder: &Path) -> io::Result<(PathBuf, bool)> {
    const START: &str = "events.out.tfevents.";
    fs::create_dir_all(folder)?;
    let mut latest = None;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let seconds =
            name.to_str().and_then(|n| n.strip_prefix(START)?.split('.').next()?.parse::<u64>().ok());
        latest = latest.max(seconds);
    }
    let seconds = (now() as u64).max(latest.map_or(0, |latest| latest.saturating_add(1)));
    let host = runs::host().replace(['/', '.'], "-");
    let host = if host.is_empty() { "host" } else { &host };
    let name = format!("{START}{seconds:010}.{host}.{}.cnnctl", std::process::id());
    Ok((folder.join(name), latest.is_none()))
}

fn value(tag: String, value: Value) -> summary::Value {
    summary::Value { tag, metadata: None, value: Some(value) }
}

fn scalar(tag: String, v: f32) -> summary::Value {
    value(tag, Value::SimpleValue(v))
}

/// The values of an output, each a curve.
fn scalars<'a>(
    group: &'a str,
    name: &'a str,
    values: &'a [f32],
) -> impl Iterator<Item = summary::Value> + 'a {
    values.iter().enumerate().map(move |(i, &v)| match values.len() {
        1 => scalar(format!("{group}/{name}"), v),
        _ => scalar(format!("{group}/{name}_{i}"), v),
    })
}

fn means(group: &str, means: &[Mean]) -> Vec<summary::Value> {
    means.iter().flat_map(|mean| scalars(group, &mean.name, &mean.values)).collect()
}

/// Of all parameters and of the gradients by which they are about to be updated.
fn histograms(solver: &Solver) -> Vec<summary::Value> {
    let passes = f64::from(solver.config().iter_size().max(1));
    let mut values = Vec::new();
    for param in solver.params().iter() {
        let (layer, number) = &param.owner;
        let of = |kind: &str, v: &[f32], scale| {
            value(format!("{kind}/{layer}/{number}"), Value::Histo(histogram::of(v, scale)))
        };
        values.push(of("weights", &param.data, 1.0));
        if param.learned && !param.diff.is_empty() && param.lr_mult != 0.0 {
            values.push(of("gradients", &param.diff, 1.0 / passes));
        }
    }
    values
}

/// A text that is shown as it stands.
fn code(tag: &str, text: &str) -> summary::Value {
    let tensor = Tensor {
        dtype: DataType::String as i32,
        tensor_shape: Some(TensorShape::default()),
        string_val: vec![format!("```\n{text}```\n").into_bytes()],
    };
    let plugin_data = Some(PluginData { plugin_name: "text".into() });
    summary::Value {
        tag: tag.into(),
        metadata: Some(SummaryMetadata { plugin_data }),
        value: Some(Value::Tensor(tensor)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_runs() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        let (first, alone) = new_file(&inside).unwrap();
        assert!(alone);
        fs::write(&first, "").unwrap();
        let (second, alone) = new_file(&inside).unwrap();
        assert!(!alone && second > first, "{second:?}");
        // A clock that was wrong.
        fs::write(inside.join("events.out.tfevents.9000000000.x.1.y"), "").unwrap();
        let (third, _) = new_file(&inside).unwrap();
        assert!(third.to_str().unwrap().contains(".9000000001."), "{third:?}");
    }

    #[test]
    fn several_values_are_several_curves() {
        let means = means(
            "test_1",
            &[Mean { name: "p".into(), values: vec![1.0, 2.0], loss_weight: 0.0, more_is_better: None }],
        );
        let tags: Vec<_> = means.iter().map(|v| &v.tag[..]).collect();
        assert_eq!(tags, ["test_1/p_0", "test_1/p_1"]);
    }
}
