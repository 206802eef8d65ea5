//! Spellings that are not Caffe's but are met in teaching material: read, with a warning that names Caffe's.

use super::proto::v1_layer_parameter::LayerType;
use super::upgrade::v1;

/// Field names, sorted: the spelling and Caffe's name. One holds wherever Caffe's name would.
const FIELDS: [(&str, &str); 3] =
    [("Layers", "layers"), ("bias_filter", "bias_filler"), ("weight_filter", "weight_filler")];

/// Caffe's name for a field.
pub(crate) fn field(spelling: &str) -> Option<&'static str> {
    FIELDS.iter().find(|(s, _)| *s == spelling).map(|&(_, name)| name)
}

/// Caffe's name for a layer type that is spelled as in a V1 `layers`: `CONVOLUTION` is `Convolution`.
pub(crate) fn layer_type(spelling: &str) -> Option<&'static str> {
    let name = v1::type_name(LayerType::from_str_name(spelling)?);
    (!name.is_empty() && name != spelling).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_have_their_standard_names() {
        assert!(FIELDS.is_sorted());
        assert_eq!(field("weight_filter"), Some("weight_filler"));
        assert_eq!(field("weight_filler"), None);
        assert_eq!(layer_type("CONVOLUTION"), Some("Convolution"));
        assert_eq!(layer_type("SOFTMAX_LOSS"), Some("SoftmaxWithLoss"));
        for standard in ["Convolution", "LRN", "MVN", "BNLL", "NONE", ""] {
            assert_eq!(layer_type(standard), None, "{standard}");
        }
    }
}
