//! The tools around data, as commands: what they write, what they say, and how they end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cnnctl::{
    config::proto::{BlobProto, Datum},
    data::{Location, Pixels, Sample, lmdb::Reader, open_source},
};
use prost::Message as _;

/// Runs a command in `folder`: its exit status, what it printed, and what it logged.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cnnctl")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must succeed; gives its log.
fn log_of(folder: &Path, args: &[&str]) -> String {
    let (status, _, log) = run(folder, args);
    assert_eq!(status, 0, "{args:?}: {log}");
    log
}

/// Runs a command that must fail; gives its log.
fn refusal(folder: &Path, status: i32, args: &[&str]) -> String {
    let (found, _, log) = run(folder, args);
    assert_eq!(found, status, "{args:?}: {log}");
    log
}

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

fn datum(folder: &Path, db: &str, index: usize) -> (String, Datum) {
    let (key, value) = Reader::open(&folder.join(db)).unwrap().get(index).unwrap();
    (String::from_utf8(key).unwrap(), Datum::decode(&value[..]).unwrap())
}

fn samples(kind: &str, path: PathBuf) -> Vec<Sample> {
    let source = open_source(kind, &Location { path, ..Default::default() }).unwrap();
    (0..source.len()).map(|i| source.read(i).unwrap()).collect()
}

/// A folder with four pictures in `images/` (5 wide, 4 high), and `list`, which names them with the labels 0 to 3.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    let mut list = String::new();
    for i in 0..4u8 {
        let image = image::RgbImage::from_fn(5, 4, |x, y| {
            image::Rgb([i * 50 + x as u8 * 9, y as u8 * 40, 255 - i * 20])
        });
        image.save(folder.path().join(format!("images/{i}.png"))).unwrap();
        list += &format!("{i}.png {i}\n");
    }
    fs::write(folder.path().join("list"), list).unwrap();
    folder
}

#[test]
fn convert_imageset_takes_caffes_flags_in_both_spellings() {
    let folder = pictures();
    let at = folder.path();
    log_of(at, &["convert", "imageset", "images/", "list", "plain"]);
    let (key, plain) = datum(at, "plain", 2);
    assert_eq!((&key[..], plain.label(), plain.channels()), ("00000002_2.png", 2, 3));
    assert_eq!(plain.data()[..2], [215, 215], "blue comes first");

    let flags = ["--gray", "--resize_width=2", "--resize_height=3", "--check_size", "--backend=leveldb"];
    log_of(at, &[&["convert_imageset"], &flags[..], &["images/", "list", "small"]].concat());
    let small = samples("leveldb", at.join("small"));
    assert_eq!((small.len(), small[3].shape, &small[3].labels[..]), (4, [1, 3, 2], &[3.0][..]));

    log_of(
        at,
        &["convert", "imageset", "--encoded", "--shuffle", "--seed", "3", "images/", "list", "encoded"],
    );
    let keys: Vec<_> = (0..4).map(|i| datum(at, "encoded", i).0).collect();
    assert!(keys.iter().enumerate().all(|(i, key)| key.starts_with(&format!("{i:08}_"))), "{keys:?}");
    let (key, encoded) = datum(at, "encoded", 0);
    assert!(encoded.encoded() && encoded.channels.is_none());
    assert_eq!(encoded.data(), fs::read(at.join("images").join(&key[9..])).unwrap());
}

#[test]
fn convert_imageset_names_bad_images() {
    let folder = pictures();
    let at = folder.path();
    image::RgbImage::new(2, 2).save(at.join("images/small.png")).unwrap();
    fs::write(at.join("images/text.png"), "no image").unwrap();
    fs::write(at.join("bad"), "0.png 0\nnone.png 1\ntext.png 2\nsmall.png 3\n").unwrap();
    let convert = ["convert", "imageset", "--check_size", "images/", "bad", "db"];
    let log = refusal(at, 5, &convert);
    assert!(log.contains("sample `none.png` of `bad`: cannot open `images/none.png`"), "{log}");
    assert!(!at.join("db").exists());
    let log = log_of(at, &[&convert[..], &["--on-bad-sample", "skip"]].concat());
    for text in
        ["`none.png`", "`text.png`", "its size is 3 x 2 x 2", "3 bad images were left out", "1 images"]
    {
        assert!(log.contains(text), "{text}: {log}");
    }
    fs::write(at.join("bad"), "").unwrap();
    let log = refusal(at, 5, &["convert", "imageset", "images/", "bad", "db2"]);
    assert!(log.contains("`bad` holds no samples"), "{log}");
    let log = refusal(at, 2, &["convert", "imageset", "--resize_width", "3", "images/", "list", "db2"]);
    assert!(log.contains("both --resize-height and --resize-width"), "{log}");
}

#[test]
fn other_formats_become_databases() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("rows.csv"), "label,a,b,c,d\n7,1,2,3,255\n8,0,0,0,9\n").unwrap();
    log_of(at, &["convert", "csv", "rows.csv", "csv_lmdb", "--shape", "1x2x2"]);
    let (key, row) = datum(at, "csv_lmdb", 1);
    assert_eq!((&key[..], row.label(), row.height(), row.data()), ("00000001", 8, 2, &[0, 0, 0, 9][..]));

    fs::write(at.join("test_batch.bin"), [&[6][..], &[9; 3072]].concat()).unwrap();
    log_of(at, &["convert", "cifar", ".", "cifar_lmdb", "--test"]);
    let (key, row) = datum(at, "cifar_lmdb", 0);
    assert_eq!((&key[..], row.label(), row.channels(), row.width()), ("00000", 6, 3, 32));
    let log = refusal(at, 5, &["convert", "cifar", ".", "none"]);
    assert!(log.contains("data_batch_1.bin"), "{log}");

    let mut file = hdf5_pure::FileBuilder::new();
    file.create_dataset("data").with_f32_data(&[0.5, 1.5, 2.5, 3.5]).with_shape(&[2, 1, 1, 2]);
    file.create_dataset("label").with_i32_data(&[4, 5]).with_shape(&[2]);
    file.write(at.join("a.h5")).unwrap();
    log_of(at, &["convert", "hdf5", "a.h5", "hdf5_lmdb"]);
    let (_, row) = datum(at, "hdf5_lmdb", 1);
    assert_eq!((row.label(), &row.float_data[..]), (5, &[2.5, 3.5][..]));
    let log = refusal(at, 5, &["convert", "hdf5", "a.h5", "hdf5_lmdb"]);
    assert!(log.contains("cannot create `hdf5_lmdb"), "{log}");
}

#[test]
fn the_mean_of_digits_is_written_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (images, labels) = (
        repository("data/digits/digits-images-idx3-ubyte.gz"),
        repository("data/digits/digits-labels-idx1-ubyte.gz"),
    );
    log_of(at, &["convert", "idx", &images, &labels, "db"]);
    let log = log_of(at, &["compute_image_mean", "db", "mean.binaryproto"]);
    for text in ["Processed 1797 files.", "Number of channels: 1", "mean_value channel [0]: 4.88416"] {
        assert!(log.contains(text), "{text}: {log}");
    }
    let mean = BlobProto::decode(&fs::read(at.join("mean.binaryproto")).unwrap()[..]).unwrap();
    assert_eq!((mean.num(), mean.channels(), mean.height(), mean.width()), (1, 1, 8, 8));
    let column: f32 = samples("lmdb", at.join("db"))
        .iter()
        .map(|sample| match &sample.pixels {
            Pixels::U8(pixels) => f32::from(pixels[20]),
            Pixels::F32(_) => f32::NAN,
        })
        .sum();
    assert_eq!(mean.data[20], column / 1797.0);
    assert_eq!(
        log_of(at, &["compute-image-mean", "--backend", "idx", &images]).matches("4.88416").count(),
        1
    );
    let log = refusal(at, 5, &["compute-image-mean", "none"]);
    assert!(log.contains("none"), "{log}");
}
