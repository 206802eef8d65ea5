//! Shapes on the command line.

use crate::{
    config::{or_did_you_mean, proto::NetParameter},
    layers::{self, Role},
    net::check::View,
    report,
    tensor::Shape,
};

/// `data=64,3,32,32`.
pub fn parse_shape(text: &str) -> Result<(String, Shape), String> {
    let wrong = || format!("expected BLOB=N,C,H,W as in data=64,3,32,32, found `{text}`");
    let (name, dims) = text.split_once('=').ok_or_else(wrong)?;
    let dims: Result<Vec<usize>, _> = dims.split([',', 'x']).map(|d| d.trim().parse()).collect();
    Ok((name.to_owned(), dims.map_err(|_| wrong())?.into()))
}

/// How to look at a net with these shapes; warns of those of blobs that no source layer gives.
pub fn view(shapes: &[(String, Shape)], net: &NetParameter) -> View {
    let is_source = |name: &str| layers::kind(name).is_some_and(|kind| kind.role == Role::Source);
    let sources = || net.layer.iter().filter(|layer| is_source(layer.r#type()));
    let tops = || sources().flat_map(|layer| &layer.top).map(String::as_str);
    for (name, _) in shapes.iter().filter(|(name, _)| !tops().any(|top| top == name)) {
        let hint = or_did_you_mean(name, tops());
        report::warn(&format!("--shape: no source layer gives a blob `{name}`{hint}"));
    }
    View { shapes: shapes.iter().cloned().collect(), ..View::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_numbers() {
        assert_eq!(parse_shape("x=2,3x4"), Ok(("x".into(), [2, 3, 4].into())));
        assert!(["x", "x=", "x=2,-1"].iter().all(|text| parse_shape(text).is_err()));
    }
}
