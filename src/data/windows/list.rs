//! The list of windows: words with blanks or line ends between them.
//!
//! ```text
//! # number  path  channels height width  windows    then each window:  class overlap x1 y1 x2 y2
//! ```

use std::{fs, path::Path, str::FromStr};

use super::super::{Access, DataError};

/// The windows that overlap an object enough, and those that overlap little.
#[derive(Debug, Default)]
pub(super) struct List {
    pub images: Vec<String>,
    pub foreground: Vec<Window>,
    pub background: Vec<Window>,
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// A number in [`List::images`].
    pub image: usize,
    /// The class; 0 of the background.
    pub label: f32,
    /// x1, y1, x2, y2, all inside.
    pub corners: [i32; 4],
}

impl List {
    /// A window is foreground from an overlap of `foreground` on, and background below `background`.
    pub fn read(path: &Path, foreground: f32, background: f32) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io(Access::Open, path))?;
        let mut list = Self::default();
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if word != "#" {
                return Err(DataError::file(path, format!("`#` expected, found `{word}`")));
            }
            list.image(&mut words, foreground, background)
                .map_err(|(image, problem)| DataError::sample(path, image, problem))?;
        }
        Ok(list)
    }

    fn image<'a>(
        &mut self,
        words: &mut impl Iterator<Item = &'a str>,
        foreground: f32,
        background: f32,
    ) -> Result<(), (String, String)> {
        let image = self.images.len();
        next::<i64>(words, "image number").map_err(|e| (format!("#{image}"), e))?;
        let path = words.next().unwrap_or_default().to_owned();
        let name = |problem| (path.clone(), problem);
        for field in ["channels", "height", "width"] {
            next::<u32>(words, field).map_err(name)?;
        }
        for _ in 0..next::<u32>(words, "number of windows").map_err(name)? {
            let class = next::<i32>(words, "class").map_err(name)?;
            let overlap = next::<f32>(words, "overlap").map_err(name)?;
            let mut corners = [0; 4];
            for (corner, field) in corners.iter_mut().zip(["x1", "y1", "x2", "y2"]) {
                *corner = next(words, field).map_err(name)?;
            }
            if overlap >= foreground {
                if class <= 0 {
                    return Err(name(format!("a foreground window has the class {class}")));
                }
                self.foreground.push(Window { image, label: class as f32, corners });
            } else if overlap < background {
                self.background.push(Window { image, label: 0.0, corners });
            }
        }
        self.images.push(path);
        Ok(())
    }
}

fn next<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>, field: &str) -> Result<T, String> {
    let word = words.next().ok_or_else(|| format!("cut off before the {field}"))?;
    word.parse().map_err(|_| format!("`{word}` is no {field}"))
}
