//! The tools around data, as commands: what they write, what they say, and how they end.

mod bad_data;
mod outputs;
mod shell;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cnnctl::{
    config::{
        net_from_text,
        proto::{BlobProto, BlobShape, Datum, NetParameter},
    },
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
    let log = refusal(at, 1, &["convert", "hdf5", "a.h5", "hdf5_lmdb"]);
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

/// A file of weights for the layer `ip`.
fn weights(path: &Path, text: &str, blobs: &[(&[i64], &[f32])]) {
    let mut net = net_from_text("net", text).unwrap().net;
    let layer = net.layer.iter_mut().find(|layer| layer.name() == "ip").unwrap();
    layer.blobs = blobs
        .iter()
        .map(|(dim, data)| BlobProto {
            shape: Some(BlobShape { dim: dim.to_vec() }),
            data: data.to_vec(),
            ..BlobProto::default()
        })
        .collect();
    fs::write(path, net.encode_to_vec()).unwrap();
}

#[test]
fn features_go_to_databases_and_to_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("x.csv"), "0,1,2\n0,3,4\n0,5,6\n").unwrap();
    log_of(at, &["convert", "csv", "x.csv", "db", "--shape", "2x1x1"]);
    let net = r#"
        layer { name: "data" type: "Data" top: "data" data_param { source: "db" backend: LMDB batch_size: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "block/ip"
                inner_product_param { num_output: 1 bias_term: false } }"#;
    fs::write(at.join("net.prototxt"), net).unwrap();
    weights(&at.join("net.caffemodel"), net, &[(&[1, 2], &[1.0, 10.0])]);
    let extract = ["extract_features", "net.caffemodel", "net.prototxt", "block/ip,data"];
    let log = log_of(at, &[&extract[..], &["ip_db,data_db", "2", "lmdb", "CPU"]].concat());
    assert!(log.contains("Extracted features of 4 query images for feature blob block/ip"), "{log}");
    let (key, last) = datum(at, "ip_db", 3);
    assert_eq!(
        (&key[..], &last.float_data[..], last.label),
        ("0000000003", &[21.0][..], None),
        "the set begins anew"
    );
    let (_, second) = datum(at, "data_db", 1);
    assert_eq!((second.channels(), second.height(), &second.float_data[..]), (2, 1, &[3.0, 4.0][..]));

    log_of(at, &[&extract[..], &["ip.npy,data.npy", "2", "npy"]].concat());
    let ip: Vec<_> = samples("npy", at.join("ip.npy")).into_iter().map(|s| s.pixels).collect();
    assert_eq!(ip, [21.0, 43.0, 65.0, 21.0].map(|v| Pixels::F32(vec![v])));
    log_of(at, &[&extract[..], &["ip.h5,data.h5", "1", "hdf5"]].concat());
    let location =
        Location { path: at.join("ip.h5"), datasets: ("block/ip".into(), None), ..Location::default() };
    let source = open_source("hdf5", &location).unwrap();
    assert_eq!((source.len(), source.read(1).unwrap().pixels), (2, Pixels::F32(vec![43.0])));

    let log =
        refusal(at, 2, &["extract-features", "net.caffemodel", "net.prototxt", "dat", "x", "1", "lmdb"]);
    assert!(log.contains("no blob `dat`; did you mean `data`?"), "{log}");
    let log = refusal(at, 2, &[&extract[..], &["x", "1", "lmdb"]].concat());
    assert!(log.contains("2 blobs, but 1 things to make"), "{log}");
    let log = refusal(at, 2, &[&extract[..], &["x,./x", "1", "npy"]].concat());
    assert!(log.contains("./x would be made twice"), "{log}");
    let log = refusal(at, 1, &[&extract[..], &["new_db,db", "1", "lmdb"]].concat());
    assert!(log.contains("cannot create `db"), "{log}");
    assert!(!at.join("new_db").exists(), "no half database stays");
}

#[test]
fn old_files_are_upgraded_and_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let old = r#"layers { name: "r" type: RELU bottom: "data" top: "r" } # a comment
        input: "data" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2"#;
    fs::write(at.join("old.prototxt"), old).unwrap();
    log_of(at, &["upgrade", "net", "old.prototxt", "new.prototxt"]);
    let new = fs::read_to_string(at.join("new.prototxt")).unwrap();
    assert!(
        new.contains("type: \"ReLU\"") && new.contains("type: \"Input\"") && !new.contains("layers"),
        "{new}"
    );
    let (status, again, log) = run(at, &["upgrade_net_proto_text", "new.prototxt"]);
    assert_eq!((status, again), (0, new), "what is new stays as it is");
    assert!(log.contains("already in latest proto format"), "{log}");

    let mut net = NetParameter::decode(&b""[..]).unwrap();
    net.layers.push(Default::default());
    net.layers[0].name = Some("ip".into());
    net.layers[0].r#type = Some(14);
    net.layers[0].blobs.push(BlobProto { data: vec![1.5], ..BlobProto::default() });
    fs::write(at.join("old.caffemodel"), net.encode_to_vec()).unwrap();
    log_of(at, &["upgrade", "net", "old.caffemodel", "new.caffemodel"]);
    let new = NetParameter::decode(&fs::read(at.join("new.caffemodel")).unwrap()[..]).unwrap();
    assert_eq!(
        (new.layers.len(), new.layer[0].r#type(), &new.layer[0].blobs[0].data[..]),
        (0, "InnerProduct", &[1.5][..])
    );
    let log = refusal(at, 2, &["upgrade", "net", "old.caffemodel"]);
    assert!(log.contains("old.caffemodel is binary: name the file to write"), "{log}");

    fs::write(at.join("solver"), "net: \"n\" solver_type: ADAM").unwrap();
    let (status, new, _) = run(at, &["upgrade", "solver", "solver"]);
    assert_eq!((status, &new[..]), (0, "net: \"n\"\ntype: \"Adam\"\n"));
    let log = refusal(at, 2, &["upgrade", "net", "none"]);
    assert!(log.contains("cannot read none"), "{log}");
}

#[test]
fn classify_shows_the_best_classes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // The score of a class is a pixel.
    let net = r#"
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
                inner_product_param { num_output: 4 bias_term: false } }"#;
    fs::write(at.join("net.prototxt"), net).unwrap();
    let mut one = [0.0; 16];
    (0..4).for_each(|i| one[5 * i] = 1.0);
    weights(&at.join("net.caffemodel"), net, &[(&[4, 4], &one)]);
    image::GrayImage::from_raw(2, 2, vec![10, 40, 20, 30]).unwrap().save(at.join("a.png")).unwrap();
    image::GrayImage::from_raw(3, 3, vec![10, 0, 0, 0, 0, 0, 0, 0, 0])
        .unwrap()
        .save(at.join("b.png"))
        .unwrap();
    fs::write(at.join("names"), "top left\ntop right\nbottom left\n").unwrap();
    let classify = ["classify", "--model", "net.prototxt", "--weights", "net.caffemodel"];
    let classify = |more: &[&str]| run(at, &[&classify[..], more].concat());
    let (status, out, log) =
        classify(&["--labels", "names", "--top", "3", "--mean", "10", "--scale", "0.5", "a.png"]);
    assert_eq!(status, 0, "{log}");
    assert_eq!(
        out,
        "---------- Prediction for a.png ----------\n15.0000 - \"top right\"\n10.0000 - \"3\"\n5.0000 - \"bottom left\"\n"
    );
    // Of ten crops, only that at the top left, plain and flipped, and the centre, which is rounded to it, see the light.
    let (_, out, _) =
        classify(&["--oversample", "--image-dims", "3,3", "--format", "json", "--top", "2", "b.png"]);
    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["classes"][0]["score"], 2.0, "{out}");
    assert_eq!((&line["classes"][0]["class"], &line["classes"][1]["class"]), (&0.into(), &1.into()));
    let mean = BlobProto {
        num: Some(1),
        channels: Some(1),
        height: Some(2),
        width: Some(2),
        data: vec![0.0, 40.0, 0.0, 0.0],
        ..BlobProto::default()
    };
    fs::write(at.join("mean"), mean.encode_to_vec()).unwrap();
    let best = |more: &[&str]| classify(&[&["--top", "1", "--mean", "mean"], more].concat()).1;
    assert!(best(&["a.png"]).contains("30.0000 - \"3\""), "each pixel has its own mean");
    assert!(best(&["a.png", "--image-dims", "3,3"]).contains("- \"1\""), "else the channel's mean");
    let (status, _, log) = classify(&["none.png"]);
    assert!(status == 5 && log.contains("none.png"), "{log}");
    let (status, _, log) = classify(&["--mean", "1,2", "a.png"]);
    assert!(status == 2 && log.contains("--mean does not fit"), "{log}");
}

#[test]
fn dataset_info_counts_and_shows() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (images, labels) = (
        repository("data/digits/digits-images-idx3-ubyte.gz"),
        repository("data/digits/digits-labels-idx1-ubyte.gz"),
    );
    let args =
        ["dataset", "info", &images, "--labels", &labels, "--contact-sheet", "sheet.png", "--show", "9"];
    let (status, out, log) = run(at, &args);
    assert_eq!(status, 0, "{log}");
    for text in [
        "kind     idx",
        "samples  1797",
        "shape    1 x 8 x 8, 1797 times",
        "values   from 0 to 16, mean 4.88416",
        "178",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert_eq!(out.lines().filter(|line| line.contains('#')).count(), 10);
    let sheet = image::open(at.join("sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (3 * 50 + 2, 3 * 50 + 2));

    let folder = pictures();
    let at = folder.path();
    fs::write(at.join("list"), "0.png 0\nnone.png 1\n").unwrap();
    let (status, out, log) = run(at, &["dataset", "info", "list", "--root_folder", "images/"]);
    assert!(status == 5 && out.contains("shape    3 x 4 x 5, 1 times"), "{out}");
    assert!(log.contains("sample `none.png`") && log.contains("1 of 2 samples cannot be read"), "{log}");
}

#[test]
fn filters_are_applied_to_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let pixels = vec![164, 188, 164, 178, 201, 197, 174, 168, 181];
    image::GrayImage::from_raw(3, 3, pixels).unwrap().save(at.join("a.png")).unwrap();
    let cross = ["filter", "a.png", "b.png", "--kernel", "0 1 0; 1 1 1; 0 1 0", "--border", "ignore"];
    log_of(at, &cross);
    let filtered = image::open(at.join("b.png")).unwrap().into_luma8().into_raw();
    assert_eq!(filtered, [164, 188, 164, 178, 186, 197, 174, 168, 181]);
    log_of(at, &["filter", "a.png", "c.jpg", "--kernel", "sharpen", "--border", "wrap"]);
    assert_eq!(image::open(at.join("c.jpg")).unwrap().width(), 3);
    let log = refusal(at, 2, &["filter", "a.png", "b.png", "--kernel", "smooth"]);
    assert!(log.contains("blur, edge, sharpen, weighted-blur"), "{log}");
    let log = refusal(at, 2, &["filter", "a.png", "b.gif", "--kernel", "-1 2 -1"]);
    assert!(log.contains("`b.gif`: its name must end in .png or .jpg"), "{log}");
}
