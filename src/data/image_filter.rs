//! Filters of images: a matrix of coefficients moves over every channel.
//!
//! V = sum(f * d) / F, of which the integer part counts: f are the coefficients, d the pixels under them, F the sum of the
//! coefficients, or 1 if that is 0. V below 0 becomes 0, above 255 it becomes 255.

use super::Image;

/// The coefficients of a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    coefficients: Vec<f64>,
}

/// Which pixels stand beyond an image's edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Those of the opposite edge.
    Wrap,
    /// None: where the matrix reaches beyond an edge, the pixel stays as it is.
    Ignore,
    /// The nearest one of the edge, again and again.
    Duplicate,
}

/// The filters that have names.
pub const FILTERS: &[(&str, &str)] = &[
    ("blur", "1 1 1; 1 1 1; 1 1 1"),
    ("edge", "-1 -1 -1; -1 8 -1; -1 -1 -1"),
    ("sharpen", "0 -1 0; -1 5 -1; 0 -1 0"),
    ("weighted-blur", "1 2 1; 2 4 2; 1 2 1"),
];

impl Matrix {
    /// A filter by its name in [`FILTERS`], or rows of coefficients with semicolons between them: `0 1 0; 1 1 1; 0 1 0`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = FILTERS.iter().find(|(name, _)| *name == text).map_or(text, |(_, matrix)| matrix);
        let mut coefficients: Vec<f64> = Vec::new();
        let (mut rows, mut columns) = (0, 0);
        for line in text.split([';', '\n', '/']).filter(|line| !line.trim().is_empty()) {
            let before = coefficients.len();
            for cell in line.split([' ', '\t', ',']).filter(|cell| !cell.is_empty()) {
                let value: f64 = cell.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| {
                    let names: Vec<_> = FILTERS.iter().map(|(name, _)| *name).collect();
                    format!("`{cell}` is not a number; filters with names are {}", names.join(", "))
                })?;
                coefficients.push(value);
            }
            rows += 1;
            match coefficients.len() - before {
                found if rows > 1 && found != columns => {
                    return Err(format!("row {rows} has {found} coefficients, the first row {columns}"));
                }
                found => columns = found,
            }
        }
        if coefficients.is_empty() {
            return Err("a matrix has at least one coefficient".into());
        }
        Ok(Self { rows, columns, coefficients })
    }

    /// The filtered image; a fourth channel, which says how opaque pixels are, stays.
    pub fn apply(&self, image: &Image, border: Border) -> Image {
        let [c, h, w] = image.shape;
        let mut values = image.values.clone();
        let size = (h * w).max(1);
        for (plane, out) in image.values.chunks_exact(size).zip(values.chunks_exact_mut(size)).take(c.min(3))
        {
            for (y, row) in out.chunks_exact_mut(w).enumerate() {
                for (x, to) in row.iter_mut().enumerate() {
                    if let Some(sum) = self.sum(plane, [h, w], [y, x], border) {
                        *to = (sum / self.divisor()).clamp(0.0, 255.0) as u8;
                    }
                }
            }
        }
        Image { shape: image.shape, values }
    }

    fn divisor(&self) -> f64 {
        let sum: f64 = self.coefficients.iter().sum();
        let size: f64 = self.coefficients.iter().map(|f| f.abs()).sum();
        // Fractions that cancel leave a rounding error.
        if sum.abs() <= 1e-12 * size { 1.0 } else { sum }
    }

    /// sum(f * d) with the matrix's centre on pixel (y, x).
    fn sum(&self, plane: &[u8], [h, w]: [usize; 2], [y, x]: [usize; 2], border: Border) -> Option<f64> {
        let mut sum = 0.0;
        for (i, row) in self.coefficients.chunks_exact(self.columns).enumerate() {
            let y = place((y + i) as isize - (self.rows / 2) as isize, h, border)?;
            for (j, f) in row.iter().enumerate() {
                let x = place((x + j) as isize - (self.columns / 2) as isize, w, border)?;
                sum += f * f64::from(plane[y * w + x]);
            }
        }
        Some(sum)
    }
}

/// The pixel that stands at `at` on an axis of `len` pixels.
fn place(at: isize, len: usize, border: Border) -> Option<usize> {
    let len = len as isize;
    let at = match border {
        Border::Wrap => at.rem_euclid(len),
        Border::Duplicate => at.clamp(0, len - 1),
        Border::Ignore if (0..len).contains(&at) => at,
        Border::Ignore => return None,
    };
    Some(at as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(matrix: &str, border: Border, h: usize, w: usize, values: &[u8]) -> Vec<u8> {
        let image = Image { shape: [1, h, w], values: values.to_vec() };
        Matrix::parse(matrix).unwrap().apply(&image, border).values
    }

    const PICTURE: [u8; 9] = [164, 188, 164, 178, 201, 197, 174, 168, 181];

    #[test]
    fn the_courses_examples() {
        let cross = filtered("0 1 0; 1 1 1; 0 1 0", Border::Ignore, 3, 3, &PICTURE);
        // (188 + 178 + 201 + 197 + 168) / 5 = 932 / 5
        assert_eq!(cross[4], 186);
        let sharp = "-1 -1 -1; -1 16 -1; -1 -1 -1";
        assert_eq!(filtered(sharp, Border::Ignore, 3, 3, &[8, 6, 6, 2, 8, 6, 2, 2, 8])[4], 11);
    }

    #[test]
    fn borders() {
        let left = |border| filtered("1 0 0", border, 2, 3, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(left(Border::Wrap), [3, 1, 2, 6, 4, 5]);
        assert_eq!(left(Border::Duplicate), [1, 1, 2, 4, 4, 5]);
        assert_eq!(left(Border::Ignore), [1, 1, 3, 4, 4, 6], "the edges keep their own");
        let down = |border| filtered("0; 0; 2", border, 3, 1, &[10, 20, 30]);
        assert_eq!(down(Border::Wrap), [20, 30, 10]);
        assert_eq!(down(Border::Duplicate), [20, 30, 30]);
        assert_eq!(down(Border::Ignore), [10, 30, 30]);
        assert_eq!(filtered("blur", Border::Wrap, 1, 1, &[77]), [77], "a matrix larger than the image");
        assert_eq!(filtered("blur", Border::Ignore, 2, 2, &[1, 2, 3, 4]), [1, 2, 3, 4]);
    }

    #[test]
    fn sums_of_zero_divide_by_one_and_values_are_cut() {
        let edge = filtered("edge", Border::Duplicate, 1, 3, &[10, 10, 12]);
        // With three equal rows 9 * d less three times the row: 90 - 90, 90 - 96, 108 - 102.
        assert_eq!(edge, [0, 0, 6]);
        assert_eq!(filtered("0.1 0.2 -0.3", Border::Wrap, 1, 1, &[200]), [0]);
        assert_eq!(filtered("-1 3 -1", Border::Duplicate, 1, 3, &[0, 200, 0]), [0, 255, 0]);
        assert_eq!(filtered("-1", Border::Wrap, 1, 1, &[9]), [9], "F is -1 as well");
    }

    #[test]
    fn channels_are_alone_and_opacity_stays() {
        let image = Image { shape: [4, 1, 2], values: vec![0, 10, 20, 40, 0, 0, 7, 9] };
        let out = Matrix::parse("1 1 0").unwrap().apply(&image, Border::Wrap);
        assert_eq!(out.values, [5, 5, 30, 30, 0, 0, 7, 9]);
    }

    #[test]
    fn texts() {
        let matrix = Matrix::parse("0,1 ;  2 -3.5\n").unwrap();
        assert_eq!(
            (matrix.rows, matrix.columns, &matrix.coefficients[..]),
            (2, 2, &[0.0, 1.0, 2.0, -3.5][..])
        );
        for (name, _) in FILTERS {
            assert_eq!(Matrix::parse(name).unwrap().rows, 3);
        }
        assert!(Matrix::parse("1 2; 3").unwrap_err().contains("row 2 has 1 coefficients"));
        assert!(Matrix::parse("1 x").unwrap_err().contains("`x` is not a number"));
        assert!(Matrix::parse("nan").unwrap_err().contains("blur, edge"));
        assert!(Matrix::parse(" ; ").is_err());
    }
}
