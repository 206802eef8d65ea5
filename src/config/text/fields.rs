//! Which fields of a message are set, and which of them to NaN.

use prost::{Message, Name};

use super::schema::{Kind, MessageType, Schema};
use super::wire::{WireType, take_bytes, take_tag, take_varint};

/// The names of the fields that are set, in the order of their numbers, each once.
pub fn set_fields<M: Message + Name>(message: &M) -> Vec<&'static str> {
    let of = Schema::get().message(super::message_type::<M>());
    let bytes = message.encode_to_vec();
    let mut bytes = bytes.as_slice();
    let mut names: Vec<&'static str> = Vec::new();
    while let Some((number, _)) = take_value(&mut bytes) {
        let name = of.field_numbered(number).map(|field| field.name.as_str());
        names.extend(name.filter(|name| names.last() != Some(name)));
    }
    names
}

/// The paths of the fields that are NaN: `loss_weight[1]`, `relu_param.negative_slope`.
pub fn nan_fields<M: Message + Name>(message: &M) -> Vec<String> {
    let mut paths = Vec::new();
    nan_inside(Schema::get().message(super::message_type::<M>()), &message.encode_to_vec(), "", &mut paths);
    paths
}

fn nan_inside(of: &MessageType, mut bytes: &[u8], around: &str, paths: &mut Vec<String>) {
    // Fields come in the order of their numbers, so those of one list follow each other.
    let (mut last, mut index) = (0, 0);
    while let Some((number, value)) = take_value(&mut bytes) {
        index = if number == last { index + 1 } else { 0 };
        last = number;
        let Some(field) = of.field_numbered(number) else { continue };
        let place = if field.repeated { format!("[{index}]") } else { String::new() };
        let path = || format!("{around}{}{place}", field.name);
        let is_nan = match field.kind {
            Kind::Message(inner) => {
                nan_inside(Schema::get().message(inner), value, &format!("{}.", path()), paths);
                continue;
            }
            Kind::Float => value.try_into().is_ok_and(|b| f32::from_le_bytes(b).is_nan()),
            Kind::Double => value.try_into().is_ok_and(|b| f64::from_le_bytes(b).is_nan()),
            _ => false,
        };
        paths.extend(is_nan.then(path));
    }
}

/// Takes a field off the front; its number, and its bytes without their length.
fn take_value<'b>(bytes: &mut &'b [u8]) -> Option<(u32, &'b [u8])> {
    let (number, wire_type) = take_tag(bytes)?;
    let value = match wire_type {
        WireType::Varint => {
            take_varint(bytes)?;
            &[]
        }
        WireType::Fixed32 => take_bytes(bytes, 4)?,
        WireType::Fixed64 => take_bytes(bytes, 8)?,
        WireType::Length => {
            let length = take_varint(bytes)?;
            take_bytes(bytes, length)?
        }
    };
    Some((number, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proto::{LayerParameter, NetParameter, ParamSpec, ReLuParameter};

    #[test]
    fn fields_that_are_set_are_named_once() {
        let layer = LayerParameter {
            name: Some(String::new()),
            bottom: vec!["a".into(), "b".into()],
            loss_weight: vec![1.0, 0.0],
            relu_param: Some(ReLuParameter::default()),
            cnnctl_origin: Some(7),
            ..Default::default()
        };
        assert_eq!(set_fields(&layer), ["name", "bottom", "loss_weight", "relu_param"]);
    }
    #[test]
    fn fields_that_are_nan_are_found_in_all_depths() {
        let bad = |lr_mult: f32| ParamSpec { lr_mult: Some(lr_mult), ..Default::default() };
        let layer = LayerParameter {
            name: Some("nan".into()),
            loss_weight: vec![f32::INFINITY, f32::NAN],
            param: vec![bad(1.0), bad(-f32::NAN)],
            relu_param: Some(ReLuParameter { negative_slope: Some(f32::NAN), ..Default::default() }),
            ..Default::default()
        };
        let paths = ["loss_weight[1]", "param[1].lr_mult", "relu_param.negative_slope"];
        assert_eq!(nan_fields(&layer), paths);
        let net = NetParameter { layer: vec![LayerParameter::default(), layer], ..Default::default() };
        assert_eq!(nan_fields(&net), paths.map(|path| format!("layer[1].{path}")));
    }
}
