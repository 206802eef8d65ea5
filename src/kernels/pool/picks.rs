//! The gradient of means of small windows over small planes: a register of inputs is the sum of a few picks from the
//! shares of outputs, whose lanes are chosen by a table, the same for all planes; a lane that nothing comes to picks 0.
//! Nothing but the shares goes through scratch, and inputs are written in order.

use super::{Pool, for_reaching_rows};
use crate::kernels::{
    scratch,
    simd::{
        Divisors, Isa, Job, MOST_LANES, Simd,
        copy::{Layout, Over, copy},
        picks::{Picks, sum_picks},
    },
};

/// About how many shares are made at a time.
const BAND: usize = 1024;
/// The most windows that hold an input.
const FEW: usize = 4;
/// The most inputs of a plane, times those windows.
const SMALL: usize = 1024;

/// Whether windows and planes are so small, and rows of outputs so short that few registers are read.
pub fn pay(isa: Isa, pool: &Pool) -> bool {
    let holding: usize = pool.axes.iter().map(|a| a.kernel.div_ceil(a.stride).min(a.output)).product();
    holding <= FEW && holding * pool.split().0.output <= 2 * isa.lanes() && holding * pool.inputs() <= SMALL
}

/// Calls `f(first, lanes)` for each pick of a register of inputs: from which output on it reads a register, and which lane of that each
/// lane takes. Says how many there are.
fn for_picks(pool: &Pool, lanes: usize, register: usize, mut f: impl FnMut(usize, &[u32])) -> usize {
    let (axis, outer) = pool.split();
    // What each lane takes, last first.
    let (mut taken, mut left) = ([[0; FEW]; MOST_LANES], [0; MOST_LANES]);
    for (lane, input) in (register * lanes..pool.inputs()).take(lanes).enumerate() {
        for_reaching_rows(outer, input / axis.input, |row, _| {
            for o in axis.reaching(input % axis.input) {
                taken[lane][left[lane]] = row * axis.output + o;
                left[lane] += 1;
            }
        });
        taken[lane][..left[lane]].reverse();
    }
    let mut picks = 0;
    while left.iter().any(|&left| left > 0) {
        let next =
            |lane: usize, left: &[usize; MOST_LANES]| left[lane].checked_sub(1).map(|at| taken[lane][at]);
        let first = (0..lanes).filter_map(|lane| next(lane, &left)).min().unwrap_or(0);
        let mut numbers = [lanes as u32; MOST_LANES];
        for (lane, number) in numbers.iter_mut().enumerate().take(lanes) {
            if let Some(o) = next(lane, &left)
                && o < first + lanes
            {
                *number = (o - first) as u32;
                left[lane] -= 1;
            }
        }
        f(first, &numbers[..lanes]);
        picks += 1;
    }
    picks
}

/// Lends `f` the picks of a plane.
pub fn lend<R>(isa: Isa, pool: &Pool, f: impl FnOnce(Picks<'_>) -> R) -> R {
    let (lanes, registers) = (isa.lanes(), pool.inputs().div_ceil(isa.lanes()));
    let each = (0..registers).map(|r| for_picks(pool, lanes, r, |_, _| {})).max().unwrap_or(0).max(1);
    scratch::lend(registers * each * (lanes + 1), |lent| {
        let all: &mut [u32] = bytemuck::cast_slice_mut(lent);
        let (firsts, numbers) = all.split_at_mut(registers * each);
        firsts.fill(0);
        numbers.fill(lanes as u32);
        for register in 0..registers {
            let mut pick = register * each;
            for_picks(pool, lanes, register, |first, picked| {
                firsts[pick] = first as u32;
                numbers[pick * lanes..][..lanes].copy_from_slice(picked);
                pick += 1;
            });
        }
        f(Picks { each, first: firsts, lanes: bytemuck::cast_slice(numbers) })
    })
}

/// dx of the first planes, as many as it has, given dy of the means, and what each is divided by.
pub fn mean_backward(
    isa: Isa,
    pool: &Pool,
    norms: Divisors<'_>,
    picks: Picks<'_>,
    dy: &[f32],
    dx: &mut [f32],
) {
    let planes = (BAND / pool.outputs()).max(1);
    scratch::lend(planes * pool.outputs() + MOST_LANES, |shares| {
        isa.run(Back { pool, norms, picks, planes, shares, dy, dx });
    });
}

struct Back<'a> {
    pool: &'a Pool,
    norms: Divisors<'a>,
    picks: Picks<'a>,
    /// How many planes go together.
    planes: usize,
    shares: &'a mut [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Job for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pool, norms, picks, planes, shares, dy, dx } = self;
        let (inputs, outputs) = (pool.inputs(), pool.outputs());
        for (dx, dy) in dx.chunks_mut(planes * inputs).zip(dy.chunks(planes * outputs)) {
            let layout = Layout::whole_planes(dx.len() / inputs, outputs);
            copy::<S, true, false>(simd, layout, (dy, Over(norms)), shares);
            sum_picks(simd, picks, [outputs, inputs], shares, dx);
        }
    }
}
