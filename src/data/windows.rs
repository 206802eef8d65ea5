//! `WindowData`: windows of images, foreground and background mixed, as R-CNN trains on them.

mod crop;
mod list;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{crop::Crop, list::List};
use super::{DataError, Decode, Draw, Feed, Place, Transform, image, image::Image};
use crate::{config::proto::WindowDataParameter, tensor::Shape};

/// A list of windows. Each batch starts with background windows, foreground windows follow; which ones is chance.
pub(crate) struct Windows {
    path: PathBuf,
    root_folder: String,
    list: List,
    transform: Transform,
    scale: f32,
    size: usize,
    context_pad: usize,
    square: bool,
    batch_size: u64,
    /// Windows of a batch before the foreground.
    background: u64,
    shapes: [Shape; 2],
}

impl Windows {
    pub fn open(param: &WindowDataParameter, transform: Transform) -> Result<Self, DataError> {
        let refuse = |problem: String| Err(DataError::Setting(format!("window_data_param: {problem}")));
        let (size, pad, batch_size) = (transform.crop(), param.context_pad() as usize, param.batch_size());
        if size == 0 {
            return refuse("WindowData needs transform_param { crop_size }".into());
        }
        if 2 * pad >= size {
            return refuse(format!("context_pad {pad} leaves nothing of crop_size {size}"));
        }
        let square = match param.crop_mode() {
            "warp" => false,
            "square" => true,
            other => return refuse(format!("crop_mode `{other}` is neither `warp` nor `square`")),
        };
        let fraction = param.fg_fraction();
        if !(0.0..=1.0).contains(&fraction) {
            return refuse(format!("fg_fraction {fraction} is not between 0 and 1"));
        }
        transform.mean().check_window([3, size, size]).map_err(DataError::Setting)?;
        let path = Path::new(param.source());
        let list = List::read(path, param.fg_threshold(), param.bg_threshold())?;
        let foreground = (batch_size as f32 * fraction) as u64;
        let background = u64::from(batch_size) - foreground;
        for (windows, wanted, name) in
            [(&list.foreground, foreground, "foreground"), (&list.background, background, "background")]
        {
            if windows.is_empty() && wanted > 0 {
                return Err(DataError::file(path, format!("holds no {name} windows")));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            root_folder: param.root_folder().to_owned(),
            list,
            // Caffe knows only the first; the upgrade of old files makes the second of it.
            scale: param.scale() * transform.scale(),
            transform,
            size,
            context_pad: pad,
            square,
            batch_size: batch_size.into(),
            background,
            shapes: [Shape::from([3, size, size]), Shape::default()],
        })
    }

    fn load(&self, path: &str) -> Result<Image, String> {
        let file = PathBuf::from(format!("{}{path}", self.root_folder));
        let bytes = fs::read(&file).map_err(|e| format!("cannot open `{}`: {e}", file.display()))?;
        image::decode(&bytes, Decode::Color)
    }

    /// Writes the part of the image under the window to its place in the crop; the rest stays 0.
    fn paint(&self, image: &Image, crop: &Crop, flip: bool, out: &mut [f32]) {
        let part = cut(image, crop).scaled(crop.to_h, crop.to_w);
        out.fill(0.0);
        for c in 0..3 {
            for y in 0..crop.to_h {
                let from = (c * crop.to_h + y) * crop.to_w;
                let row = &part.values[from..from + crop.to_w];
                let start = (c * self.size + crop.top + y) * self.size + crop.left;
                for (x, to) in out[start..start + crop.to_w].iter_mut().enumerate() {
                    let pixel = if flip { row[crop.to_w - 1 - x] } else { row[x] };
                    let mean = self.transform.mean().in_window(self.size, c, crop.top + y, crop.left + x);
                    *to = (f32::from(pixel) - mean) * self.scale;
                }
            }
        }
    }
}

impl Feed for Windows {
    fn runs(&self) -> Vec<usize> {
        vec![self.list.foreground.len() + self.list.background.len()]
    }

    fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn fill(&self, place: Place, draw: &mut Draw, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
        let is_foreground = place.position % self.batch_size >= self.background;
        let windows = if is_foreground { &self.list.foreground } else { &self.list.background };
        let window = &windows[draw.below(windows.len())];
        let flip = self.transform.mirror() && draw.coin();
        let path = &self.list.images[window.image];
        let bad = |problem: String| DataError::sample(&self.path, path, problem);
        let image = self.load(path).map_err(bad)?;
        let [_, h, w] = image.shape;
        let crop = Crop::new(window.corners, [h, w], self.size, self.context_pad, self.square, flip)
            .ok_or_else(|| {
                bad(format!("the window {:?} lies outside its {h} x {w} pixels", window.corners))
            })?;
        self.paint(&image, &crop, flip, tops[0]);
        if let Some(label) = tops.get_mut(1) {
            label[0] = window.label;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The pixels of the image under the window.
fn cut(image: &Image, crop: &Crop) -> Image {
    let [c, h, w] = image.shape;
    let mut values = Vec::with_capacity(c * crop.h * crop.w);
    for row in (0..c).flat_map(|c| (0..crop.h).map(move |y| (c * h + crop.y + y) * w + crop.x)) {
        values.extend(&image.values[row..row + crop.w]);
    }
    Image { shape: [c, crop.h, crop.w], values }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Batches, Settings},
        *,
    };
    use crate::config::proto::{Phase, TransformationParameter};

    fn open(text: &str, folder: &Path, param: WindowDataParameter) -> Result<Windows, DataError> {
        let source = folder.join("windows.txt");
        fs::write(&source, text).unwrap();
        let transform = TransformationParameter {
            crop_size: Some(2),
            mean_value: vec![1.0],
            scale: Some(2.0),
            ..Default::default()
        };
        let param = WindowDataParameter {
            source: Some(source.display().to_string()),
            root_folder: Some(format!("{}/", folder.display())),
            batch_size: Some(4),
            ..param
        };
        Windows::open(&param, Transform::from_config(&transform, Phase::Train).unwrap())
    }

    const LIST: &str = "# 0\na.png\n3 4 4\n3\n5 0.9 0 0 1 1\n5 0.1 2 2 3 3\n7 0.5 0 2 1 3\n";

    #[test]
    fn a_batch_has_its_share_of_foreground() {
        let folder = tempfile::tempdir().unwrap();
        let pixels: Vec<u8> = (0..16).map(|i| if i % 4 < 2 && i < 8 { 10 } else { 1 }).collect();
        ::image::GrayImage::from_raw(4, 4, pixels).unwrap().save(folder.path().join("a.png")).unwrap();
        let param =
            WindowDataParameter { fg_threshold: Some(0.6), fg_fraction: Some(0.5), ..Default::default() };
        let windows = open(LIST, folder.path(), param).unwrap();
        let mut batches =
            Batches::new(Box::new(windows), Settings { batch_size: 4, ..Default::default() }).unwrap();
        let (mut data, mut label) = (vec![f32::NAN; 4 * 12], [f32::NAN; 4]);
        batches.next(&mut [&mut data, &mut label]).unwrap();
        assert_eq!(label, [0.0, 0.0, 5.0, 5.0]);
        assert!(data[..24].iter().all(|&v| v == 0.0), "(1 - 1) * 2");
        assert!(data[24..].iter().all(|&v| v == 18.0), "(10 - 1) * 2");
        let scaled = WindowDataParameter { fg_fraction: Some(1.0), scale: Some(0.5), ..Default::default() };
        let windows = open(LIST, folder.path(), scaled).unwrap();
        let mut batches =
            Batches::new(Box::new(windows), Settings { batch_size: 4, ..Default::default() }).unwrap();
        batches.next(&mut [&mut data, &mut label]).unwrap();
        assert!(data.iter().all(|&v| v == 9.0 || v == 0.0), "half of it");
        assert!(data.contains(&9.0));
    }

    #[test]
    fn settings_and_lists_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let refuse = |text: &str, param| open(text, folder.path(), param).err().unwrap().to_string();
        let mode = WindowDataParameter { crop_mode: Some("fit".into()), ..Default::default() };
        assert!(refuse(LIST, mode).contains("crop_mode `fit`"));
        let pad = WindowDataParameter { context_pad: Some(1), ..Default::default() };
        assert!(refuse(LIST, pad).contains("context_pad 1"));
        let high = WindowDataParameter { fg_threshold: Some(0.95), ..Default::default() };
        assert!(refuse(LIST, high).contains("no foreground windows"));
        assert!(refuse("# 0 a.png 3 4 4 2 5 0.9 0 0 1 1 5", Default::default()).contains("a.png"));
    }
}
