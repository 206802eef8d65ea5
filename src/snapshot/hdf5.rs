//! Snapshots in HDF5, laid out as Caffe does.
//!
//! Weights: `/data/<layer>/<i>` holds blob `i`, unless another layer owns it; `/diff/<layer>/<i>` the diffs of all blobs, if
//! they are saved. A `/` in a layer's name makes groups in groups. States: `/iter`, `/learned_net`, `/current_step` and
//! `/history/<i>`. What we add stands beside these as bytes, `/cnnctl` and `/cnnctl_source_net`: Caffe opens what it knows by
//! name, and does not count what else there is.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
};

use hdf5_pure::{
    CharacterSet, Dataset, Datatype, Error, File, FileBuilder, FinishedGroup, Group, GroupBuilder, LibVer,
    StringPadding,
};
use prost::Message as _;

use super::{
    Array, BlobValues, Format, LayerBlobs, WeightsToSave,
    content::{Content, owns},
    error::NOT_A_STATE,
};
use crate::{
    config::proto::{CnnctlState, SolverState},
    tensor::Shape,
};

/// Our own datasets.
const STATE: &str = "cnnctl";
const SOURCE_NET: &str = "cnnctl_source_net";
const CHECKSUM: &str = "cnnctl_checksum";
/// Groups in groups, groups in all, and blobs of a layer, that a file may have: more is damage.
const DEEPEST: usize = 32;
const MOST_GROUPS: usize = 1 << 20;
const MOST_BLOBS: usize = 1 << 16;
/// How much smaller than its values a compressed dataset can be: deflate's best is 1032.
const BEST_COMPRESSION: u64 = 1100;

/// Groups and datasets below a group, by name.
#[derive(Default)]
struct Tree<'a> {
    datasets: BTreeMap<usize, (&'a Shape, Cow<'a, [f32]>)>,
    groups: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    /// The group of this path, made if it is not there.
    fn at(&mut self, path: &'a str) -> &mut Self {
        path.split('/')
            .filter(|part| !part.is_empty())
            .fold(self, |tree, part| tree.groups.entry(part).or_default())
    }

    fn build(self, mut group: GroupBuilder) -> FinishedGroup {
        for (number, (shape, values)) in self.datasets {
            group.create_dataset(&number.to_string()).with_f32_data(&values).with_shape(&sides(shape));
        }
        for (name, tree) in self.groups {
            let child = tree.build(group.create_group(name));
            group.add_group(child);
        }
        group.finish()
    }
}

fn sides(shape: &Shape) -> Vec<u64> {
    shape.iter().map(|&axis| axis as u64).collect()
}

/// A file that HDF5 1.8 can read.
fn new_file() -> FileBuilder {
    let mut file = FileBuilder::new();
    file.with_libver_bounds(LibVer::Earliest, LibVer::V18);
    file
}

fn put_bytes(file: &mut FileBuilder, name: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        file.create_dataset(name).with_u8_data(bytes);
    }
}

fn finish(file: FileBuilder, out: &mut dyn Write) -> io::Result<()> {
    file.finish_to(out).map_err(|error| match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    })
}

/// Writes a file of weights.
pub fn write_weights(weights: &WeightsToSave<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (mut data, mut diff) = (Tree::default(), Tree::default());
    let layers: Vec<_> = weights.net.layers().collect();
    for layer in &layers {
        let name = layer.config.name();
        let group = data.at(name);
        for (i, &id) in layer.params.iter().enumerate() {
            if owns(layer, i, &weights.params[id]) {
                let array = weights.array(layer, i);
                group.datasets.insert(i, (array.shape, array.data.into()));
            }
        }
        if !weights.diff {
            continue;
        }
        let group = diff.at(name);
        for i in 0..layer.params.len() {
            let array = weights.array(layer, i);
            // Running statistics have none.
            let zeros = || vec![0.0; array.data.len()].into();
            let values = array.diff.filter(|d| !d.is_empty()).map_or_else(zeros, Cow::from);
            group.datasets.insert(i, (array.shape, values));
        }
    }
    let mut file = new_file();
    let group = data.build(file.create_group("data"));
    file.add_group(group);
    if weights.diff {
        let group = diff.build(file.create_group("diff"));
        file.add_group(group);
    }
    let source_net = weights.source_bytes();
    put_bytes(&mut file, SOURCE_NET, &source_net);
    file.create_dataset(CHECKSUM).with_u32_data(&[weights.checksum(Format::Hdf5, &source_net)]);
    finish(file, out)
}

/// Writes a solver state: `state`, which has no history of its own, with that of `history`, and the checksum of both.
pub fn write_state(
    state: &SolverState,
    history: &[Array<'_>],
    checksum: u32,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut file = new_file();
    file.create_dataset("iter").with_i32_data(&[state.iter()]);
    if let Some(path) = &state.learned_net {
        let mut bytes = path.clone().into_bytes();
        bytes.push(0);
        let text = Datatype::String {
            size: u32::try_from(bytes.len()).map_err(io::Error::other)?,
            padding: StringPadding::NullTerminate,
            charset: CharacterSet::Ascii,
        };
        file.create_dataset("learned_net").with_raw_data(text, bytes, 1).with_shape(&[]);
    }
    file.create_dataset("current_step").with_i32_data(&[state.current_step()]);
    let mut tree = Tree::default();
    for (i, array) in history.iter().enumerate() {
        tree.datasets.insert(i, (array.shape, array.data.into()));
    }
    let group = tree.build(file.create_group("history"));
    file.add_group(group);
    if let Some(own) = &state.cnnctl {
        put_bytes(&mut file, STATE, &own.encode_to_vec());
    }
    file.create_dataset(CHECKSUM).with_u32_data(&[checksum]);
    finish(file, out)
}

/// A file that is read, and how large its datasets can be at most.
struct Reader {
    file: File,
    size: u64,
    groups: usize,
}

impl Reader {
    fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let size = bytes.len() as u64;
        let file = File::from_bytes(bytes).map_err(|e| format!("a damaged HDF5 file ({e})"))?;
        if file.superblock().eof_address > size {
            return Err("an HDF5 file that is cut off".into());
        }
        Ok(Self { file, size, groups: 0 })
    }

    /// Whether the root has such a dataset or group.
    fn has(&self, name: &str) -> Result<bool, String> {
        let root = self.file.root();
        let names = [root.datasets(), root.groups()];
        let names = names.into_iter().collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        Ok(names.concat().iter().any(|n| n == name))
    }

    /// A dataset of the root, if it is there.
    fn dataset(&self, name: &str) -> Result<Option<Dataset>, String> {
        if !self.has(name)? {
            return Ok(None);
        }
        let dataset = self.file.dataset(name).map_err(damaged)?;
        self.check_size(&dataset)?;
        Ok(Some(dataset))
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.dataset(name)?.map(|dataset| dataset.read_u8().map_err(damaged)).transpose()
    }

    /// A dataset of one number.
    fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(dataset) = self.dataset(name)? else { return Ok(None) };
        match dataset.read_i64().map_err(damaged)?[..] {
            [value] => Ok(Some(value)),
            _ => Err(format!("a damaged HDF5 file (`{name}` is not one number)")),
        }
    }

    fn int(&self, name: &str) -> Result<Option<i32>, String> {
        let number = self.number(name)?.map(i32::try_from).transpose();
        number.map_err(|e| format!("a damaged HDF5 file (`{name}`: {e})"))
    }

    /// What our own files hold to be checked.
    fn checksum(&self) -> Result<Option<u32>, String> {
        let number = self.number(CHECKSUM)?.map(u32::try_from).transpose();
        number.map_err(|e| format!("a damaged HDF5 file (`{CHECKSUM}`: {e})"))
    }

    /// A shape that lies must not be taken for an order of memory.
    fn check_size(&self, dataset: &Dataset) -> Result<Vec<usize>, String> {
        let sides = dataset.shape().map_err(damaged)?;
        let element = dataset.element_size().map_err(damaged)?;
        let bytes = sides.iter().try_fold(element, |n, &side| n.checked_mul(side));
        let packed = if dataset.is_chunked() { BEST_COMPRESSION } else { 1 };
        match bytes {
            Some(bytes) if bytes <= self.size.saturating_mul(packed) => {
                sides.into_iter().map(|side| usize::try_from(side).map_err(|e| e.to_string())).collect()
            }
            _ => Err("a damaged HDF5 file (a dataset is larger than the file)".into()),
        }
    }

    fn blob(&self, dataset: &Dataset) -> Result<BlobValues, String> {
        let shape = Shape::from(self.check_size(dataset)?);
        let values = dataset.read_f32().map_err(damaged)?;
        if values.len() != shape.count() {
            return Err(format!("a blob of shape {shape} has {} values", values.len()));
        }
        Ok(BlobValues { shape, legacy: false, values: values.into() })
    }

    /// The datasets of a group that are named by numbers.
    fn blobs(&self, group: &Group) -> Result<BTreeMap<usize, BlobValues>, String> {
        let mut blobs = BTreeMap::new();
        for name in group.datasets().map_err(damaged)? {
            let number = name.parse().ok().filter(|n| *n < MOST_BLOBS);
            let number = number.ok_or_else(|| format!("`{name}` is no number of a blob"))?;
            let dataset = group.dataset(&name).map_err(damaged)?;
            blobs.insert(number, self.blob(&dataset)?);
        }
        Ok(blobs)
    }

    /// Collects the layers in a group and in those below.
    fn layers(
        &mut self,
        group: &Group,
        path: &str,
        depth: usize,
        found: &mut Vec<LayerBlobs>,
    ) -> Result<(), String> {
        self.groups += 1;
        if depth > DEEPEST || self.groups > MOST_GROUPS {
            return Err("a damaged HDF5 file (its groups have no end)".into());
        }
        let mut numbered = self.blobs(group).map_err(|e| format!("layer `{path}`: {e}"))?;
        if let Some((&last, _)) = numbered.last_key_value() {
            let blobs = (0..=last).map(|i| numbered.remove(&i)).collect();
            found.push(LayerBlobs { name: path.to_owned(), blobs });
        }
        for name in group.groups().map_err(damaged)? {
            let child = group.group(&name).map_err(damaged)?;
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            self.layers(&child, &path, depth + 1, found)?;
        }
        Ok(())
    }
}

fn damaged(error: Error) -> String {
    format!("a damaged HDF5 file ({error})")
}

/// Reads a file of weights.
pub fn read_weights(bytes: Vec<u8>) -> Result<Content, String> {
    let mut reader = Reader::open(bytes)?;
    if !reader.has("data")? {
        let what =
            if reader.has("iter")? { "is a solver state, not a file of weights" } else { "holds no weights" };
        return Err(format!("{what}: it has no group `data`"));
    }
    let data = reader.file.group("data").map_err(damaged)?;
    let mut layers = Vec::new();
    reader.layers(&data, "", 0, &mut layers)?;
    let source_net = reader.bytes(SOURCE_NET)?;
    if layers.is_empty() && source_net.is_none() {
        return Err("holds neither a net nor weights".into());
    }
    Ok(Content { layers, source_net, checksum: reader.checksum()? })
}

/// Reads a solver state: all but the history, and the history.
pub fn read_state(bytes: Vec<u8>) -> Result<(SolverState, Vec<BlobValues>), String> {
    let reader = Reader::open(bytes)?;
    let Some(iter) = reader.int("iter")? else {
        let weights = reader.has("data")?;
        return Err(if weights {
            NOT_A_STATE.into()
        } else {
            "not a solver state: it has no iteration".into()
        });
    };
    let learned_net = match reader.dataset("learned_net")? {
        Some(dataset) => dataset.read_string().map_err(damaged)?.pop(),
        None => None,
    };
    let group = reader.file.group("history").map_err(damaged)?;
    let blobs = reader.blobs(&group)?;
    if blobs.keys().copied().ne(0..blobs.len()) {
        return Err("a damaged HDF5 file (its history has gaps)".into());
    }
    let own = reader.bytes(STATE)?.map(|bytes| CnnctlState::decode(&bytes[..]));
    let head = SolverState {
        iter: Some(iter),
        learned_net,
        history: Vec::new(),
        current_step: Some(reader.int("current_step")?.unwrap_or(0)),
        cnnctl: own.transpose().map_err(|e| format!("its `{STATE}` is damaged ({e})"))?,
        cnnctl_checksum: reader.checksum()?,
    };
    Ok((head, blobs.into_values().collect()))
}
