//! The gradient of the largest of windows of two by two or three by three that move by two, of planes that their windows just
//! cover: what the last window of a row or plane would meet beyond it, no window takes. So outputs are gone over as one long row,
//! whatever row or plane they are of, and no lane is idle.

use super::Pool;
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, MOST_LANES, Simd,
        rows::{Rows, down},
    },
};

/// About how many outputs are gone over at a time, and the most of a plane.
const BAND: usize = 1024;

/// dx, from number `first` of all on, = the sum, in order, of each dy of the windows that took it; says whether windows are such as
/// this is for: where rows of outputs leave many lanes idle, but not so many that it is cheaper to go by the outputs. `dy` and
/// `taps` are those of all planes.
pub fn largest_backward(
    isa: Isa,
    pool: &Pool,
    dy: &[f32],
    taps: &[u8],
    dx: &mut [f32],
    first: usize,
) -> bool {
    let &[rows, columns] = &pool.axes[..] else { return false };
    let fits = [rows, columns].iter().all(|a| (a.stride, a.pad, a.input) == (2, 0, 2 * a.output));
    let short = columns.output <= 8 && 2 * columns.output >= isa.lanes();
    if !fits || !short || pool.outputs() > BAND || rows.kernel != columns.kernel {
        return false;
    }
    let at = first / pool.inputs() * pool.outputs();
    let planes = BAND / pool.outputs();
    let room = 2 * (planes * pool.outputs()).next_multiple_of(MOST_LANES);
    scratch::lend(2 * room, |lent| {
        let outputs = [rows.output, columns.output];
        let work = Gather { outputs, planes, dy, taps, dx, at, lines: lent };
        match columns.kernel {
            2 => isa.run(OfSize::<2>(work)),
            3 => isa.run(OfSize::<3>(work)),
            _ => return false,
        }
        true
    })
}

struct Gather<'a> {
    /// Rows and columns of a plane.
    outputs: [usize; 2],
    /// Planes at a time.
    planes: usize,
    dy: &'a [f32],
    taps: &'a [u8],
    dx: &'a mut [f32],
    /// The first output.
    at: usize,
    /// Rows of inputs of even number, and those of odd number.
    lines: &'a mut [f32],
}

/// Of windows of a size.
struct OfSize<'a, const SIZE: usize>(Gather<'a>);

impl<const SIZE: usize> Job for OfSize<'_, SIZE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Gather { outputs, planes, dy, taps, dx, mut at, lines } = self.0;
        let (plane, line) = (outputs[0] * outputs[1], outputs[1]);
        let room = lines.len() / 2;
        for dx in dx.chunks_mut(4 * planes * plane) {
            let planes = dx.len() / (4 * plane);
            for k in (0..planes * plane).step_by(S::LANES) {
                let first = at + k;
                let sums = if first > line && first + S::LANES <= dy.len() {
                    simd.prefetch(dy.as_ptr().wrapping_add(first + 512));
                    let near = |back: usize| (&dy[first - back..], &taps[first - back..]);
                    gather::<S, SIZE>(simd, [near(line + 1), near(line), near(1), near(0)])
                } else {
                    let near = [line + 1, line, 1, 0].map(|back| edge(dy, taps, first, back));
                    gather::<S, SIZE>(simd, near.each_ref().map(|(dy, taps)| (&dy[..], &taps[..])))
                };
                for (to, [left, right]) in lines.chunks_exact_mut(room).zip(sums) {
                    let (low, high) = simd.zip(left, right);
                    simd.write_first(&mut to[2 * k..], low);
                    simd.write_first(&mut to[2 * k + S::LANES..], high);
                }
            }
            at += planes * plane;
            // Pairs of rows, one of either.
            let pairs = Rows {
                planes: planes * outputs[0],
                plane: [2 * line, 4 * line],
                count: 2,
                row: [room, 2 * line],
                met: 1,
                line: 0,
                width: 2 * line,
            };
            down::<S, true>(simd, &pairs, lines, dx);
        }
    }
}

/// What lies `back` before a register of outputs, of which some may lie outside: nothing, taken by none.
fn edge(dy: &[f32], taps: &[u8], first: usize, back: usize) -> ([f32; MOST_LANES], [u8; MOST_LANES]) {
    let (mut values, mut numbers) = ([0.0; MOST_LANES], [u8::MAX; MOST_LANES]);
    for (i, (value, number)) in values.iter_mut().zip(&mut numbers).enumerate() {
        let from = (first + i).checked_sub(back).filter(|&from| from < dy.len());
        if let Some(from) = from {
            (*value, *number) = (dy[from], taps[from]);
        }
    }
    (values, numbers)
}

/// What the inputs of even and of odd columns, of a row of even and one of odd number, sum of four windows: above and to the left,
/// above, to the left, and here.
#[inline(always)]
fn gather<S: Simd, const SIZE: usize>(simd: S, windows: [(&[f32], &[u8]); 4]) -> [[S::V; 2]; 2] {
    let mut sums = [[simd.splat(0.0); 2]; 2];
    for (i, (dy, taps)) in windows.into_iter().enumerate() {
        let (up, left) = (2 * usize::from(i < 2), 2 * usize::from(i % 2 == 0));
        if up.max(left) >= SIZE {
            continue;
        }
        let dy = simd.read(dy);
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                let (row, column) = (row + up, column + left);
                if row.max(column) < SIZE {
                    *sum = simd.add_where_byte(*sum, dy, taps, (row * SIZE + column) as u8);
                }
            }
        }
    }
    sums
}
