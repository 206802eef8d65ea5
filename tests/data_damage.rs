//! Damaged files of every kind: an error or other values, never a panic and never a hang.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::common::damage::{Damage, any_damage};
use cnnctl::config::proto::{Datum, Phase};
use cnnctl::data::{
    Batches, DataError, Decode, Images, Location, Settings, Tables, Transform, create_database, open_source,
    parse_datum, put_datum,
};
use proptest::{prelude::*, test_runner::TestRunner};
use prost::Message as _;

/// Some damages of one file.
fn damages() -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec(any_damage(), 1..4)
}

/// Reads a set to its end through the whole chain, without threads, so that a panic is the test's.
fn read(kind: &str, path: &Path) -> Result<(), DataError> {
    let location = Location { path: path.to_owned(), ..Default::default() };
    let settings = Settings { batch_size: 2, depth: 0, ..Default::default() };
    let mut batches = if kind == "hdf5" {
        Batches::new(Box::new(Tables::open(path, &["x".into()])?), settings)?
    } else {
        let transform = Transform::from_config(&Default::default(), Phase::Train)?;
        Batches::new(Box::new(Images::new(open_source(kind, &location)?, transform, false)?), settings)?
    };
    let size: usize = batches.shapes()[0].count();
    if size > 1 << 24 {
        // An HDF5 file may promise rows of any size.
        return Ok(());
    }
    let mut data = vec![0.0; size];
    (0..batches.len().div_ceil(2).min(20)).try_for_each(|_| batches.next(&mut [&mut data]))
}

/// A whole small set of each kind: its kind, what to open, and the file to damage.
fn sets(folder: &Path) -> Vec<(&'static str, PathBuf, PathBuf)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/_data");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let idx = write("a.idx", &[&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 12]].concat());
    let npy = folder.join("a.npy");
    ndarray_npy::write_npy(&npy, &ndarray::Array3::<f32>::zeros((3, 2, 2))).unwrap();
    let png = write("a.png", &fs::read(golden.join("img0.png")).unwrap());
    let line = format!("{} 1\n", png.display());
    let list = write("images.txt", line.repeat(3).as_bytes());
    let lines = write("lines.txt", line.repeat(3).as_bytes());
    let h5 = write("a.h5", &fs::read(golden.join("multi0.h5")).unwrap());
    let tables = write("tables.txt", h5.display().to_string().as_bytes());
    let lmdb = write("data.mdb", &fs::read(golden.join("png_lmdb/data.mdb")).unwrap());
    let leveldb = folder.join("leveldb");
    let mut writer = create_database("leveldb", &leveldb).unwrap();
    for i in 0..5 {
        let datum = Datum {
            channels: Some(1),
            height: Some(1),
            width: Some(1),
            data: Some(vec![i]),
            ..Default::default()
        };
        put_datum(&mut *writer, &format!("{i:08}"), &datum).unwrap();
    }
    writer.finish().unwrap();
    let manifest = fs::read_to_string(leveldb.join("CURRENT")).unwrap();
    let manifest = leveldb.join(manifest.trim());
    vec![
        ("idx", idx.clone(), idx),
        ("npy", npy.clone(), npy),
        ("image_list", list, png),
        ("image_list", lines.clone(), lines),
        ("hdf5", tables, h5),
        ("lmdb", lmdb.clone(), lmdb),
        ("leveldb", leveldb, manifest),
    ]
}

#[test]
fn whole_sets_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, path, _) in sets(folder.path()) {
        read(kind, &path).unwrap();
    }
}

#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let sets: Vec<_> = sets(folder.path())
        .into_iter()
        .map(|(kind, path, file)| {
            let whole = fs::read(&file).unwrap();
            (kind, path, file, whole)
        })
        .collect();
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&damages(), |damages| {
        for (kind, path, file, whole) in &sets {
            let mut bytes = whole.clone();
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
            fs::write(file, &bytes)?;
            let _ = read(kind, path);
            fs::write(file, whole)?;
        }
        Ok(())
    });
    outcome.unwrap();
}

/// Any message, and images that have been damaged, in a Datum of any shape.
fn datums() -> impl Strategy<Value = Vec<u8>> {
    let side = || prop_oneof![3 => 0..4i32, 1 => any::<i32>()];
    let png = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/_data/img0.png")).unwrap();
    let image = damages().prop_map(move |damages| {
        let mut bytes = png.clone();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        bytes
    });
    let data = prop_oneof![prop::collection::vec(any::<u8>(), 0..30), image];
    let floats = prop::collection::vec(any::<f32>(), 0..9);
    let whole = ([side(), side(), side()], data, floats, any::<i32>(), any::<bool>()).prop_map(
        |([c, h, w], data, float_data, label, encoded)| {
            let (channels, height, width) = (Some(c), Some(h), Some(w));
            let (data, label, encoded) = (Some(data), Some(label), Some(encoded));
            Datum { channels, height, width, data, label, float_data, encoded }.encode_to_vec()
        },
    );
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..60), 3 => whole]
}

#[test]
fn any_datum_is_a_sample_or_an_error() {
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&datums(), |bytes| {
        for decode in [Decode::Native, Decode::Gray] {
            if let Ok(sample) = parse_datum(&bytes, decode) {
                prop_assert_eq!(sample.pixels.len(), sample.shape.iter().product::<usize>());
            }
        }
        Ok(())
    });
    outcome.unwrap();
}
