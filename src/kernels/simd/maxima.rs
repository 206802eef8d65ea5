//! The largest of windows, along rows and down columns.

use super::{MOST_LANES, Simd, rows::Term};

/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 128;

/// The largest value of each window of a row, and its number in the window.
pub struct Found<'a> {
    /// Values.
    pub best: &'a mut [f32],
    /// Numbers.
    pub tap: &'a mut [f32],
}

impl Found<'_> {
    /// Those from number `first` on.
    #[inline(always)]
    pub fn from(&mut self, first: usize) -> Found<'_> {
        Found { best: &mut self.best[first..], tap: &mut self.tap[first..] }
    }
}

/// Whether all values are finite.
#[inline(always)]
pub fn all_finite<S: Simd>(simd: S, x: &[f32]) -> bool {
    let (zero, mut sums) = (simd.splat(0.0), [simd.splat(0.0); 4]);
    for part in x.chunks(4 * S::LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // 0 for what is finite, else not a number.
            *sum = simd.fma(simd.read_first(&part[(i * S::LANES).min(part.len())..]), zero, *sum);
        }
    }
    let [a, b, c, d] = sums;
    all_zero(simd, simd.add(simd.add(a, b), simd.add(c, d)))
}

/// found = the largest of each `kernel` values of `long` that follow one another, of `count` of them. To what the taps meet `edges` are
/// added, one for each of the `count` values, rounded up to whole registers, of the first tap, then of the next; they may be empty. If
/// they are not, windows are of an odd number, and what is said is whether all that their middles meet is finite.
///
/// # Panics
/// When windows reach outside of `long` or `edges`, or there is no room for whole registers.
#[inline(always)]
pub fn along<S: Simd, const TAKE: bool>(
    simd: S,
    kernel: usize,
    edges: &[f32],
    count: usize,
    long: &[f32],
    found: Found<'_>,
) -> bool {
    let room = count.next_multiple_of(S::LANES);
    assert!(room + kernel <= long.len() + 1, "a window reaches outside");
    assert!(edges.is_empty() || edges.len() / kernel >= room, "edges for all taps");
    assert!(found.best.len().min(found.tap.len()) >= room, "no room for whole registers");
    // SAFETY: all that is read, and written, lies inside.
    unsafe {
        match (kernel, edges.is_empty()) {
            (2, true) => along_by::<S, TAKE, 2, false>(simd, kernel, edges, count, long, found),
            (3, true) => along_by::<S, TAKE, 3, false>(simd, kernel, edges, count, long, found),
            (5, true) => along_by::<S, TAKE, 5, false>(simd, kernel, edges, count, long, found),
            (_, true) => along_by::<S, TAKE, 0, false>(simd, kernel, edges, count, long, found),
            (3, false) => along_by::<S, TAKE, 3, true>(simd, kernel, edges, count, long, found),
            (5, false) => along_by::<S, TAKE, 5, true>(simd, kernel, edges, count, long, found),
            (_, false) => along_by::<S, TAKE, 0, true>(simd, kernel, edges, count, long, found),
        }
    }
}

/// [`along`] windows of `K` values, or of any number.
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn along_by<S: Simd, const TAKE: bool, const K: usize, const EDGES: bool>(
    simd: S,
    kernel: usize,
    edges: &[f32],
    count: usize,
    long: &[f32],
    found: Found<'_>,
) -> bool {
    let kernel = if K == 0 { kernel } else { K };
    let (from, edges, room) = (long.as_ptr(), edges.as_ptr(), edges.len() / kernel);
    let (zero, mut finite) = (simd.splat(0.0), simd.splat(0.0));
    for at in (0..count).step_by(S::LANES) {
        let (mut best, mut tap) = (zero, zero);
        for k in 0..kernel {
            // SAFETY: the caller's promise.
            let v = unsafe {
                let v = simd.load(from.add(at + k));
                if EDGES && 2 * k + 1 == kernel {
                    // 0 for what is finite, else not a number.
                    finite = simd.fma(v, zero, finite);
                    v
                } else if EDGES {
                    simd.add(v, simd.load(edges.add(k * room + at)))
                } else {
                    v
                }
            };
            tap = if TAKE && k > 0 { simd.where_greater(v, best, simd.splat(k as f32), tap) } else { tap };
            best = if k == 0 { v } else { simd.max(v, best) };
        }
        // SAFETY: the caller's promise.
        unsafe {
            simd.store(found.best.as_mut_ptr().add(at), best);
            if TAKE {
                simd.store(found.tap.as_mut_ptr().add(at), tap);
            }
        }
    }
    all_zero(simd, finite)
}

/// Whether all lanes are 0.
#[inline(always)]
fn all_zero<S: Simd>(simd: S, v: S::V) -> bool {
    let mut lanes = [0.0; MOST_LANES];
    simd.write_first(&mut lanes, v);
    lanes.iter().all(|&lane| lane == 0.0)
}

/// y = the largest of `kernel` values, 3 or 5, of `found`, `width` apart, and taps its number, of which each is as many larger as
/// windows are wide; edges as in [`along`]. What is asked for meanwhile is `next`.
///
/// # Panics
/// When `kernel` is another, windows reach outside of `found` or `edges`, or `taps` are not as many as `y`.
#[inline(always)]
pub fn down_plane<S: Simd, const TAKE: bool>(
    simd: S,
    [kernel, width]: [usize; 2],
    edges: &[f32],
    found: Found<'_>,
    (y, taps): (&mut [f32], &mut [u8]),
    next: &[f32],
) {
    let room = y.len().next_multiple_of(S::LANES);
    assert!((kernel - 1) * width + room <= found.best.len().min(found.tap.len()), "a window reaches outside");
    assert!(edges.len() / kernel >= room, "edges for all taps");
    assert!(!TAKE || taps.len() == y.len(), "a tap for each");
    // SAFETY: all that is read lies inside.
    unsafe {
        match kernel {
            3 => down_by::<S, TAKE, 3>(simd, width, edges, found, (y, taps), next),
            5 => down_by::<S, TAKE, 5>(simd, width, edges, found, (y, taps), next),
            _ => panic!("windows of 3 or 5 rows, not {kernel}"),
        }
    }
}

/// [`down_plane`] of windows of `K` values.
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn down_by<S: Simd, const TAKE: bool, const K: usize>(
    simd: S,
    width: usize,
    edges: &[f32],
    found: Found<'_>,
    (y, taps): (&mut [f32], &mut [u8]),
    next: &[f32],
) {
    for at in (0..y.len()).step_by(S::LANES) {
        simd.prefetch(next.as_ptr().wrapping_add(at));
        simd.prefetch_to_write(y.as_ptr().wrapping_add(at + AHEAD));
        // SAFETY: the caller's promise; as many lanes are written as there is room for.
        unsafe {
            let (best, tap) = column_by::<S, TAKE, K>(simd, width, edges, &found, at);
            let left = y.len() - at;
            if left >= S::LANES {
                simd.store(y.as_mut_ptr().add(at), best);
                if TAKE {
                    simd.store_bytes_first(taps.as_mut_ptr().add(at), S::LANES, tap);
                }
            } else {
                simd.store_first(y.as_mut_ptr().add(at), left, best);
                if TAKE {
                    simd.store_bytes_first(taps.as_mut_ptr().add(at), left, tap);
                }
            }
        }
    }
}

/// The register from number `at` on of [`down_plane`].
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn column_by<S: Simd, const TAKE: bool, const K: usize>(
    simd: S,
    width: usize,
    edges: &[f32],
    found: &Found<'_>,
    at: usize,
) -> (S::V, S::V) {
    let (values, numbers) = (found.best.as_ptr().wrapping_add(at), found.tap.as_ptr().wrapping_add(at));
    let (edges, room) = (edges.as_ptr().wrapping_add(at), edges.len() / K);
    let (mut best, mut tap) = (simd.splat(0.0), simd.splat(0.0));
    for k in 0..K {
        // SAFETY: the caller's promise.
        let (v, number) = unsafe {
            let v = simd.load(values.add(k * width));
            let v = if 2 * k + 1 == K { v } else { simd.add(v, simd.load(edges.add(k * room))) };
            (v, if TAKE { simd.load(numbers.add(k * width)) } else { v })
        };
        let number = if TAKE && k > 0 { simd.add(number, simd.splat((k * K) as f32)) } else { number };
        tap = if TAKE && k > 0 { simd.where_greater(v, best, number, tap) } else { number };
        best = if k == 0 { v } else { simd.max(v, best) };
    }
    (best, tap)
}

/// y = the largest of the rows of `found` that a list names, the first being number `first` and each `pitch` from the next, and taps its
/// number, which is larger by that of the row.
///
/// # Panics
/// When a row reaches outside of `found`.
#[inline(always)]
pub fn down_list<S: Simd, const TAKE: bool>(
    simd: S,
    terms: &[Term],
    [first, pitch]: [usize; 2],
    found: Found<'_>,
    y: &mut [f32],
    taps: &mut [u8],
) {
    for at in (0..y.len()).step_by(S::LANES) {
        let (best, tap) = largest_of::<S, TAKE>(simd, terms, [first, pitch], &found, at);
        simd.prefetch_to_write(y.as_ptr().wrapping_add(at + AHEAD));
        simd.write_first(&mut y[at..], best);
        if TAKE {
            simd.write_bytes_first(&mut taps[at..], tap);
        }
    }
}

impl Found<'_> {
    /// [`down_list`] of so many values, which become these, and whole registers.
    ///
    /// # Panics
    /// As there, or when there is no room.
    #[inline(always)]
    pub fn fold<S: Simd, const TAKE: bool>(
        &mut self,
        simd: S,
        terms: &[Term],
        rows: [usize; 2],
        found: Found<'_>,
        count: usize,
    ) {
        for at in (0..count).step_by(S::LANES) {
            let (best, tap) = largest_of::<S, TAKE>(simd, terms, rows, &found, at);
            simd.write_first(&mut self.best[at..], best);
            simd.write_first(&mut self.tap[at..], tap);
        }
    }
}

/// The register from number `at` on of [`down_list`].
#[inline(always)]
fn largest_of<S: Simd, const TAKE: bool>(
    simd: S,
    terms: &[Term],
    [first, pitch]: [usize; 2],
    found: &Found<'_>,
    at: usize,
) -> (S::V, S::V) {
    let (mut best, mut tap) = (simd.splat(0.0), simd.splat(0.0));
    for (i, &Term { row, number }) in terms.iter().enumerate() {
        let from = (row as usize - first) * pitch + at;
        let v = simd.read(&found.best[from..]);
        let number = if TAKE { simd.add(simd.read(&found.tap[from..]), simd.splat(number)) } else { v };
        if i == 0 {
            (best, tap) = (v, number);
        } else {
            tap = if TAKE { simd.where_greater(v, best, number, tap) } else { tap };
            best = simd.max(v, best);
        }
    }
    (best, tap)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    /// The first of the largest of some values, and its number.
    fn first(values: impl Iterator<Item = f32>) -> (f32, usize) {
        let mut best = (f32::NEG_INFINITY, 0);
        values.enumerate().for_each(|(i, v)| best = if v > best.0 { (v, i) } else { best });
        best
    }

    struct Windows;

    impl Job for Windows {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x: Vec<f32> = (0..300).map(|i| (i * 37 % 23) as f32).collect();
            for (kernel, count) in [(1, 3), (2, 17), (3, 40), (4, 16), (5, 33usize)] {
                let room = count.next_multiple_of(16);
                for edged in [false, true] {
                    // With edges each third value of the first tap counts as the least.
                    let mut edges = if edged { vec![0.0; kernel * room] } else { vec![] };
                    edges.iter_mut().take(room).step_by(3).for_each(|edge| *edge = f32::NEG_INFINITY);
                    let (mut best, mut tap) = (vec![0.0; room], vec![0.0; room]);
                    let found = Found { best: &mut best, tap: &mut tap };
                    assert!(along::<S, true>(simd, kernel, &edges, count, &x, found));
                    for at in 0..count {
                        let lost = |k: usize| edged && k == 0 && at % 3 == 0 && kernel > 1;
                        let met = (0..kernel).map(|k| if lost(k) { f32::NEG_INFINITY } else { x[at + k] });
                        let (value, number) = first(met);
                        assert_eq!((best[at], tap[at]), (value, number as f32), "{kernel} at {at}");
                    }
                }
            }
            let (mut best, mut tap): (Vec<_>, _) = (x.clone(), vec![1.0; 300]);
            for kernel in [3, 5] {
                let (mut y, mut taps) = ([0.0; 41], [0; 41]);
                let edges = vec![0.0; kernel * 48];
                let found = Found { best: &mut best, tap: &mut tap };
                down_plane::<S, true>(simd, [kernel, 7], &edges, found, (&mut y, &mut taps), &[]);
                for (at, (&y, &tap)) in y.iter().zip(&taps).enumerate() {
                    let (value, row) = first((0..kernel).map(|k| x[at + 7 * k]));
                    assert_eq!((y, usize::from(tap)), (value, 1 + kernel * row));
                }
            }
            let terms = [2u8, 5, 3].map(|row| Term { row: row.into(), number: 10.0 * f32::from(row) });
            let (mut y, mut taps) = ([0.0; 19], [0; 19]);
            let found = Found { best: &mut best, tap: &mut tap };
            down_list::<S, true>(simd, &terms, [1, 40], found, &mut y, &mut taps);
            for (at, (&y, &tap)) in y.iter().zip(&taps).enumerate() {
                let (value, row) = first([1, 4, 2].iter().map(|row| x[at + 40 * row]));
                assert_eq!((y, tap), (value, [21, 51, 31][row]));
            }
            assert!(all_finite(simd, &x) && all_finite(simd, &[]));
            for at in [0, 16, 299] {
                for v in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut x = x.clone();
                    x[at] = v;
                    assert!(!all_finite(simd, &x));
                }
            }
        }
    }

    #[test]
    fn the_first_of_equals_is_found() {
        Isa::all().for_each(|isa| isa.run(Windows));
    }

    struct Outside;

    impl Job for Outside {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (mut best, mut tap) = ([0.0; 32], [0.0; 32]);
            let found = Found { best: &mut best, tap: &mut tap };
            along::<S, true>(simd, 3, &[], 32, &[0.0; 33], found);
        }
    }

    #[test]
    #[should_panic(expected = "a window reaches outside")]
    fn windows_stay_inside() {
        Isa::best().run(Outside);
    }

    struct Four;

    impl Job for Four {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (mut best, mut tap, mut y) = ([0.0; 64], [0.0; 64], [0.0; 16]);
            let found = Found { best: &mut best, tap: &mut tap };
            down_plane::<S, false>(simd, [4, 8], &[0.0; 80], found, (&mut y, &mut []), &[]);
        }
    }

    #[test]
    #[should_panic(expected = "windows of 3 or 5 rows, not 4")]
    fn other_windows_are_refused() {
        Isa::best().run(Four);
    }
}
