//! Shapes on the command line.

use crate::tensor::Shape;

/// `data=64,3,32,32`.
pub fn parse_shape(text: &str) -> Result<(String, Shape), String> {
    let wrong = || format!("expected BLOB=N,C,H,W as in data=64,3,32,32, found `{text}`");
    let (name, dims) = text.split_once('=').ok_or_else(wrong)?;
    let dims: Result<Vec<usize>, _> = dims.split([',', 'x']).map(|d| d.trim().parse()).collect();
    Ok((name.to_owned(), dims.map_err(|_| wrong())?.into()))
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
