//! Blobs from outside were fields of the net, `input: "data"` with `input_shape` or four `input_dim`s each; now
//! an Input layer makes them.

use super::Complaint;
use crate::config::proto::{BlobShape, InputParameter, LayerParameter, NetParameter};

/// Sides that `input_dim` gives for each blob.
const DIMS: usize = 4;

/// Whether the net has such fields.
pub(super) fn applies(net: &NetParameter) -> bool {
    !net.input.is_empty()
}

/// Puts an Input layer at the front. Inputs without shapes, as old files of weights have them, are dropped.
pub(super) fn apply(mut net: NetParameter, complaints: &mut Vec<Complaint>) -> NetParameter {
    if net.input.is_empty() {
        return net;
    }
    let (inputs, given, field) = (net.input.len(), net.input_shape.len(), "input_shape");
    let shape: Vec<BlobShape> = if given > 0 {
        check(
            given == inputs,
            field,
            format!("{inputs} `input` need as many `input_shape`, not {given}"),
            complaints,
        );
        net.input_shape.clone()
    } else {
        let given = net.input_dim.len();
        let message = format!("{inputs} `input` need {} `input_dim`, four each, not {given}", DIMS * inputs);
        check(given == 0 || given == DIMS * inputs, "input_dim", message, complaints);
        let blobs = net.input_dim.chunks(DIMS);
        blobs.map(|dims| BlobShape { dim: dims.iter().map(|&side| side.into()).collect() }).collect()
    };
    if super::failed(complaints) {
        return net;
    }
    net.input_shape.clear();
    net.input_dim.clear();
    let top = std::mem::take(&mut net.input);
    if !shape.is_empty() {
        let layer = LayerParameter {
            name: Some("input".to_owned()),
            r#type: Some("Input".to_owned()),
            top,
            input_param: Some(InputParameter { shape }),
            ..Default::default()
        };
        net.layer.insert(0, layer);
    }
    net
}

fn check(holds: bool, field: &str, message: String, complaints: &mut Vec<Complaint>) {
    if !holds {
        complaints.push(Complaint::error(None, field, message));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::upgrade::tests::{printed, upgraded};

    #[test]
    fn dims_and_shapes_become_a_layer_at_the_front() {
        let expected = "layer { name: 'input' type: 'Input' top: 'a' top: 'b'
              input_param { shape { dim: [1, 2, 3, 4] } shape { dim: [5, 6, 7, 8] } } }
            layer { name: 'r' }";
        let text = "input: 'a' input: 'b' input_dim: [1, 2, 3, 4, 5, 6, 7, 8] layer { name: 'r' }";
        assert_eq!(upgraded(text, "input"), (printed(expected), vec![]));
        let text = "input: 'a' input_shape { dim: [1, 2, 3, 4] } layer { name: 'r' } input: 'b'
            input_shape { dim: [5, 6, 7, 8] }";
        assert_eq!(upgraded(text, "input"), (printed(expected), vec![]));
    }

    #[test]
    fn inputs_without_shapes_are_dropped() {
        let (text, complaints) = upgraded("input: 'a' layer { name: 'r' }", "input");
        assert_eq!((text, complaints), (printed("layer { name: 'r' }"), vec![]));
    }

    #[test]
    fn other_numbers_of_shapes_are_refused() {
        let (text, complaints) = upgraded("input: 'a' input_dim: [1, 2, 3]", "input");
        assert_eq!(text, printed("input: 'a' input_dim: [1, 2, 3]"));
        assert_eq!(complaints, ["1 `input` need 4 `input_dim`, four each, not 3"]);
        let (_, complaints) = upgraded("input: 'a' input: 'b' input_shape { dim: 1 }", "input");
        assert_eq!(complaints, ["2 `input` need as many `input_shape`, not 1"]);
    }
}
