//! Bilinear scaling of byte images, to the last bit as OpenCV's default does it.
//!
//! Pixel centres are aligned: the output's pixel x reads the input at (x + 1/2) * input / output - 1/2. Weights have 11 bits after
//! the point; the vertical pass drops 4 bits of the horizontal sum and 16 of each product, then rounds the last 2.

use super::Image;

/// One output pixel of an axis: the two input pixels and their weights.
#[derive(Clone, Copy)]
struct Tap {
    from: [usize; 2],
    weights: [i32; 2],
}

impl Image {
    /// Scaled to `h x w`, bilinearly.
    pub fn scaled(&self, h: usize, w: usize) -> Self {
        let [c, from_h, from_w] = self.shape;
        if (from_h, from_w) == (h, w) || self.values.is_empty() {
            return self.clone();
        }
        let columns: Vec<_> = (0..w).map(|x| Tap::column(x, from_w, w)).collect();
        let rows: Vec<_> = (0..h).map(|y| Tap::row(y, from_h, h)).collect();
        let mut values = Vec::with_capacity(c * h * w);
        let mut wide = vec![0; from_h * w];
        for plane in self.values.chunks_exact(from_h * from_w) {
            for (line, to) in plane.chunks_exact(from_w).zip(wide.chunks_exact_mut(w)) {
                for (to, tap) in to.iter_mut().zip(&columns) {
                    let [a, b] = tap.from.map(|x| i32::from(line[x]));
                    *to = a * tap.weights[0] + b * tap.weights[1];
                }
            }
            for tap in &rows {
                let [a, b] = tap.from.map(|y| &wide[y * w..(y + 1) * w]);
                let [p, q] = tap.weights;
                values.extend(a.iter().zip(b).map(|(&a, &b)| {
                    let sum = ((p * (a >> 4)) >> 16) + ((q * (b >> 4)) >> 16);
                    ((sum + 2) >> 2).clamp(0, 255) as u8
                }));
            }
        }
        Self { shape: [c, h, w], values }
    }
}

impl Tap {
    /// The whole and the fractional part of where output pixel `x` reads.
    fn place(x: usize, from: usize, to: usize) -> (isize, f32) {
        let at = ((x as f64 + 0.5) * (from as f64 / to as f64) - 0.5) as f32;
        (at.floor() as isize, at - at.floor())
    }

    fn new(from: [usize; 2], fraction: f32) -> Self {
        let weight = |f: f32| (f * 2048.0).round_ties_even() as i32;
        Self { from, weights: [weight(1.0 - fraction), weight(fraction)] }
    }

    /// At the borders a column reads one pixel in full.
    fn column(x: usize, from: usize, to: usize) -> Self {
        let (at, fraction) = Self::place(x, from, to);
        match usize::try_from(at) {
            Ok(at) if at + 1 < from => Self::new([at, at + 1], fraction),
            Ok(_) => Self::new([from - 1; 2], 0.0),
            Err(_) => Self::new([0; 2], 0.0),
        }
    }

    /// At the borders a row reads one pixel twice, by both weights, which rounds a little differently.
    fn row(y: usize, from: usize, to: usize) -> Self {
        let (at, fraction) = Self::place(y, from, to);
        let inside = |at: isize| at.clamp(0, from as isize - 1) as usize;
        Self::new([inside(at), inside(at + 1)], fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(h: usize, w: usize, values: &[u8]) -> Image {
        Image { shape: [1, h, w], values: values.to_vec() }
    }

    #[test]
    fn halving_is_the_mean_of_four() {
        let out = image(2, 4, &[0, 4, 10, 20, 8, 4, 30, 41]).scaled(1, 2);
        assert_eq!((out.shape, &out.values[..]), ([1, 1, 2], &[4, 25][..]));
    }

    #[test]
    fn doubling_keeps_the_borders() {
        assert_eq!(image(1, 2, &[0, 100]).scaled(1, 4).values, [0, 25, 75, 100]);
        assert_eq!(image(1, 1, &[255]).scaled(3, 3).values, [255; 9]);
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let same = image(1, 3, &[1, 2, 3]);
        assert_eq!(same.scaled(1, 3), same);
    }
}
