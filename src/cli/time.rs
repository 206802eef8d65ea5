//! `cnnctl time`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    Done, Failure,
    caffe_flags::Gpu,
    failure::CONFIG,
    output,
    ranks::{self, ExchangeArgs},
    shape::parse_shape,
    state::{PhaseArg, StateArgs},
};
use crate::{
    comm::{Comm, launch::Launch},
    config::{
        self, NetFile,
        proto::{BlobShape, InputParameter, LayerParameter, NetParameter},
    },
    kernels::simd,
    layers::{self, Role},
    net::{BlobId, LayerView, Net, Options, Params, plan::filter::filter},
    report::{self, Align, Table},
    solver::Team,
    tensor::Shape,
};

/// Time every layer of a net, forward and backward
///
/// The table gives the mean of the iterations, and for layers that multiply matrices the billions of floating-point
/// operations a second that this makes, and their share of what the machine's threads reach in registers. Operations are
/// counted as plain sums need them: fast convolution needs fewer, so its share can exceed 100%. A layer without times is done
/// by the layer before it. A net without a loss runs backward from its outputs.
///
/// `--forward-only --phase TEST` times inference: nothing is kept for a backward pass, and layers do more of the work of those
/// behind them.
#[derive(Args, Debug)]
pub struct TimeArgs {
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The phase
    #[arg(long, value_enum, ignore_case = true, default_value = "TRAIN")]
    phase: PhaseArg,
    /// Time no backward passes, and run as if there were none, as `test` does
    #[arg(long)]
    forward_only: bool,
    /// How many forward and backward passes to time, after one that warms up
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Time without a data set: the layer that gives this blob gives zeros of this shape instead. Its other blobs, if
    /// they are not named, too, are labels: one value for each sample. Those of HDF5Data must be named
    #[arg(long, value_name = "BLOB=N,C,H,W", value_parser = parse_shape)]
    shape: Vec<(String, Shape)>,
    /// Taken for Caffe's sake: it says nothing about times
    #[arg(long, hide = true, value_name = "FILE,...")]
    weights: Option<String>,
    #[command(flatten)]
    exchange: ExchangeArgs,
    #[command(flatten)]
    gpu: Gpu,
    #[command(flatten)]
    state: StateArgs,
}

/// How long the other ranks may take to answer.
const PATIENCE: Duration = Duration::from_secs(300);

impl TimeArgs {
    /// Runs the command, on all ranks that a launcher has started.
    pub(super) fn run(self, launch: Option<&Launch>) -> Done {
        ranks::together(launch, PATIENCE, |comm| self.time(comm))
    }

    fn time(&self, comm: Option<Comm>) -> Done {
        self.gpu.note();
        if self.weights.is_some() {
            report::info("--weights means nothing here: no weight changes how long a layer takes");
        }
        let mut file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        if let Some((layer, top)) = unnamed(&file.net, &self.shape) {
            let message = format!("--shape: `{top}` of the HDF5Data layer `{layer}` needs a shape, too");
            return Err(Failure::new(CONFIG, message));
        }
        for (name, shape) in &self.shape {
            if !replace_source(&mut file.net, name, shape, &self.shape) {
                return Err(Failure::new(CONFIG, format!("--shape: no source layer gives a blob `{name}`")));
            }
        }
        let (mut net, mut params) = self.build(&file)?;
        let mut team = comm.map(|comm| self.exchange.team(comm));
        if let Some(team) = &mut team {
            net.take_part(team.shard()).map_err(|e| Failure::net(&e, Some(&file)))?;
            if !self.forward_only {
                team.plan(&net, &params);
            }
        }
        let ends: Vec<(BlobId, Vec<f32>)> = (net.given_diffs().iter())
            .filter_map(|name| net.blob(name))
            .map(|id| (id, vec![1.0; net.shape(id).count()]))
            .collect();
        let ends: Vec<(BlobId, &[f32])> = ends.iter().map(|(id, ones)| (*id, &ones[..])).collect();
        let mut watch = Stopwatch::new(net.layers().len(), !self.forward_only);
        let mut pass = |watch: &mut Stopwatch| watch.pass(&mut net, &mut params, &ends, team.as_mut(), &file);
        report::info("Performing a pass to warm up");
        pass(&mut watch)?;
        watch = Stopwatch::new(watch.layers.len(), watch.backward);
        report::info(&format!("Testing for {} iterations.", self.iterations));
        for _ in 0..self.iterations {
            pass(&mut watch)?;
        }
        let leads = team.as_ref().is_none_or(Team::leads);
        team.into_iter().for_each(Team::leave);
        if leads {
            output::print(&watch.show(&net, self.iterations))?;
        }
        Ok(0)
    }

    /// The net, with backward passes in either phase, as Caffe times it, unless they are not wanted.
    fn build(&self, file: &NetFile) -> Result<(Net, Params), Failure> {
        let mut params = Params::new();
        let phase = self.phase.into();
        let state = self.state.state(phase, &file.net);
        let fail = |e| Failure::net(&e, Some(file));
        let mut options = Options { state, backward: !self.forward_only, ..Options::new(phase, 1) };
        if options.backward {
            options.given_diffs = ends(&filter(&file.net, &options.state).map_err(fail)?);
        }
        let net = Net::new(&file.net, options, &mut params).map_err(fail)?;
        Ok((net, params))
    }
}

/// A layer of HDF5 files that gives a blob of those named, and another of its blobs, which may have any shape.
fn unnamed<'n>(net: &'n NetParameter, named: &[(String, Shape)]) -> Option<(&'n str, &'n str)> {
    let is_named = |top: &&String| named.iter().any(|(name, _)| name == *top);
    let mut layers =
        net.layer.iter().filter(|l| l.r#type() == "HDF5Data" && l.top.iter().any(|t| is_named(&t)));
    layers.find_map(|l| Some((l.name(), &l.top.iter().find(|top| !is_named(top))?[..])))
}

/// Puts an `Input` layer in the place of the sources of a blob, so that they need no data.
fn replace_source(net: &mut NetParameter, name: &str, shape: &Shape, named: &[(String, Shape)]) -> bool {
    let mut found = false;
    for layer in &mut net.layer {
        let source = layers::kind(layer.r#type()).is_some_and(|k| k.role == Role::Source);
        if !source || !layer.top.iter().any(|top| top == name) {
            continue;
        }
        let dims = |top: &String| match named.iter().find(|(name, _)| name == top) {
            Some((_, shape)) => shape.iter().map(|&d| d as i64).collect(),
            None => shape.iter().take(1).map(|&d| d as i64).collect(),
        };
        let shape = layer.top.iter().map(|top| BlobShape { dim: dims(top) }).collect();
        layer.r#type = Some("Input".into());
        layer.input_param = Some(InputParameter { shape });
        found = true;
    }
    found
}

/// Where the backward pass of a net without a loss begins: the blobs that no layer with a gradient reads.
fn ends(layers: &[LayerParameter]) -> Vec<String> {
    let role = |l: &LayerParameter| layers::kind(l.r#type()).map(|k| k.role);
    let loss = |l: &LayerParameter| match l.loss_weight[..] {
        [] => role(l) == Some(Role::Loss),
        ref weights => weights.iter().any(|&w| w != 0.0),
    };
    if layers.iter().any(loss) {
        return Vec::new();
    }
    let mut ends = Vec::new();
    for (i, layer) in layers.iter().enumerate().filter(|(_, l)| role(l) != Some(Role::Measure)) {
        let read = |top: &String| {
            layers[i + 1..].iter().any(|l| role(l) != Some(Role::Measure) && l.bottom.contains(top))
        };
        ends.extend(layer.top.iter().filter(|&top| !read(top)).cloned());
    }
    ends
}

/// Sums of times.
struct Stopwatch {
    /// Whether there are backward passes.
    backward: bool,
    /// Forward and backward, for each layer.
    layers: Vec<[Duration; 2]>,
    /// Whole passes, forward and backward.
    passes: [Duration; 2],
    /// How long data was waited for.
    waited: Duration,
    /// With several ranks: how long gradients were under way, how long they were waited for, and how many bytes each rank
    /// sent.
    exchange: Option<([Duration; 2], u64)>,
}

impl Stopwatch {
    fn new(layers: usize, backward: bool) -> Self {
        Self {
            backward,
            layers: vec![[Duration::ZERO; 2]; layers],
            passes: [Duration::ZERO; 2],
            waited: Duration::ZERO,
            exchange: None,
        }
    }

    /// Adds the times of a forward pass, and, where there are any, of a backward pass, to which the diffs of `ends` are given,
    /// and of the exchange of gradients with other ranks.
    fn pass(
        &mut self,
        net: &mut Net,
        params: &mut Params,
        ends: &[(BlobId, &[f32])],
        mut team: Option<&mut Team>,
        file: &NetFile,
    ) -> Result<(), Failure> {
        let waited = net.waited_for_data();
        let bytes = team.as_ref().map_or(0, |team| team.sent());
        let start = Instant::now();
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let start = Instant::now();
            net.forward_layer(i, params).map_err(|e| Failure::net(&e, Some(file)))?;
            layer[0] += start.elapsed();
        }
        net.end_pass();
        self.passes[0] += start.elapsed();
        self.waited += net.waited_for_data().saturating_sub(waited);
        if !self.backward {
            return Ok(());
        }
        let start = Instant::now();
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            let start = Instant::now();
            net.prepare_diffs(i, ends);
            net.backward_layer(i, params, &mut ());
            if let Some(team) = &mut team {
                team.layer_done(i, params);
            }
            layer[1] += start.elapsed();
        }
        self.passes[1] += start.elapsed();
        if let Some(team) = team {
            let before = team.exchange();
            team.finish(net, params, 0.0)?;
            let after = team.exchange();
            let (sums, sent) = self.exchange.get_or_insert_default();
            *sums = [0, 1].map(|i| sums[i] + after[i] - before[i]);
            *sent += team.sent() - bytes;
        }
        Ok(())
    }

    /// The table, and Caffe's lines below it.
    fn show(&self, net: &Net, iterations: u32) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(iterations);
        let columns: [_; 8] = [
            ("layer", Align::Left),
            ("type", Align::Left),
            ("forward ms", Align::Right),
            ("GFLOP/s", Align::Right),
            ("of peak", Align::Right),
            ("backward ms", Align::Right),
            ("GFLOP/s", Align::Right),
            ("of peak", Align::Right),
        ];
        let peak = simd::peak();
        let mut table = Table::new(if self.backward { &columns } else { &columns[..5] });
        let (mut all, mut fused) = ([0.0; 2], false);
        for (layer, &times) in net.layers().zip(&self.layers) {
            let times = times.map(ms);
            let flops = flops(&layer);
            all.iter_mut().zip(flops).for_each(|(sum, f)| *sum += f);
            let [mut forward, mut backward] = cells(times, flops, peak);
            if !layer.need.backward {
                backward.fill(String::new());
            }
            if layer.within.is_some() {
                forward.fill(String::new());
                backward.fill(String::new());
                fused = true;
            }
            self.row(&mut table, [layer.config.name(), layer.kind.name], [forward, backward]);
        }
        let passes = self.passes.map(ms);
        self.row(&mut table, ["total", ""], cells(passes, all, peak));
        let [forward, backward] = passes;
        let with_backward = format!(
            "Average Backward pass: {backward:.3} ms.\nAverage Forward-Backward: {:.3} ms.\n",
            forward + backward
        );
        format!(
            "{}{}\nPeak of {} threads: {:.1} GFLOP/s.\nAverage Forward pass: {forward:.3} ms.\n{}Total Time: {:.3} ms.\n\
             Waiting for data: {:.1}% of the time.\n{}",
            table.plain(),
            if fused { "Layers without times are done by the layer before them.\n" } else { "" },
            rayon::current_num_threads(),
            peak / 1e9,
            if self.backward { &with_backward } else { "" },
            (forward + backward) * f64::from(iterations),
            100.0 * ms(self.waited) / (forward + backward),
            self.exchange
                .map(|(times, sent)| exchanged(times.map(ms), sent / u64::from(iterations)))
                .unwrap_or_default()
        )
    }

    /// Adds a row to the table, which has columns for backward passes if there are any.
    fn row(&self, table: &mut Table, [name, kind]: [&str; 2], [forward, backward]: [[String; 3]; 2]) {
        let ([name, kind], [ms, rate, share]) = ([name, kind].map(str::to_owned), forward);
        if self.backward {
            let [back_ms, back_rate, back_share] = backward;
            table.row([name, kind, ms, rate, share, back_ms, back_rate, back_share]);
        } else {
            table.row([name, kind, ms, rate, share]);
        }
    }
}

/// What the exchange of gradients costs: milliseconds under way, milliseconds of waiting, and bytes.
fn exchanged([under_way, waited]: [f64; 2], sent: u64) -> String {
    let hidden = 100.0 * (1.0 - waited / under_way.max(waited).max(f64::MIN_POSITIVE));
    format!(
        "Average exchange of gradients: {under_way:.3} ms; waiting for it and for slower ranks takes {waited:.3} ms: \
         {hidden:.0}% hidden behind the backward pass.\nEach rank sends {sent} bytes a step.\n"
    )
}

/// Milliseconds, GFLOP/s and their share of the peak, forward and backward.
fn cells(ms: [f64; 2], flops: [f64; 2], peak: f64) -> [[String; 3]; 2] {
    std::array::from_fn(|i| {
        let rate = flops[i] / ms[i] * 1e3;
        let shown = |text: String| if flops[i] > 0.0 { text } else { String::new() };
        let share = shown(format!("{:.0}%", 100.0 * rate / peak));
        [format!("{:.3}", ms[i]), shown(format!("{:.1}", rate / 1e9)), share]
    })
}

/// Floating-point operations forward and backward: one product backward for the bottom's diff, one for the weight's.
fn flops(layer: &LayerView<'_>) -> [f64; 2] {
    let product = 2.0 * layer.layer.multiply_adds() as f64;
    let products =
        u8::from(layer.need.bottoms.contains(&true)) + u8::from(layer.need.params.first() == Some(&true));
    [product, if layer.need.backward { f64::from(products) * product } else { 0.0 }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> NetParameter {
        config::net_from_text("net.prototxt", text).unwrap().net
    }

    #[test]
    fn backward_begins_at_the_outputs_of_a_net_without_a_loss() {
        let deploy = "layer { name: 'a' type: 'Input' top: 'x' top: 'mask' }
            layer { name: 'b' type: 'ReLU' bottom: 'x' top: 'x' }
            layer { name: 'c' type: 'ArgMax' bottom: 'x' top: 'best' }";
        assert_eq!(ends(&net(deploy).layer), ["mask", "x"]);
        let loss = "layer { name: 'l' type: 'EuclideanLoss' bottom: 'x' bottom: 'mask' top: 'loss' }";
        assert_eq!(ends(&net(&format!("{deploy} {loss}")).layer), [""; 0]);
    }

    #[test]
    fn blobs_of_hdf5_files_must_be_named() {
        let net = net("layer { name: 'a' type: 'HDF5Data' top: 'x' top: 'y' }");
        let named = [parse_shape("x=2,3").unwrap(), parse_shape("y=2,3,4").unwrap()];
        assert_eq!(unnamed(&net, &named[..1]), Some(("a", "y")));
        assert_eq!((unnamed(&net, &named), unnamed(&net, &[])), (None, None));
    }

    #[test]
    fn a_source_is_replaced_by_zeros() {
        let mut net = net("layer { name: 'a' type: 'Data' top: 'x' top: 'label'
            data_param { source: 'nowhere' batch_size: 9 } }");
        let named = [parse_shape("x=2,3,4").unwrap()];
        assert!(replace_source(&mut net, "x", &named[0].1, &named));
        let layer = &net.layer[0];
        let shapes: Vec<_> = layer.input_param.iter().flat_map(|p| &p.shape).map(|s| &s.dim[..]).collect();
        assert_eq!((layer.r#type(), &shapes[..]), ("Input", &[&[2, 3, 4][..], &[2]][..]));
        assert!(!replace_source(&mut net, "y", &Shape::from([1]), &named));
    }
}
