//! `im2col`: each output position's inputs as a column of a matrix; `col2im`: its transpose, which adds.

use super::ConvAxis;

/// Fills `columns` (`channels * kernel values` rows, one column per output position) from one image.
///
/// # Panics
/// When a slice does not have exactly the length that `axes` ask for.
pub fn im2col(axes: &[ConvAxis], channels: usize, image: &[f32], columns: &mut [f32]) {
    check(axes, channels, image.len(), columns.len());
    for_runs(axes, channels, |columns_at, image_at, run| {
        let out = &mut columns[columns_at..columns_at + run.len];
        let Some(from) = image_at else { return out.fill(0.0) };
        out[..run.start].fill(0.0);
        out[run.end..].fill(0.0);
        let inside = &mut out[run.start..run.end];
        let source = &image[from..];
        if run.stride == 1 {
            inside.copy_from_slice(&source[..inside.len()]);
        } else {
            inside.iter_mut().zip(source.iter().step_by(run.stride)).for_each(|(o, &v)| *o = v);
        }
    });
}

/// Overwrites `image` with the sums of the columns' values that [`im2col`] would have read from each position.
///
/// # Panics
/// When a slice does not have exactly the length that `axes` ask for.
pub fn col2im(axes: &[ConvAxis], channels: usize, columns: &[f32], image: &mut [f32]) {
    check(axes, channels, image.len(), columns.len());
    image.fill(0.0);
    for_runs(axes, channels, |columns_at, image_at, run| {
        let Some(from) = image_at else { return };
        let inside = &columns[columns_at + run.start..columns_at + run.end];
        image[from..].iter_mut().step_by(run.stride).zip(inside).for_each(|(i, &v)| *i += v);
    });
}

fn check(axes: &[ConvAxis], channels: usize, image: usize, columns: usize) {
    let area = |f: fn(&ConvAxis) -> usize| axes.iter().map(f).product::<usize>() * channels;
    assert_eq!(image, area(|a| a.input), "image length");
    assert_eq!(columns, area(|a| a.kernel * a.output), "columns length");
}

/// A line of outputs along the last axis.
struct Run {
    len: usize,
    /// The outputs from `start` to `end` meet the input, `stride` apart; the others meet padding.
    start: usize,
    end: usize,
    stride: usize,
}

/// Calls `f(position in the columns, first position in the image, run)` for every line of the columns; the position
/// in the image is `None` where the whole line meets padding.
fn for_runs(axes: &[ConvAxis], channels: usize, mut f: impl FnMut(usize, Option<usize>, &Run)) {
    /// What a convolution without spatial axes does along the axis it does not have.
    const NONE: ConvAxis = ConvAxis { input: 1, kernel: 1, stride: 1, pad: 0, dilation: 1, output: 1 };
    let (last, outer) = axes.split_last().unwrap_or((&NONE, &[]));
    let product = |f: fn(&ConvAxis) -> usize| outer.iter().map(f).product::<usize>();
    let (lines, in_lines, outer_taps) = (product(|a| a.output), product(|a| a.input), product(|a| a.kernel));
    let mut at = 0;
    for channel in 0..channels {
        for outer_tap in 0..outer_taps {
            for tap in 0..last.kernel {
                // The first output whose input is not in the left padding, and the first in the right padding.
                let offset = tap * last.dilation;
                let start = last.pad.saturating_sub(offset).div_ceil(last.stride).min(last.output);
                let end = (last.input + last.pad)
                    .saturating_sub(offset)
                    .div_ceil(last.stride)
                    .clamp(start, last.output);
                let run = Run { len: last.output, start, end, stride: last.stride };
                for line in 0..lines {
                    let from =
                        (start < end).then(|| in_line(outer, outer_tap, line)).flatten().map(|in_line| {
                            (channel * in_lines + in_line) * last.input + start * last.stride + offset
                                - last.pad
                        });
                    f(at, from, &run);
                    at += last.output;
                }
            }
        }
    }
}

/// The input line that kernel position `tap` meets at output line `line`; `None` in the padding.
fn in_line(outer: &[ConvAxis], mut tap: usize, mut line: usize) -> Option<usize> {
    let (mut at, mut scale) = (0, 1);
    for axis in outer.iter().rev() {
        let (t, l) = (tap % axis.kernel, line % axis.output);
        (tap, line) = (tap / axis.kernel, line / axis.output);
        at +=
            (l * axis.stride + t * axis.dilation).checked_sub(axis.pad).filter(|&x| x < axis.input)? * scale;
        scale *= axis.input;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_by_hand() {
        // 1 2 3 with one zero on either side, kernel 2, stride 2: columns (0 1), (2 3).
        let axes = [ConvAxis::new(3, 2, 2, 1, 1).unwrap()];
        let mut columns = [9.0; 4];
        im2col(&axes, 1, &[1.0, 2.0, 3.0], &mut columns);
        assert_eq!(columns, [0.0, 2.0, 1.0, 3.0]);
        let mut image = [9.0; 3];
        col2im(&axes, 1, &[1.0, 2.0, 3.0, 4.0], &mut image);
        assert_eq!(image, [3.0, 2.0, 4.0]);
    }

    #[test]
    fn padding_wider_than_the_image_is_zero() {
        let axes = [ConvAxis::new(1, 1, 1, 2, 1).unwrap(), ConvAxis::new(1, 2, 1, 3, 2).unwrap()];
        let mut columns = [9.0; 50];
        im2col(&axes, 1, &[5.0], &mut columns);
        assert_eq!(columns.iter().sum::<f32>(), 10.0);
        // Row 2 of the output is the image's; its columns 3 (first kernel value) and 1 (second) meet the image.
        assert_eq!((columns[2 * 5 + 3], columns[25 + 2 * 5 + 1]), (5.0, 5.0));
    }
}
