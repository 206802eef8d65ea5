//! Neighbourhoods of squares in small planes, which lie side by side in scratch, one to a lane: no lane is idle, and no margin
//! is needed. Row by row squares are summed along the row; sums of rows near each other follow as soon as all are there.

use super::{
    super::{
        gemm::scratch,
        simd::{Ahead, Isa, Job, Simd, beside, one_by_one},
    },
    Any, Half, Power, Response, ThreeQuarters, Within,
};

/// The most values of a plane: so many registers stay near.
const SMALL: usize = 256;

/// Whether planes are so small and so many that this pays.
pub fn serves(isa: Isa, dims: Within) -> bool {
    dims.height * dims.width <= SMALL && 2 * dims.planes > isa.lanes()
}

/// y of the first planes, as many as it has.
pub fn normalize(isa: Isa, dims: Within, response: Response, x: &[f32], y: &mut [f32]) {
    let (plane, line) = (dims.height * dims.width, dims.width * isa.lanes());
    let group = plane * isa.lanes();
    with_power!(response, |power| {
        scratch::lend(2 * group + line, |lent| {
            let (xs, rest) = lent.split_at_mut(group);
            let (sums, row) = rest.split_at_mut(group);
            for (i, y) in y.chunks_mut(group).enumerate() {
                let next = [x.as_ptr().wrapping_add((i + 1) * group), y.as_ptr_range().end];
                let ahead = &mut Ahead::new(next, [plane; 2], dims.height + 2 * plane.div_ceil(isa.lanes()));
                beside(isa, &x[i * group..], y.len() / plane, xs, ahead);
                isa.run(Normalize { dims, response, power, xs, sums, row, ahead });
                one_by_one(isa, xs, plane, y, ahead);
            }
        });
    });
}

/// dx of the first planes, as many as it has, given x and dy.
pub fn backward(isa: Isa, dims: Within, response: Response, [x, dy]: [&[f32]; 2], dx: &mut [f32]) {
    let (plane, line) = (dims.height * dims.width, dims.width * isa.lanes());
    let group = plane * isa.lanes();
    with_power!(response, |power| {
        scratch::lend(4 * group + line, |lent| {
            let (xs, rest) = lent.split_at_mut(group);
            let (dys, rest) = rest.split_at_mut(group);
            let (sums, rest) = rest.split_at_mut(group);
            let (ratios, row) = rest.split_at_mut(group);
            for (i, dx) in dx.chunks_mut(group).enumerate() {
                let [x_next, dy_next] = [x, dy].map(|from| from.as_ptr().wrapping_add((i + 1) * group));
                let steps = dims.height + plane.div_ceil(isa.lanes());
                let mut ahead = [
                    Ahead::new([x_next, x_next], [plane, 0], steps),
                    Ahead::new([dy_next, dx.as_ptr_range().end], [plane; 2], 2 * steps - dims.height),
                ];
                beside(isa, &x[i * group..], dx.len() / plane, xs, &mut ahead[0]);
                beside(isa, &dy[i * group..], dx.len() / plane, dys, &mut ahead[1]);
                isa.run(Backward { dims, response, power, xs, dys, sums, ratios, row, ahead: &mut ahead });
                one_by_one(isa, dys, plane, dx, &mut ahead[1]);
            }
        });
    });
}

/// Planes side by side; y takes the place of x.
struct Normalize<'a, P> {
    dims: Within,
    response: Response,
    power: P,
    xs: &'a mut [f32],
    /// Of squares, along rows.
    sums: &'a mut [f32],
    row: &'a mut [f32],
    ahead: &'a mut Ahead,
}

impl<P: Power> Job for Normalize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dims, response: Response { size, scale, k, .. }, power, xs, sums, row, ahead } = self;
        let (half, n) = (size / 2, row.len());
        for r in 0..dims.height + half {
            if r < dims.height {
                along::<S, true>(simd, half, &xs[r * n..][..n], &mut sums[r * n..][..n]);
                ahead.step(simd);
            }
            // The neighbourhoods of this row's values have just become complete.
            let Some(i) = r.checked_sub(half) else { continue };
            down(simd, dims, half, i, sums, row);
            let xs = &mut xs[i * n..][..n];
            for at in (0..n).step_by(S::LANES) {
                let s = simd.fma(simd.splat(scale), simd.read(&row[at..]), simd.splat(k));
                let y = simd.mul(simd.read(&xs[at..]), power.of(simd, s).0);
                simd.write_first(&mut xs[at..], y);
            }
        }
    }
}

/// Planes side by side; dx takes the place of dy.
struct Backward<'a, P> {
    dims: Within,
    response: Response,
    power: P,
    xs: &'a [f32],
    dys: &'a mut [f32],
    /// Of squares, along rows.
    sums: &'a mut [f32],
    /// Sums of ratios, along rows.
    ratios: &'a mut [f32],
    row: &'a mut [f32],
    ahead: &'a mut [Ahead; 2],
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dims, response, power, xs, dys, sums, ratios, row, ahead } = self;
        let Response { size, scale, k, beta } = response;
        let (half, n, slope) = (size / 2, row.len(), -2.0 * scale * beta);
        for r in 0..dims.height + 2 * half {
            if r < dims.height {
                along::<S, true>(simd, half, &xs[r * n..][..n], &mut sums[r * n..][..n]);
                ahead.iter_mut().for_each(
                    #[inline(always)]
                    |ahead| ahead.step(simd),
                );
            }
            if let Some(i) = r.checked_sub(half)
                && i < dims.height
            {
                down(simd, dims, half, i, sums, row);
                let (xs, dys) = (&xs[i * n..][..n], &mut dys[i * n..][..n]);
                for at in (0..n).step_by(S::LANES) {
                    let s = simd.fma(simd.splat(scale), simd.read(&row[at..]), simd.splat(k));
                    let (power, inverse) = power.of(simd, s);
                    let product = simd.mul(simd.read(&dys[at..]), power);
                    simd.write_first(&mut dys[at..], product);
                    let ratio = simd.mul(simd.mul(product, simd.read(&xs[at..])), inverse);
                    simd.write_first(&mut row[at..], ratio);
                }
                along::<S, false>(simd, half, row, &mut ratios[i * n..][..n]);
            }
            let Some(i) = r.checked_sub(2 * half) else { continue };
            down(simd, dims, half, i, ratios, row);
            let (xs, dxs) = (&xs[i * n..][..n], &mut dys[i * n..][..n]);
            for at in (0..n).step_by(S::LANES) {
                let x = simd.mul(simd.splat(slope), simd.read(&xs[at..]));
                let dx = simd.fma(x, simd.read(&row[at..]), simd.read(&dxs[at..]));
                simd.write_first(&mut dxs[at..], dx);
            }
        }
    }
}

/// sums = the sum of each value of a row, or of its square, and up to `half` neighbours on either side.
#[inline(always)]
fn along<S: Simd, const SQUARES: bool>(simd: S, half: usize, row: &[f32], sums: &mut [f32]) {
    let zero = simd.splat(0.0);
    if half == 1 {
        let (mut before, mut here) = (zero, zero);
        for at in (0..row.len() + S::LANES).step_by(S::LANES) {
            let next = if at < row.len() { simd.read(&row[at..]) } else { zero };
            let next = if SQUARES { simd.mul(next, next) } else { next };
            if at > 0 {
                simd.write_first(&mut sums[at - S::LANES..], simd.add(simd.add(before, here), next));
            }
            (before, here) = (here, next);
        }
        return;
    }
    let reach = half * S::LANES;
    for at in (0..row.len()).step_by(S::LANES) {
        let mut sum = zero;
        for near in (at.saturating_sub(reach)..row.len().min(at + reach + S::LANES)).step_by(S::LANES) {
            let v = simd.read(&row[near..]);
            sum = if SQUARES { simd.fma(v, v, sum) } else { simd.add(sum, v) };
        }
        simd.write_first(&mut sums[at..], sum);
    }
}

/// row = the sum of row `i` of `lines` and up to `half` rows above and below.
#[inline(always)]
fn down<S: Simd>(simd: S, dims: Within, half: usize, i: usize, lines: &[f32], row: &mut [f32]) {
    let n = row.len();
    let near = &lines[i.saturating_sub(half) * n..dims.height.min(i + half + 1) * n];
    for at in (0..n).step_by(S::LANES) {
        let mut sum = simd.read(&near[at..]);
        for below in (at + n..near.len()).step_by(n) {
            sum = simd.add(sum, simd.read(&near[below..]));
        }
        simd.write_first(&mut row[at..], sum);
    }
}
