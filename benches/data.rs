//! Samples a second by source and by transform: `cargo bench --bench data`.
//!
//! Sources are read as training reads them, in batches made ahead on all cores, with nothing else to do; transforms run on
//! one thread. `CNNCTL_BENCH_DATA=FOLDER` keeps the sets, for `benches/peers/dataloader.py` to read the same files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cnnctl::{
    config::proto::{Datum, Phase, TransformationParameter},
    data::{
        Batches, DataError, Draw, Encoding, Feed, Image, Images, Imageset, Location, Pixels, Place, Sample,
        Settings, Source, Tables, Transform, hdf5_bytes, npy_bytes, open_source, write_database,
    },
};
use divan::{Bencher, counter::ItemsCount};

/// Images in each set, and their side.
const COUNT: usize = 256;
const SIDE: usize = 256;
const BATCH: usize = 64;

fn main() {
    divan::main();
}

/// The folder of the sets, written once.
fn sets() -> &'static Path {
    static SETS: OnceLock<PathBuf> = OnceLock::new();
    SETS.get_or_init(|| {
        let folder = std::env::var_os("CNNCTL_BENCH_DATA")
            .map_or_else(|| std::env::temp_dir().join("cnnctl-bench-data"), PathBuf::from);
        if !folder.join("done").exists() {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("images")).expect("a folder for the sets");
            write_sets(&folder);
            fs::write(folder.join("done"), "").expect("a folder for the sets");
        }
        folder
    })
}

/// Waves with some noise: about as hard to compress as a photograph.
fn picture(number: usize) -> Image {
    let mut noise = number as u32 | 1;
    let mut values = Vec::with_capacity(3 * SIDE * SIDE);
    for channel in 0..3 {
        for y in 0..SIDE {
            for x in 0..SIDE {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (fx, fy) = (x as f32 / (17 + channel) as f32, y as f32 / 11.0 + number as f32);
                values.push((128.0 + 70.0 * fx.sin() + 40.0 * fy.cos() + (noise >> 27) as f32 - 16.0) as u8);
            }
        }
    }
    Image { shape: [3, SIDE, SIDE], values }
}

fn write_sets(folder: &Path) {
    let (mut list, mut floats) = (String::new(), Vec::new());
    for i in 0..COUNT {
        let image = picture(i);
        for extension in ["jpg", "png"] {
            let path = folder.join(format!("images/{i}.{extension}"));
            fs::write(&path, image.file_bytes(&path).expect("three channels")).expect("a writable folder");
        }
        floats.extend(image.values.iter().take(3 * 64 * 64).map(|&v| f32::from(v)));
        list += &format!("{i}.jpg {}\n", i % 10);
    }
    fs::write(folder.join("jpg.txt"), &list).expect("a writable folder");
    fs::write(folder.join("png.txt"), list.replace("jpg", "png")).expect("a writable folder");
    for (name, list, backend, encoding) in [
        ("lmdb_raw", "jpg.txt", "lmdb", Encoding::Raw),
        ("lmdb_jpg", "jpg.txt", "lmdb", Encoding::AsNamed),
        ("leveldb_raw", "jpg.txt", "leveldb", Encoding::Raw),
    ] {
        let location = list_location(folder, list, None);
        let set = Imageset::open(location, encoding, None).expect("the list");
        let entries = (0..set.len()).map(|i| set.entry(i).map(|(entry, _)| entry));
        write_database(entries, backend, &folder.join(name)).expect("a new database");
    }
    let digits = (0..10_000).map(|i| {
        let data = (0..784).map(|p| ((i * 31 + p * 7) % 256) as u8).collect();
        let datum = Datum {
            channels: Some(1),
            height: Some(28),
            width: Some(28),
            data: Some(data),
            label: Some(i % 10),
            ..Datum::default()
        };
        Ok::<_, DataError>((format!("{i:08}"), datum))
    });
    write_database(digits, "lmdb", &folder.join("digits_lmdb")).expect("a new database");
    let head =
        [&[0, 0, 8, 3][..], &10_000u32.to_be_bytes(), &28u32.to_be_bytes(), &28u32.to_be_bytes()].concat();
    fs::write(folder.join("digits.idx"), [head, vec![7; 7_840_000]].concat()).expect("a writable folder");
    let shape = [COUNT, 3, 64, 64];
    fs::write(folder.join("a.h5"), hdf5_bytes("data", &shape, &floats).expect("a shape that fits"))
        .expect("writable");
    fs::write(folder.join("a.npy"), npy_bytes(&shape, &floats).expect("a shape that fits"))
        .expect("writable");
    fs::write(folder.join("files"), folder.join("a.h5").display().to_string()).expect("writable");
}

fn list_location(folder: &Path, list: &str, resize: Option<(usize, usize)>) -> Location {
    let root_folder = format!("{}/images/", folder.display());
    Location { path: folder.join(list), root_folder, resize, ..Location::default() }
}

/// Batches of a source, made ahead.
fn bench(bencher: Bencher, feed: Box<dyn Feed>) {
    let mut batches =
        Batches::new(feed, Settings { batch_size: BATCH, ..Settings::default() }).expect("samples");
    let mut tops: Vec<Vec<f32>> = batches.shapes().iter().map(|s| vec![0.0; s.count()]).collect();
    bencher.counter(ItemsCount::new(BATCH * 8)).bench_local(|| {
        for _ in 0..8 {
            let mut slices: Vec<&mut [f32]> = tops.iter_mut().map(Vec::as_mut_slice).collect();
            batches.next(&mut slices).expect("a batch");
        }
    });
}

fn images(kind: &str, location: &Location, param: &TransformationParameter) -> Box<dyn Feed> {
    let transform = Transform::from_config(param, Phase::Train).expect("settings that fit");
    let source = open_source(kind, location).expect("the set");
    Box::new(Images::new(source, transform, kind != "idx" && kind != "npy").expect("samples"))
}

/// What a net like CaffeNet asks for.
fn usual() -> TransformationParameter {
    TransformationParameter {
        crop_size: Some(227),
        mirror: Some(true),
        mean_value: vec![104.0, 117.0, 123.0],
        ..Default::default()
    }
}

/// Sets of 256 x 256 colour images, with crop, mirror and mean; then smaller ones, as they are.
#[divan::bench(
    args = ["lmdb_raw", "lmdb_jpg", "leveldb_raw", "list_jpg", "list_png", "list_jpg_resized", "digits_lmdb", "digits_idx", "hdf5", "npy"],
    sample_count = 7,
    sample_size = 1
)]
fn source(bencher: Bencher, name: &str) {
    let folder = sets();
    let at = |name: &str| Location { path: folder.join(name), ..Location::default() };
    let plain = TransformationParameter::default();
    let feed = match name {
        "list_jpg" => images("image_list", &list_location(folder, "jpg.txt", None), &usual()),
        "list_png" => images("image_list", &list_location(folder, "png.txt", None), &usual()),
        "list_jpg_resized" => {
            images("image_list", &list_location(folder, "jpg.txt", Some((240, 300))), &usual())
        }
        "digits_lmdb" => images("lmdb", &at(name), &plain),
        "digits_idx" => images("idx", &at("digits.idx"), &plain),
        "npy" => images("npy", &at("a.npy"), &plain),
        "hdf5" => Box::new(Tables::open(&folder.join("files"), &["data".into()]).expect("the file")),
        "leveldb_raw" => images("leveldb", &at(name), &usual()),
        _ => images("lmdb", &at(name), &usual()),
    };
    bench(bencher, feed);
}

/// One image in memory, again and again.
struct One(Image);

impl Source for One {
    fn len(&self) -> usize {
        1
    }

    fn read(&self, _: usize) -> Result<Sample, DataError> {
        let pixels = Pixels::U8(self.0.values.clone());
        Ok(Sample { shape: self.0.shape, pixels, labels: vec![0.0], key: "0".into() })
    }

    fn name(&self) -> String {
        "one".into()
    }
}

/// Transforms of a 256 x 256 colour image to 227 x 227, on one thread; each also copies the image once.
#[divan::bench(args = ["none", "usual", "area_aspect", "rotation", "colours", "cutout"], sample_count = 7, sample_size = 1)]
fn transform(bencher: Bencher, name: &str) {
    let mut param = usual();
    match name {
        "none" => param = TransformationParameter::default(),
        "area_aspect" => (param.random_area, param.random_aspect) = (Some(0.1), Some(1.33)),
        "rotation" => param.random_rotation = Some(15.0),
        "colours" => {
            (param.random_brightness, param.random_contrast) = (Some(0.4), Some(0.4));
            param.random_saturation = Some(0.4);
        }
        "cutout" => param.random_cutout = Some(64),
        _ => {}
    }
    let transform = Transform::from_config(&param, Phase::Train).expect("settings that fit");
    let feed = Images::new(Box::new(One(picture(1))), transform, true).expect("a sample");
    let (mut data, mut label) = (vec![0.0; feed.shapes()[0].count()], [0.0]);
    let mut position = 0;
    bencher.counter(ItemsCount::new(50usize)).bench_local(|| {
        for _ in 0..50 {
            position += 1;
            let mut draw = Draw::of_sample(1, position);
            feed.fill(Place { index: 0, position }, &mut draw, &mut [&mut data, &mut label])
                .expect("a sample");
        }
    });
}
