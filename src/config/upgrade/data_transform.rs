//! Scale, mean, crop and mirror were settings of each data layer; now they are one message, `transform_param`.

use super::{Complaint, LayerId};
use crate::config::proto::v1_layer_parameter::LayerType;
use crate::config::proto::{
    DataParameter, ImageDataParameter, NetParameter, TransformationParameter, V1LayerParameter,
    WindowDataParameter,
};

/// The messages that had these settings.
pub(super) const OLD_OWNERS: [&str; 3] = ["data_param", "image_data_param", "window_data_param"];

/// The four settings of one data layer.
#[derive(Default, PartialEq)]
struct Settings {
    scale: Option<f32>,
    mean_file: Option<String>,
    crop_size: Option<u32>,
    mirror: Option<bool>,
}

impl Settings {
    fn of_data(old: &mut DataParameter) -> Self {
        let (scale, mean_file) = (old.scale.take(), old.mean_file.take());
        Self { scale, mean_file, crop_size: old.crop_size.take(), mirror: old.mirror.take() }
    }

    fn of_images(old: &mut ImageDataParameter) -> Self {
        let (scale, mean_file) = (old.scale.take(), old.mean_file.take());
        Self { scale, mean_file, crop_size: old.crop_size.take(), mirror: old.mirror.take() }
    }

    fn of_windows(old: &mut WindowDataParameter) -> Self {
        let (scale, mean_file) = (old.scale.take(), old.mean_file.take());
        Self { scale, mean_file, crop_size: old.crop_size.take(), mirror: old.mirror.take() }
    }

    /// Takes the settings out of the message that belongs to the layer's type.
    fn take(layer: &mut V1LayerParameter) -> Self {
        let settings = match LayerType::try_from(layer.r#type.unwrap_or_default()) {
            Ok(LayerType::Data) => layer.data_param.as_mut().map(Self::of_data),
            Ok(LayerType::ImageData) => layer.image_data_param.as_mut().map(Self::of_images),
            Ok(LayerType::WindowData) => layer.window_data_param.as_mut().map(Self::of_windows),
            _ => None,
        };
        settings.unwrap_or_default()
    }

    fn put(self, transform: &mut TransformationParameter) {
        transform.scale = self.scale.or(transform.scale);
        transform.mean_file = self.mean_file.or(transform.mean_file.take());
        transform.crop_size = self.crop_size.or(transform.crop_size);
        transform.mirror = self.mirror.or(transform.mirror);
    }

    /// Names of the settings that are there.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("scale", self.scale.is_some()),
            ("mean_file", self.mean_file.is_some()),
            ("crop_size", self.crop_size.is_some()),
            ("mirror", self.mirror.is_some()),
        ];
        all.into_iter().filter(|&(_, set)| set).map(|(name, _)| name)
    }
}

/// Whether a data layer of the V1 form has such settings of its own.
pub(super) fn applies(net: &NetParameter) -> bool {
    net.layers.iter().any(|layer| Settings::take(&mut layer.clone()) != Settings::default())
}

/// Moves them to `transform_param`, over what stands there.
pub(super) fn apply(mut net: NetParameter, _: &mut Vec<Complaint>) -> NetParameter {
    for layer in &mut net.layers {
        let settings = Settings::take(layer);
        if settings != Settings::default() {
            settings.put(layer.transform_param.get_or_insert_default());
        }
    }
    net
}

/// In today's layers the old settings mean nothing, in Caffe neither: says so.
pub(super) fn warn_of_ignored(net: &NetParameter, complaints: &mut Vec<Complaint>) {
    for layer in &net.layer {
        let old = [
            layer.data_param.clone().map(|mut p| Settings::of_data(&mut p)),
            layer.image_data_param.clone().map(|mut p| Settings::of_images(&mut p)),
            // Where Caffe takes its scale from to this day.
            layer
                .window_data_param
                .clone()
                .map(|mut p| Settings { scale: None, ..Settings::of_windows(&mut p) }),
        ];
        for (settings, owner) in old.into_iter().zip(OLD_OWNERS) {
            for name in settings.unwrap_or_default().names() {
                let path = format!("{owner}.{name}");
                let message = format!("`{path}` is an old form that `layer` ignores");
                let complaint = Complaint::warning(Some(LayerId::of(layer)), path, message);
                complaints.push(complaint.hint(format!("write it as `transform_param {{ {name}: ... }}`")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::parse;
    use crate::config::upgrade::tests::{printed, upgraded};

    #[test]
    fn settings_move_from_the_message_of_the_layers_type() {
        let text = "layers { type: DATA transform_param { mirror: false crop_size: 5 }
              data_param { source: 's' scale: 0.5 mean_file: 'm' crop_size: 7 } image_data_param { scale: 3 } }
            layers { type: IMAGE_DATA image_data_param { mirror: true } }
            layers { type: WINDOW_DATA window_data_param { scale: 2 } }
            layers { type: RELU data_param { scale: 2 } }";
        let expected = "layers { type: DATA data_param { source: 's' } image_data_param { scale: 3 }
              transform_param { scale: 0.5 mean_file: 'm' crop_size: 7 mirror: false } }
            layers { type: IMAGE_DATA image_data_param { } transform_param { mirror: true } }
            layers { type: WINDOW_DATA window_data_param { } transform_param { scale: 2 } }
            layers { type: RELU data_param { scale: 2 } }";
        assert_eq!(upgraded(text, "transformations"), (printed(expected), vec![]));
    }

    #[test]
    fn todays_layers_are_warned_and_not_changed() {
        let text = "layer { type: 'Data' data_param { scale: 2 mirror: false } }
            layer { type: 'WindowData' window_data_param { scale: 2 crop_size: 3 } }";
        let net = parse::<NetParameter>("net", text).expect("a good text").message;
        let mut complaints = Vec::new();
        warn_of_ignored(&net, &mut complaints);
        let fields: Vec<&str> = complaints.iter().map(|c| c.field.as_str()).collect();
        assert_eq!(fields, ["data_param.scale", "data_param.mirror", "window_data_param.crop_size"]);
        assert!(!applies(&net));
    }
}
