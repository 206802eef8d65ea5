//! `cnnctl time`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    Done, Failure,
    failure::FAILED,
    state::{PhaseArg, StateArgs},
};
use crate::{
    config::{self, NetFile},
    net::{LayerView, Net, Options, Params},
    report::{self, Align, Table},
};

/// Time every layer of a net, forward and backward
///
/// The table gives the mean of the iterations, and for layers that multiply matrices the billions of floating-point
/// operations a second that this makes.
#[derive(Args, Debug)]
pub struct TimeArgs {
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The phase
    #[arg(long, value_enum, ignore_case = true, default_value = "TRAIN")]
    phase: PhaseArg,
    /// How many forward and backward passes to time, after one that warms up
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    #[command(flatten)]
    state: StateArgs,
}

impl TimeArgs {
    pub(super) fn run(self) -> Done {
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let (mut net, mut params) = self.build(&file)?;
        let mut watch = Stopwatch::new(net.layers().len());
        let mut pass = |watch: &mut Stopwatch| {
            watch.pass(&mut net, &mut params).map_err(|e| Failure::net(&e, Some(&file)))
        };
        report::info("Performing a pass to warm up");
        pass(&mut watch)?;
        watch = Stopwatch::new(watch.layers.len());
        report::info(&format!("Testing for {} iterations.", self.iterations));
        for _ in 0..self.iterations {
            pass(&mut watch)?;
        }
        report::print(&watch.show(&net, self.iterations)).map_err(|e| Failure::new(FAILED, e))?;
        Ok(0)
    }

    /// The net, with backward passes in either phase, as Caffe times it.
    fn build(&self, file: &NetFile) -> Result<(Net, Params), Failure> {
        let mut params = Params::new();
        let phase = self.phase.into();
        let state = self.state.state(phase);
        let options = Options { state, backward: true, ..Options::new(phase, 1) };
        let net = Net::new(&file.net, options, &mut params).map_err(|e| Failure::net(&e, Some(file)))?;
        Ok((net, params))
    }
}

/// Sums of times.
struct Stopwatch {
    /// Forward and backward, for each layer.
    layers: Vec<[Duration; 2]>,
    /// Whole passes, forward and backward.
    passes: [Duration; 2],
}

impl Stopwatch {
    fn new(layers: usize) -> Self {
        Self { layers: vec![[Duration::ZERO; 2]; layers], passes: [Duration::ZERO; 2] }
    }

    /// Adds the times of a forward and a backward pass.
    fn pass(&mut self, net: &mut Net, params: &mut Params) -> Result<(), crate::net::NetError> {
        let start = Instant::now();
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let start = Instant::now();
            net.forward_layer(i, params)?;
            layer[0] += start.elapsed();
        }
        net.resume_passes(net.passes() + 1);
        let middle = Instant::now();
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            let start = Instant::now();
            net.prepare_diffs(i, &[]);
            net.backward_layer(i, params);
            layer[1] += start.elapsed();
        }
        self.passes[0] += middle - start;
        self.passes[1] += middle.elapsed();
        Ok(())
    }

    /// The table, and Caffe's lines below it.
    fn show(&self, net: &Net, iterations: u32) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(iterations);
        let columns = [
            ("layer", Align::Left),
            ("type", Align::Left),
            ("forward ms", Align::Right),
            ("GFLOP/s", Align::Right),
            ("backward ms", Align::Right),
            ("GFLOP/s", Align::Right),
        ];
        let mut table = Table::new(&columns);
        let mut all = [0.0; 2];
        for (layer, &times) in net.layers().zip(&self.layers) {
            let times = times.map(ms);
            let flops = flops(&layer);
            all.iter_mut().zip(flops).for_each(|(sum, f)| *sum += f);
            let [forward, backward] = cells(times, flops);
            let backward = if layer.backward { backward } else { [String::new(), String::new()] };
            let ([f, f_rate], [b, b_rate]) = (forward, backward);
            table.row([layer.config.name().into(), layer.kind.name.into(), f, f_rate, b, b_rate]);
        }
        let passes = self.passes.map(ms);
        let [[f, f_rate], [b, b_rate]] = cells(passes, all);
        table.row(["total".into(), String::new(), f, f_rate, b, b_rate]);
        let [forward, backward] = passes;
        format!(
            "{}\nAverage Forward pass: {forward:.3} ms.\nAverage Backward pass: {backward:.3} ms.\n\
             Average Forward-Backward: {:.3} ms.\nTotal Time: {:.3} ms.\n",
            table.plain(),
            forward + backward,
            (forward + backward) * f64::from(iterations)
        )
    }
}

/// Milliseconds and GFLOP/s, forward and backward.
fn cells(ms: [f64; 2], flops: [f64; 2]) -> [[String; 2]; 2] {
    std::array::from_fn(|i| {
        let rate = if flops[i] > 0.0 { format!("{:.1}", flops[i] / ms[i] / 1e6) } else { String::new() };
        [format!("{:.3}", ms[i]), rate]
    })
}

/// Floating-point operations forward and backward: one product backward for the bottom's diff, one for the weight's.
fn flops(layer: &LayerView<'_>) -> [f64; 2] {
    let product = 2.0 * layer.layer.multiply_adds() as f64;
    let products =
        u8::from(layer.need.bottoms.contains(&true)) + u8::from(layer.need.params.first() == Some(&true));
    [product, if layer.backward { f64::from(products) * product } else { 0.0 }]
}
