//! Files of weights: `NetParameter`s whose layers carry blobs.

use std::{
    io::{self, Write},
    mem::take,
    path::Path,
};

use prost::Message as _;

use super::{
    Access, Format, LayerBlobs, SnapshotError, WeightsToSave, Written,
    blob::read_blob,
    content::{Content, owns},
    hdf5,
    lift::{Lifted, OF_NET},
    wire, write_whole_with,
};
use crate::{
    config::{
        self,
        proto::{LayerParameter, NetParameter, SolverState},
    },
    net::{LayerView, Net, NetError, ParamId, Params},
};

/// Fields of `NetParameter` and `LayerParameter`.
const LAYER: u32 = 100;
const BLOBS: u32 = 7;

/// A file of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The layers that have blobs.
    pub layers: Vec<LayerBlobs>,
    /// The net before filtering by phase, which our own snapshots carry and Caffe's do not.
    pub source_net: Option<NetParameter>,
    /// Whether it does not fit its checksum. Programs that change weights by Caffe's schema keep the checksum without
    /// knowing it, so this need not be damage.
    pub changed: bool,
}

/// What became of the layers when weights were copied into a net.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Layers of the net that took their blobs from the file.
    pub loaded: Vec<String>,
    /// Layers of the file that the net does not have.
    pub ignored: Vec<String>,
    /// Layers of the net with parameters that the file does not have.
    pub missing: Vec<String>,
    /// Whether the file does not fit its checksum.
    pub changed: bool,
    /// Whether the file has no layer with weights.
    pub empty: bool,
}

impl Copied {
    /// After a further file was laid over this one: what both leave without weights, what either does not use.
    pub fn then(mut self, next: Self) -> Self {
        self.missing.retain(|name| next.missing.contains(name));
        self.loaded.extend(next.loaded);
        self.ignored.extend(next.ignored);
        self.changed |= next.changed;
        self.empty &= next.empty;
        self
    }

    /// What does not match, in words, if anything.
    pub fn mismatch(&self) -> Option<String> {
        let list = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let missing = (!self.missing.is_empty()).then(|| format!("no weights for {}", list(&self.missing)));
        let ignored = (!self.ignored.is_empty())
            .then(|| format!("weights of layers that the net does not have: {}", list(&self.ignored)));
        let parts: Vec<String> = missing.into_iter().chain(ignored).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Weights {
    /// Reads a file of weights; its content decides the format.
    ///
    /// # Errors
    /// When it cannot be read, or is not a whole file of weights.
    pub fn load(path: &Path) -> Result<Self, SnapshotError> {
        let file = Lifted::load(path, OF_NET).map_err(SnapshotError::io(Access::Read, path))?;
        Self::read(file).map_err(|message| SnapshotError::content(path, message))
    }

    /// Reads the file of weights that a solver state belongs to: one that has this CRC-32.
    ///
    /// # Errors
    /// As [`Weights::load`], and when the file is not the one that was written with the state.
    pub fn load_checked(path: &Path, checksum: u32) -> Result<Self, SnapshotError> {
        let file = Lifted::load(path, OF_NET).map_err(SnapshotError::io(Access::Read, path))?;
        if file.checksum != checksum {
            let message = "is damaged, or not the file that was written with the solver state; start from its \
                           weights alone with --weights";
            return Err(SnapshotError::content(path, message));
        }
        Self::read(file).map_err(|message| SnapshotError::content(path, message))
    }

    /// Reads the bytes of a file of weights.
    ///
    /// # Errors
    /// Says what is wrong when they are none.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, String> {
        Self::read(Lifted::of(bytes, OF_NET))
    }

    fn read(file: Lifted) -> Result<Self, String> {
        let content = match Format::of_bytes(&file.rest) {
            Format::Hdf5 => hdf5::read_weights(file.rest),
            Format::BinaryProto => from_proto(file),
        }?;
        let net = content.source_net.as_deref();
        if content.checksum.is_some() && net.is_none() {
            return Err("is cut off: the net that our files end with is not there".into());
        }
        let changed = content.changed();
        let damaged = |e| format!("its embedded net is damaged ({e})");
        let source_net = net.map(NetParameter::decode).transpose().map_err(damaged)?;
        Ok(Self { layers: content.layers, source_net, changed })
    }

    /// Gives the layers of the same name the blobs, as Caffe copies them.
    ///
    /// # Errors
    /// When a layer of that name has parameters of another number or shape.
    pub fn copy_into(self, net: &Net, params: &mut Params) -> Result<Copied, NetError> {
        self.copy_into_all(&[net], 0, params).map_err(|(_, error)| error)
    }

    /// Like [`Weights::copy_into`], for nets that share parameters: each parameter is copied for the first net that has it.
    /// Those of the first `done` nets stay as they are. As in Caffe, which copies layer by layer in the order of the file, the last
    /// layer of a name counts, and of a parameter that layers share the values of the last of them.
    ///
    /// # Errors
    /// As [`Weights::copy_into`], with the number of the net.
    pub fn copy_into_all(
        mut self,
        nets: &[&Net],
        done: usize,
        params: &mut Params,
    ) -> Result<Copied, (usize, NetError)> {
        let (changed, empty) = (self.changed, self.layers.is_empty());
        let mut copied = Copied { changed, empty, ..Copied::default() };
        let layers = layers_to_fill(nets, done);
        // The place in the file of what each parameter has got.
        let mut places = vec![0; params.len()];
        for Filling { net, first, layer } in &layers {
            let name = layer.config.name();
            let owns = |i: usize, params: &Params| owns(layer, i, &params[layer.params[i]]);
            let Some(place) = self.layers.iter().rposition(|l| l.name == name) else {
                if (0..layer.params.len()).any(|i| owns(i, params)) {
                    copied.missing.push(name.to_owned());
                }
                continue;
            };
            let saved = &mut self.layers[place];
            let blobs = || saved.blobs.iter().map(Option::as_ref).chain(std::iter::repeat(None));
            let lacks =
                blobs().take(layer.params.len()).enumerate().any(|(i, b)| b.is_none() && owns(i, params));
            if saved.blobs.len() > layer.params.len() || lacks {
                let message = format!(
                    "has {} parameters, but {} in the file of weights",
                    layer.params.len(),
                    saved.blobs.iter().flatten().count()
                );
                return Err((*net, NetError::layer(layer.config, "", message)));
            }
            // A second layer of this name needs them again.
            let last = layers.iter().filter(|l| l.layer.config.name() == name).count() == 1;
            for (i, (blob, &id)) in saved.blobs.iter_mut().zip(layer.params).enumerate() {
                let Some(blob) = blob.as_mut().filter(|_| id >= *first) else { continue };
                // One that is shared with PERMISSIVE keeps a shape of its own in each layer.
                let shape = &layer.outline.params[i].shape;
                if !blob.fits(shape) {
                    let message = format!(
                        "cannot copy parameter {i}: its shape is {shape}, but {} in the file of weights; to learn \
                         this layer anew, give it another name",
                        blob.shape
                    );
                    return Err((*net, NetError::layer(layer.config, "", message)));
                }
                if place >= places[id] {
                    places[id] = place;
                    let values = if last { take(&mut blob.values) } else { blob.values.clone() };
                    params[id].data = values.into_buffer();
                }
            }
            copied.loaded.push(name.to_owned());
        }
        let known = |name: &str| nets.iter().flat_map(|net| net.layers()).any(|l| l.config.name() == name);
        copied.ignored = self.layers.into_iter().map(|l| l.name).filter(|name| !known(name)).collect();
        Ok(copied)
    }
}

/// A layer that weights are copied into.
struct Filling<'n> {
    /// The number of its net.
    net: usize,
    /// Parameters before this one are those of earlier nets.
    first: ParamId,
    layer: LayerView<'n>,
}

/// The layers with parameters that no earlier net has, but for the first `done` nets.
fn layers_to_fill<'n>(nets: &[&'n Net], done: usize) -> Vec<Filling<'n>> {
    let (mut layers, mut first) = (Vec::new(), 0);
    for (net, of) in nets.iter().enumerate() {
        let new = of.layers().filter(|layer| layer.params.iter().any(|&id| id >= first));
        layers.extend(new.filter(|_| net >= done).map(|layer| Filling { net, first, layer }));
        first = of.layers().flat_map(|layer| layer.params).fold(first, |first, &id| first.max(id + 1));
    }
    layers
}

fn from_proto(mut file: Lifted) -> Result<Content, String> {
    let bytes = &file.rest[..];
    let net = NetParameter::decode(bytes).map_err(|e| match SolverState::decode(bytes) {
        Ok(state) if state.iter.is_some() => {
            format!("is a solver state, not a file of weights; its weights are in {}", state.learned_net())
        }
        _ if !config::is_binary(bytes) => {
            "is a text, not a file of weights; a net or solver goes to --model or --solver".to_owned()
        }
        _ => format!("not a file of weights, or a damaged one: it does not decode as a NetParameter ({e})"),
    })?;
    let (source_net, checksum) = (net.cnnctl_source_net.clone(), net.cnnctl_checksum);
    let file_of_net = config::net_from_param(net).map_err(|errors| {
        let messages: Vec<&str> = errors.iter().map(|error| &error.message[..]).collect();
        messages.join("; ")
    })?;
    let net = file_of_net.net;
    if net.layer.is_empty() && source_net.is_none() {
        return Err("holds neither a net nor weights".into());
    }
    let mut layers = Vec::new();
    for layer in net.layer.into_iter().filter(|l| !l.blobs.is_empty()) {
        let name = layer.name().to_owned();
        let blobs = layer.blobs.into_iter().map(|blob| read_blob(blob, &mut file.arrays).map(Some));
        let blobs = blobs.collect::<Result<_, _>>();
        layers.push(LayerBlobs { blobs: blobs.map_err(|e| format!("layer `{name}`: {e}"))?, name });
    }
    Ok(Content { layers, source_net, checksum })
}

impl WeightsToSave<'_> {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path, format: Format) -> Result<Written, SnapshotError> {
        write_whole_with(path, |out| match format {
            Format::BinaryProto => self.write_proto(out),
            Format::Hdf5 => hdf5::write_weights(self, out),
        })
    }

    fn write_proto(&self, out: &mut dyn Write) -> io::Result<()> {
        // The checksum comes first and the net last: a file that is cut off lacks the net that the checksum covers.
        let source_net = self.source_bytes();
        let head = NetParameter {
            name: Some(self.net.name().to_owned()),
            cnnctl_checksum: Some(self.checksum(Format::BinaryProto, &source_net)),
            ..NetParameter::default()
        };
        let source = NetParameter { cnnctl_source_net: Some(source_net), ..NetParameter::default() };
        out.write_all(&head.encode_to_vec())?;
        for layer in self.net.layers() {
            let config = LayerParameter { cnnctl_origin: None, ..layer.config.clone() }.encode_to_vec();
            let arrays = || (0..layer.params.len()).map(|i| self.array(&layer, i));
            let blobs: usize = arrays().map(|array| array.field_len(BLOBS)).sum();
            wire::start_field(LAYER, config.len() + blobs, out)?;
            out.write_all(&config)?;
            arrays().try_for_each(|array| array.write(BLOBS, out))?;
        }
        out.write_all(&source.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{
            net_from_text,
            proto::{BlobProto, BlobShape, Phase},
        },
        net::Options,
        snapshot::BlobValues,
        tensor::Shape,
    };

    #[test]
    fn layers_of_one_name_all_get_their_blobs() {
        let ip = |top: &str| {
            let settings = "inner_product_param { num_output: 2 bias_term: false }";
            format!("layer {{ name: 'ip' type: 'InnerProduct' bottom: 'x' top: '{top}' {settings} }}")
        };
        let input = "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 3] } } }";
        let file = net_from_text("net", [input, &ip("a"), &ip("b")].concat()).unwrap();
        let mut params = Params::new();
        let net = Net::new(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
        let values: Vec<f32> = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let blob = BlobValues { shape: [2, 3].into(), legacy: false, values: values.clone().into() };
        let layer = |name: &str| LayerBlobs { name: name.into(), blobs: vec![Some(blob.clone())] };
        let weights = Weights { layers: vec![layer("ip"), layer("old")], source_net: None, changed: true };
        let copied = weights.copy_into(&net, &mut params).unwrap();
        assert_eq!((&copied.ignored[..], copied.changed), (&["old".to_owned()][..], true));
        assert_eq!(params.len(), 2);
        assert!(params.iter().all(|p| p.data[..] == values[..]));
    }

    #[test]
    fn what_is_wrong_with_the_net_inside_is_told_without_a_prefix() {
        let old = "layers { layer { name: 'c' type: 'conv' } bottom: 'data' top: 'c' }";
        let net = config::text::parse::<NetParameter>("net", old).unwrap().message;
        let error = Weights::decode(net.encode_to_vec()).err().unwrap();
        assert_eq!(error, "layer `c`: bottom `data` is not produced by any layer above");
    }

    #[test]
    fn blobs_of_the_nets_text_are_saved_once() {
        let layers = "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 1] } } }
                      layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y'
                        inner_product_param { num_output: 1 bias_term: false }
                        blobs { shape { dim: [1, 1] } data: 7 } }";
        let file = net_from_text("net", layers).unwrap();
        let mut params = Params::new();
        let net = Net::new(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
        let mut bytes = Vec::new();
        WeightsToSave { net: &net, params: &params, source: &file.net, diff: false }
            .write_proto(&mut bytes)
            .unwrap();
        let weights = Weights::decode(bytes).unwrap();
        assert_eq!(weights.layers.len(), 1);
        let values: Vec<_> = weights.layers[0].blobs.iter().flatten().map(|b| b.values.to_vec()).collect();
        assert_eq!(values, [[7.0]]);
    }

    #[test]
    fn layers_that_only_a_test_net_has_get_their_blobs() {
        let ip = |name: &str| {
            let settings = "inner_product_param { num_output: 1 bias_term: false }";
            format!("layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: '{name}' {settings} }}")
        };
        let input = "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 1] } } }";
        let mut params = Params::new();
        let mut build = |phase, names: &[&str]| {
            let layers: String = names.iter().map(|name| ip(name)).collect();
            let file = net_from_text("net", [input, &layers].concat()).unwrap();
            Net::new(&file.net, Options::new(phase, 1), &mut params).unwrap()
        };
        let train = build(Phase::Train, &["a", "b"]);
        let tests = [build(Phase::Test, &["a", "extra"]), build(Phase::Test, &["extra", "new"])];
        let blob =
            |value: f32| BlobValues { shape: [1, 1].into(), legacy: false, values: vec![value].into() };
        let layer = |name: &str, value| LayerBlobs { name: name.into(), blobs: vec![Some(blob(value))] };
        let layers = vec![layer("a", 1.0), layer("b", 2.0), layer("extra", 3.0), layer("old", 4.0)];
        let weights = Weights { layers, source_net: None, changed: false };
        let nets = [&train, &tests[0], &tests[1]];
        let copied = weights.clone().copy_into_all(&nets, 0, &mut params).unwrap();
        let names = |list: &[&str]| list.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(copied.loaded, names(&["a", "b", "extra"]));
        assert_eq!((copied.missing, copied.ignored), (names(&["new"]), names(&["old"])));
        let values = |params: &Params| params.iter().map(|p| p.data[0]).collect::<Vec<_>>();
        assert_eq!(values(&params)[..3], [1.0, 2.0, 3.0]);
        params.iter_mut().for_each(|p| p.data[0] = 0.0);
        // After a resume what is trained stays.
        let copied = weights.copy_into_all(&nets, 1, &mut params).unwrap();
        assert_eq!((copied.loaded, copied.ignored), (names(&["extra"]), names(&["old"])));
        assert_eq!(values(&params)[..3], [0.0, 0.0, 3.0]);
    }

    #[test]
    fn the_last_of_a_file_counts() {
        let ip = |name: &str| {
            let settings = "param { name: 'w' } inner_product_param { num_output: 1 bias_term: false }";
            format!("layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: '{name}' {settings} }}")
        };
        let input = "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 1] } } }";
        let file = net_from_text("net", [input, &ip("a"), &ip("b")].concat()).unwrap();
        let copied = |layers: &[(&str, f32)]| {
            let mut params = Params::new();
            let net = Net::new(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
            let blob =
                |value| Some(BlobValues { shape: [1, 1].into(), legacy: false, values: vec![value].into() });
            let layer =
                |&(name, value): &(&str, f32)| LayerBlobs { name: name.into(), blobs: vec![blob(value)] };
            let weights =
                Weights { layers: layers.iter().map(layer).collect(), source_net: None, changed: false };
            weights.copy_into(&net, &mut params).unwrap();
            params[0].data[0]
        };
        // Of layers that share, and of layers of one name.
        assert_eq!(copied(&[("a", 1.0), ("b", 2.0)]), 2.0);
        assert_eq!(copied(&[("b", 2.0), ("a", 1.0)]), 1.0);
        assert_eq!(copied(&[("a", 1.0), ("a", 3.0)]), 3.0);
    }

    #[test]
    fn a_shared_parameter_keeps_each_layers_shape() {
        let ip = |name: &str, transpose: bool| {
            let shared = "param { name: 'w' share_mode: PERMISSIVE }";
            let settings =
                format!("inner_product_param {{ num_output: 2 bias_term: false transpose: {transpose} }}");
            format!(
                "layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: '{name}' {shared} {settings} }}"
            )
        };
        let input = "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 3] } } }";
        let file = net_from_text("net", [input, &ip("a", false), &ip("b", true)].concat()).unwrap();
        let mut params = Params::new();
        let net = Net::new(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
        let mut bytes = Vec::new();
        let saved = WeightsToSave { net: &net, params: &params, source: &file.net, diff: false };
        saved.write_proto(&mut bytes).unwrap();
        let weights = Weights::decode(bytes).unwrap();
        let shapes: Vec<Vec<Shape>> = weights.layers.iter().map(LayerBlobs::shapes).collect();
        assert_eq!(shapes, [[Shape::from([2, 3])], [Shape::from([3, 2])]]);
        let copied = weights.copy_into(&net, &mut params).unwrap();
        assert_eq!((copied.loaded.len(), copied.changed), (2, false));
    }

    /// A file of SSD's fork, where a layer's settings have a number of their own.
    #[test]
    fn layers_of_forks_get_their_blobs() {
        let norm = |name: &str, settings: &str| {
            format!(
                "layer {{ name: '{name}' type: 'Normalize' bottom: 'x' top: '{name}' norm_param {{ {settings} }} }}"
            )
        };
        let input = "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 3, 2, 2] } } }";
        let layers = [norm("one", "across_spatial: false"), norm("each", "channel_shared: false")].concat();
        let file = net_from_text("net", [input, &layers].concat()).unwrap();
        let mut params = Params::new();
        let net = Net::new(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
        let layer = |name: &str, dim: &[i64], data: &[f32]| {
            let shape = Some(BlobShape { dim: dim.to_vec() });
            let blob = BlobProto { shape, data: data.to_vec(), ..BlobProto::default() };
            let kind = Some("Normalize".to_owned());
            let named = LayerParameter {
                name: Some(name.into()),
                r#type: kind,
                blobs: vec![blob],
                ..Default::default()
            };
            let mut bytes = named.encode_to_vec();
            // Number 206, norm_param { across_spatial: false }.
            bytes.extend([0xf2, 0x0c, 2, 8, 0]);
            // Number 100, a layer.
            [&[0xa2, 0x06, bytes.len() as u8], &bytes[..]].concat()
        };
        let bytes = [layer("one", &[], &[20.0]), layer("each", &[3], &[1.0, 2.0, 3.0])].concat();
        let copied = Weights::decode(bytes).unwrap().copy_into(&net, &mut params).unwrap();
        assert_eq!((copied.loaded.len(), copied.missing.len(), copied.ignored.len()), (2, 0, 0));
        let values: Vec<_> = params.iter().map(|p| p.data.to_vec()).collect();
        assert_eq!(values, [vec![20.0], vec![1.0, 2.0, 3.0]]);
    }
}
