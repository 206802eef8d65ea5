//! Which fields of a message are set.

use prost::{Message, Name};

use super::schema::Schema;
use super::wire::{WireType, take_bytes, take_tag, take_varint};

/// The names of the fields that are set, in the order of their numbers, each once.
pub fn set_fields<M: Message + Name>(message: &M) -> Vec<&'static str> {
    let of = Schema::get().message(super::message_type::<M>());
    let bytes = message.encode_to_vec();
    let mut bytes = bytes.as_slice();
    let mut names: Vec<&'static str> = Vec::new();
    while let Some(number) = take_field(&mut bytes) {
        let name = of.field_numbered(number).map(|field| field.name.as_str());
        names.extend(name.filter(|name| names.last() != Some(name)));
    }
    names
}

/// Takes a field off the front; its number.
fn take_field(bytes: &mut &[u8]) -> Option<u32> {
    let (number, wire_type) = take_tag(bytes)?;
    match wire_type {
        WireType::Varint => take_varint(bytes).map(|_| ())?,
        WireType::Fixed32 => take_bytes(bytes, 4).map(|_| ())?,
        WireType::Fixed64 => take_bytes(bytes, 8).map(|_| ())?,
        WireType::Length => {
            let length = take_varint(bytes)?;
            take_bytes(bytes, length).map(|_| ())?;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proto::{LayerParameter, ReLuParameter};

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
}
