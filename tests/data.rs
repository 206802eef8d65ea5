//! Batches that Caffe 1.0 has read from the same files, beside ours: `golden/data_*`.

use std::path::{Path, PathBuf};

use cnnctl::{
    config::{
        self,
        proto::{
            DataParameter, Hdf5DataParameter, ImageDataParameter, LayerParameter, Phase,
            TransformationParameter, data_parameter::Db,
        },
    },
    data::open_layer,
    net::{Net, Options, Params},
};
use ndarray::ArrayD;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn text(path: &Path) -> Option<String> {
    Some(path.display().to_string())
}

/// Reads three batches, as the phase TEST, and compares every value.
fn check(case: &str, layer: &LayerParameter) {
    let mut batches = open_layer(layer, Phase::Test, 1).unwrap();
    let shapes = batches.shapes();
    for batch in 0..3 {
        let mut tops: Vec<Vec<f32>> = shapes.iter().map(|s| vec![f32::NAN; s.count()]).collect();
        let mut slices: Vec<&mut [f32]> = tops.iter_mut().map(Vec::as_mut_slice).collect();
        batches.next(&mut slices).unwrap();
        for ((top, values), shape) in layer.top.iter().zip(&tops).zip(&shapes) {
            let path = golden(case).join(format!("batch{batch}.{top}.npy"));
            let expected: ArrayD<f32> = ndarray_npy::read_npy(&path).unwrap();
            assert_eq!(expected.shape(), &shape[..], "{}", path.display());
            assert_eq!(expected.as_slice().unwrap(), values, "{}", path.display());
        }
    }
}

fn layer(kind: &str, tops: &[&str]) -> LayerParameter {
    LayerParameter {
        r#type: Some(kind.into()),
        top: tops.iter().map(|&t| t.into()).collect(),
        ..Default::default()
    }
}

fn lmdb(db: &str, batch_size: u32, tops: &[&str], transform: TransformationParameter) -> LayerParameter {
    LayerParameter {
        data_param: Some(DataParameter {
            source: text(&golden("_data").join(db)),
            batch_size: Some(batch_size),
            backend: Some(Db::Lmdb as i32),
            ..Default::default()
        }),
        transform_param: Some(transform),
        ..layer("Data", tops)
    }
}

const BOTH: &[&str] = &["data", "label"];

#[test]
fn lmdb_of_bytes() {
    let plain = TransformationParameter::default();
    let mean_file = text(&golden("_data/mean.binaryproto"));
    check(
        "data_lmdb_scale",
        &lmdb("u8_lmdb", 3, BOTH, TransformationParameter { scale: Some(0.00390625), ..plain.clone() }),
    );
    check(
        "data_lmdb_meanfile",
        &lmdb("u8_lmdb", 3, BOTH, TransformationParameter { mean_file: mean_file.clone(), ..plain.clone() }),
    );
    check(
        "data_lmdb_meanfile_crop",
        &lmdb(
            "u8_lmdb",
            3,
            BOTH,
            TransformationParameter { crop_size: Some(5), mean_file, scale: Some(0.1), ..plain.clone() },
        ),
    );
    check(
        "data_lmdb_meanvalue_crop",
        &lmdb(
            "u8_lmdb",
            3,
            BOTH,
            TransformationParameter {
                crop_size: Some(4),
                mean_value: vec![104.0, 117.0, 123.0],
                scale: Some(0.5),
                ..plain.clone()
            },
        ),
    );
    check("data_lmdb_no_label", &lmdb("u8_lmdb", 2, &["data"], plain));
}

#[test]
fn lmdb_of_floats_and_of_png_files() {
    let scale = TransformationParameter { scale: Some(2.0), ..Default::default() };
    check("data_lmdb_float", &lmdb("float_lmdb", 2, BOTH, scale));
    let crop = TransformationParameter { crop_size: Some(4), ..Default::default() };
    check("data_lmdb_png_crop_color", &lmdb("png_lmdb", 2, BOTH, crop));
}

#[test]
fn hdf5_files_with_three_datasets() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    let files = ["multi0.h5", "multi1.h5"].map(|f| golden("_data").join(f).display().to_string());
    std::fs::write(&list, files.join("\n")).unwrap();
    check(
        "data_hdf5_multi",
        &LayerParameter {
            hdf5_data_param: Some(Hdf5DataParameter {
                source: text(&list),
                batch_size: Some(3),
                ..Default::default()
            }),
            ..layer("HDF5Data", &["x", "y", "z"])
        },
    );
}

#[test]
fn image_lists_plain_and_scaled() {
    let list = ImageDataParameter {
        source: text(&golden("_data/images.txt")),
        root_folder: text(&golden("_data/")),
        batch_size: Some(2),
        ..Default::default()
    };
    let images = |param, transform_param| LayerParameter {
        image_data_param: Some(param),
        transform_param,
        ..layer("ImageData", BOTH)
    };
    let transform =
        TransformationParameter { scale: Some(0.5), mean_value: vec![10.0], ..Default::default() };
    check("data_imagedata", &images(list.clone(), Some(transform)));
    let scaled = ImageDataParameter { new_height: Some(9), new_width: Some(5), ..list };
    check("data_imagedata_resize", &images(scaled, None));
}

/// The images of so many batches of one, each by its first value.
fn stream(shuffle: bool, rand_skip: u32, seed: u64, count: usize) -> Vec<Vec<u32>> {
    let mut layer = lmdb("png_lmdb", 1, &["data"], TransformationParameter::default());
    let param = layer.data_param.as_mut().unwrap();
    (param.shuffle, param.rand_skip) = (Some(shuffle), Some(rand_skip));
    let mut batches = open_layer(&layer, Phase::Train, seed).unwrap();
    let mut data = vec![0.0; batches.shapes()[0].count()];
    (0..count)
        .map(|_| {
            batches.next(&mut [&mut data]).unwrap();
            data.iter().map(|v| v.to_bits()).collect()
        })
        .collect()
}

#[test]
fn databases_are_shuffled_anew_in_each_pass() {
    let plain = stream(false, 0, 1, 40);
    let len = (1..40).find(|&i| plain[i] == plain[0]).unwrap();
    let sorted = |part: &[Vec<u32>]| {
        let mut part = part.to_vec();
        part.sort();
        part
    };
    let mixed = stream(true, 0, 1, 2 * len);
    assert_ne!(mixed[..len], plain[..len]);
    assert_ne!(mixed[..len], mixed[len..]);
    assert_eq!(sorted(&mixed[..len]), sorted(&plain[..len]));
    assert_eq!(sorted(&mixed[len..]), sorted(&plain[..len]));
    assert_eq!(stream(true, 0, 1, len), mixed[..len]);
}

#[test]
fn rand_skip_starts_at_one_of_the_first_samples() {
    let plain = stream(false, 0, 1, 40);
    let starts: Vec<usize> = (0..30)
        .map(|seed| {
            let skipped = stream(false, 3, seed, 2);
            let start = plain.iter().position(|sample| *sample == skipped[0]).unwrap();
            assert_eq!(skipped[1], plain[start + 1]);
            start
        })
        .collect();
    assert!(
        (0..3).all(|start| starts.contains(&start)) && starts.iter().all(|&start| start < 3),
        "{starts:?}"
    );
}

/// An image and its map of labels, which two layers read.
#[test]
fn sources_of_one_sample_change_their_shapes_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let sizes = [[5, 7], [9, 4], [9, 4], [12, 12], [3, 3]];
    let (mut images, mut maps) = (String::new(), String::new());
    for (i, [h, w]) in sizes.into_iter().enumerate() {
        let (image, map) = (path(&format!("{i}.png")), path(&format!("{i}.map.png")));
        image::RgbImage::from_fn(w, h, |x, y| image::Rgb([9 * x as u8, 5 * y as u8, i as u8]))
            .save(&image)
            .unwrap();
        image::GrayImage::from_fn(w, h, |x, y| image::Luma([((x + y) % 3) as u8])).save(&map).unwrap();
        (images, maps) = (format!("{images}{image} 0\n"), format!("{maps}{map} 0\n"));
    }
    std::fs::write(path("images.txt"), images).unwrap();
    std::fs::write(path("maps.txt"), maps).unwrap();
    let text = format!(
        "layer {{ name: 'd' type: 'ImageData' top: 'x' top: 'u' image_data_param {{ source: '{}' batch_size: 1 }} }}
         layer {{ name: 'c' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {{ num_output: 3 kernel_size: 3 pad: 1 }} }}
         layer {{ name: 't' type: 'ImageData' top: 't' top: 'v' image_data_param {{ source: '{}' batch_size: 1 is_color: false }} }}
         layer {{ name: 'l' type: 'SoftmaxWithLoss' bottom: 'y' bottom: 't' top: 'l' }}",
        path("images.txt"),
        path("maps.txt")
    );
    let net = config::net_from_text("net.prototxt", text).unwrap().net;
    let mut params = Params::new();
    let mut net = Net::new(&net, Options::new(Phase::Train, 1), &mut params).unwrap();
    for [h, w] in [sizes, sizes].concat() {
        let loss = net.forward(&mut params).unwrap();
        net.backward(&mut params);
        // All weights are 0.
        assert!((loss - 3f32.ln()).abs() < 1e-5, "{h} x {w}: {loss}");
        assert_eq!(net.shape(net.blob("t").unwrap())[..], [1, 1, h as usize, w as usize]);
        assert_eq!(net.shape(net.blob("y").unwrap())[..], [1, 3, h as usize, w as usize]);
    }
}

/// Batches of one sample, whose sizes differ: passes over a net that reads them beside passes over one that is fed them.
fn beside_fed(layer: &str, sizes: &[[usize; 2]]) {
    let above = "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { num_output: 3 kernel_size: 3 pad: 1
            weight_filler { type: 'xavier' } } }
        layer { name: 'r' type: 'ReLU' bottom: 'c' top: 'c' }
        layer { name: 'm' type: 'Pooling' bottom: 'c' top: 'm' pooling_param { pool: AVE global_pooling: true } }
        layer { name: 'f' type: 'InnerProduct' bottom: 'm' top: 'f' inner_product_param { num_output: 2 weight_filler { type: 'xavier' } } }
        layer { name: 'l' type: 'EuclideanLoss' bottom: 'f' bottom: 'label' top: 'l' }";
    let read = |text: &str| {
        let net = config::net_from_text("net.prototxt", format!("{text}\n{above}")).unwrap().net;
        let mut params = Params::new();
        (Net::new(&net, Options::new(Phase::Train, 1), &mut params).unwrap(), params)
    };
    let (mut net, mut params) = read(layer);
    let input = "layer { name: 'd' type: 'Input' top: 'data' top: 'label' input_param { shape { dim: 1 dim: 3 dim: 1 dim: 1 }
        shape { dim: 1 dim: 2 } } }";
    let (mut fed, mut others) = read(input);
    for _ in 0..2 {
        for &[h, w] in sizes {
            let loss = net.forward(&mut params).unwrap();
            net.backward(&mut params);
            let data = net.blob("data").unwrap();
            assert_eq!(net.shape(data)[..], [1, 3, h, w]);
            fed.reshape(&[("data", [1, 3, h, w].into())]).unwrap();
            fed.set_input("data", net.values(data)).unwrap();
            fed.set_input("label", net.values(net.blob("label").unwrap())).unwrap();
            assert!(loss > 0.0 && fed.forward(&mut others).unwrap() == loss, "{h} x {w}");
            fed.backward(&mut others);
        }
    }
    for (one, other) in params.iter().zip(others.iter()) {
        assert!(one.diff.iter().any(|&d| d != 0.0) && one.diff[..] == other.diff[..]);
    }
}

#[test]
fn batches_of_one_sample_take_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let sizes = [[5, 7], [9, 4], [12, 12], [3, 3]];
    let (mut lines, mut tables) = (String::new(), String::new());
    for (i, [h, w]) in sizes.into_iter().enumerate() {
        let pixel = |x, y| image::Rgb([3 * x as u8, 5 * y as u8, 7 * i as u8 + 40]);
        let name = path(&format!("{i}.png"));
        image::RgbImage::from_fn(w as u32, h as u32, pixel).save(&name).unwrap();
        lines += &format!("{} {i} 2\n", name.display());
        let mut file = hdf5_pure::FileBuilder::new();
        let values: Vec<f32> = (0..2 * 3 * h * w).map(|v| (v % 11) as f32 * 0.1).collect();
        file.create_dataset("data").with_f32_data(&values).with_shape(&[2, 3, h as u64, w as u64]);
        file.create_dataset("label").with_f32_data(&[1.0, 2.0, 3.0, 4.0]).with_shape(&[2, 2]);
        let name = path(&format!("{i}.h5"));
        file.write(&name).unwrap();
        tables += &format!("{}\n", name.display());
    }
    std::fs::write(path("images.txt"), lines).unwrap();
    std::fs::write(path("tables.txt"), tables).unwrap();
    for prefetch in [0, 3] {
        beside_fed(
            &format!(
                "layer {{ name: 'd' type: 'ImageData' top: 'data' top: 'label' image_data_param {{ source: '{}' batch_size: 1 \
                 label_count: 2 }} data_param {{ prefetch: {prefetch} }} }}",
                path("images.txt").display()
            ),
            &sizes,
        );
        beside_fed(
            &format!(
                "layer {{ name: 'd' type: 'HDF5Data' top: 'data' top: 'label' hdf5_data_param {{ source: '{}' batch_size: 1 }} \
                 data_param {{ prefetch: {prefetch} }} }}",
                path("tables.txt").display()
            ),
            &sizes.map(|size| [size, size]).concat(),
        );
    }
}
