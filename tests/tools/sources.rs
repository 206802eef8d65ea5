//! One set in four formats: training on each gives the same losses, to the last digit.

use std::{fs, path::Path};

use super::{log_of, repository};

/// So many digits, 8 by 8.
const COUNT: usize = 200;

/// The digits as idx files, a list of PNG files, LMDB and HDF5; values in HDF5 are scaled already.
fn write_sets(folder: &Path) {
    let digits = cnnctl::data::Location {
        path: repository("data/digits/digits-images-idx3-ubyte.gz").into(),
        labels: Some(repository("data/digits/digits-labels-idx1-ubyte.gz").into()),
        ..Default::default()
    };
    let source = cnnctl::data::open_source("idx", &digits).unwrap();
    fs::create_dir(folder.join("images")).unwrap();
    let (mut pixels, mut labels, mut list) = (Vec::new(), Vec::new(), String::new());
    for i in 0..COUNT {
        let sample = source.read(i).unwrap();
        let cnnctl::data::Pixels::U8(bytes) = sample.pixels else { panic!("bytes") };
        image::GrayImage::from_raw(8, 8, bytes.clone())
            .unwrap()
            .save(folder.join(format!("images/{i}.png")))
            .unwrap();
        list += &format!("{i}.png {}\n", sample.labels[0]);
        pixels.extend(bytes);
        labels.push(sample.labels[0] as u8);
    }
    fs::write(folder.join("list"), list).unwrap();
    let count = (COUNT as u32).to_be_bytes();
    let side = 8u32.to_be_bytes();
    fs::write(folder.join("images.idx"), [&[0, 0, 8, 3][..], &count, &side, &side, &pixels].concat())
        .unwrap();
    fs::write(folder.join("labels.idx"), [&[0, 0, 8, 1][..], &count, &labels].concat()).unwrap();
    log_of(folder, &["convert", "idx", "images.idx", "labels.idx", "lmdb"]);
    log_of(folder, &["convert", "imageset", "--gray", "--backend", "leveldb", "images/", "list", "leveldb"]);
    let mut file = hdf5_pure::FileBuilder::new();
    let scaled: Vec<f32> = pixels.iter().map(|&p| f32::from(p) * 0.0625).collect();
    file.create_dataset("data").with_f32_data(&scaled).with_shape(&[COUNT as u64, 1, 8, 8]);
    let labels: Vec<f32> = labels.iter().map(|&l| l.into()).collect();
    file.create_dataset("label").with_f32_data(&labels).with_shape(&[COUNT as u64]);
    file.write(folder.join("digits.h5")).unwrap();
    fs::write(folder.join("files"), "digits.h5\n").unwrap();
}

/// The losses of ten iterations of LeNet, made small, as the metrics file has them.
fn losses(folder: &Path, name: &str, data: &str) -> Vec<String> {
    let rest = r#"
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
                convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
        layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
                pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
        layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
                inner_product_param { num_output: 32 weight_filler { type: "xavier" } } }
        layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
        layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
                inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }"#;
    let net = format!("layer {{ name: \"data\" top: \"data\" top: \"label\" {data} }}{rest}");
    fs::write(folder.join(format!("{name}.net")), net).unwrap();
    let solver = format!(
        "net: \"{name}.net\" base_lr: 0.05 momentum: 0.9 lr_policy: \"fixed\" max_iter: 10 display: 1 \
         snapshot_prefix: \"{name}\" random_seed: 7"
    );
    fs::write(folder.join(format!("{name}.solver")), solver).unwrap();
    let metrics = format!("{name}.jsonl");
    log_of(folder, &["train", "--solver", &format!("{name}.solver"), "--metrics", &metrics]);
    let text = fs::read_to_string(folder.join(metrics)).unwrap();
    let loss = |line: &str| -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        Some(value.get("loss")?.to_string())
    };
    text.lines().filter_map(loss).collect()
}

#[test]
fn every_source_gives_the_same_losses() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_sets(at);
    let scale = "transform_param { scale: 0.0625 }";
    let database =
        |settings: &str| format!("type: \"Data\" data_param {{ {settings} batch_size: 32 }} {scale}");
    let expected = losses(at, "lmdb", &database("source: \"lmdb\" backend: LMDB"));
    let value = |text: &String| text.parse::<f64>().unwrap();
    assert!(
        expected.len() >= 10 && value(&expected[expected.len() - 1]) < value(&expected[0]),
        "{expected:?}"
    );
    let list = "type: \"ImageData\" image_data_param { source: \"list\" root_folder: \"images/\" batch_size: 32 is_color: false }";
    for (name, data) in [
        ("idx", database("source: \"images.idx\" labels: \"labels.idx\" backend: IDX")),
        ("leveldb", database("source: \"leveldb\" backend: LEVELDB")),
        ("hdf5", "type: \"HDF5Data\" hdf5_data_param { source: \"files\" batch_size: 32 }".into()),
        ("list", format!("{list} {scale}")),
    ] {
        assert_eq!(losses(at, name, &data), expected, "{name}");
    }
}
