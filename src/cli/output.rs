//! What commands print and the files that they write.

use std::path::Path;

use super::{
    Failure,
    failure::{CONFIG, FAILED},
};
use crate::{data::Image, report, snapshot::write_whole};

/// Prints to stdout.
pub fn print(text: &str) -> Result<(), Failure> {
    report::print(text).map_err(|e| Failure::new(FAILED, e))
}

/// The ending of a file's name, in small letters.
pub fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Refuses a file for an image that ends in neither .png nor .jpg.
pub fn check_image(path: &Path) -> Result<(), Failure> {
    Image::check_name(path).map_err(|e| Failure::chain(CONFIG, &e))
}

/// Refuses sizes of pictures that no screen has.
pub fn check_scale(scale: f32) -> Result<(), Failure> {
    if scale > 0.0 && scale <= 20.0 {
        return Ok(());
    }
    Err(Failure::new(CONFIG, format!("--scale takes a number above 0, at most 20, found {scale}")))
}

/// The place of the first item that has come before.
pub fn twice<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Option<usize> {
    let mut seen = Vec::new();
    items.into_iter().position(|item| {
        let again = seen.contains(&item);
        seen.push(item);
        again
    })
}

/// Writes a file, whole or not at all, and says so.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_whole(path, bytes)?;
    report::info(&format!("Wrote {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_found() {
        assert_eq!(twice(["a", "b", "c", "b", "a"]), Some(3));
        assert_eq!(twice(["a", "b"]), None);
    }
}
