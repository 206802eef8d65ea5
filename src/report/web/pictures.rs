//! Pictures that the page shows: the net as a graph, and the filters that look at the input.

use std::path::Path;

use crate::{
    config::{
        self,
        proto::{LayerParameter, NetParameter, NetState, Phase},
    },
    net::check::{Sketch, View, states},
    report::{draw, picture, runs::entry::Start},
    snapshot::Weights,
};

/// As many pictures of filters are shown.
const FILTERS: usize = 400;
/// The side of a filter that is shown, at most.
const SIDE: usize = 64;

/// The net of a run as a graph, as SVG; none if nothing is known of it.
pub fn graph(start: &Start) -> Option<String> {
    let mut net = config::net_from_text("", &start.net[..]).ok()?.net;
    net.layer.iter_mut().for_each(keep_closed);
    let shapes = start.shapes.iter().map(|(name, shape)| (name.clone(), shape.clone().into())).collect();
    let view = View { shapes, ..View::default() };
    let sketch = Sketch::new(&net, &state(&net), &view, &mut Vec::new());
    Some(draw::svg(net.name(), &sketch))
}

/// Training, unless the net only knows testing.
fn state(net: &NetParameter) -> NetState {
    let trains = states(net, 0, &[]).into_iter().find(|state| state.phase() == Phase::Train);
    trains.unwrap_or_else(|| NetState { phase: Some(Phase::Test as i32), ..NetState::default() })
}

/// Leaves a layer without its data, which nobody opens for a picture: the shapes are known.
fn keep_closed(layer: &mut LayerParameter) {
    let closed = || Some("(closed)".to_owned());
    if let Some(p) = &mut layer.data_param {
        p.source = closed();
    }
    if let Some(p) = &mut layer.image_data_param {
        p.source = closed();
    }
    if let Some(p) = &mut layer.hdf5_data_param {
        p.source = closed();
    }
    if let Some(p) = &mut layer.window_data_param {
        p.source = closed();
    }
}

/// The filters of the first layer that has some.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// The layer.
    pub layer: String,
    /// How many there are, of how many channels, rows and columns.
    pub shape: [usize; 4],
    /// The picture, as PNG.
    pub png: Vec<u8>,
}

/// The filters of the first layer of a file of weights that has some; none if no layer has, or the file cannot be read.
pub fn filters(weights: &Path) -> Option<Filters> {
    let layers = Weights::load(weights).ok()?.layers;
    layers.iter().find_map(|layer| {
        let blob = layer.blobs.first()?.as_ref()?;
        let shape: [usize; 4] = blob.shape.to_vec().try_into().ok()?;
        let [.., h, w] = shape;
        let shown = (2..=SIDE).contains(&h) && (2..=SIDE).contains(&w);
        let (png, _) = shown.then(|| picture::filters(&blob.values, shape, FILTERS, 1).ok()).flatten()?;
        Some(Filters { layer: layer.name.clone(), shape, png })
    })
}
