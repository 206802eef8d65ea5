//! Boxes of detectors: told from those around which they lie, and thinned to those that do not overlap better ones.

use super::scratch;

/// Left, top, right and bottom.
pub type Corners = [f32; 4];

/// How four numbers tell a box from its prior.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    /// How far each corner lies from that of the prior.
    #[default]
    Corner,
    /// How far the centre lies from that of the prior, in the prior's sides, and the logarithm of the factor between the sides.
    CenterSize,
    /// As `Corner`, in the prior's sides.
    CornerSize,
}

/// The box that `told` tells from its prior; `variance` are factors on the four numbers.
pub fn decode(code: Code, prior: Corners, variance: Corners, told: Corners) -> Corners {
    let (width, height) = (prior[2] - prior[0], prior[3] - prior[1]);
    let told: Corners = std::array::from_fn(|i| variance[i] * told[i]);
    let sides = [width, height, width, height];
    match code {
        Code::Corner => std::array::from_fn(|i| prior[i] + told[i]),
        Code::CornerSize => std::array::from_fn(|i| prior[i] + told[i] * sides[i]),
        Code::CenterSize => {
            let (x, y) = ((prior[0] + prior[2]) / 2.0, (prior[1] + prior[3]) / 2.0);
            let (x, y) = (told[0] * width + x, told[1] * height + y);
            let grown = |told: f32, side: f32| (f64::from(told).exp() * f64::from(side)) as f32 / 2.0;
            let (w, h) = (grown(told[2], width), grown(told[3], height));
            [x - w, y - h, x + w, y + h]
        }
    }
}

/// What is in both boxes over what is in either; 0 where nothing is in both.
pub fn overlap(a: &Corners, b: &Corners) -> f32 {
    // Not `max` and `min`, which leave out a NaN: what is no box overlaps none.
    let larger = |a: f32, b: f32| if a < b { b } else { a };
    let smaller = |a: f32, b: f32| if b < a { b } else { a };
    let width = smaller(a[2], b[2]) - larger(a[0], b[0]);
    let height = smaller(a[3], b[3]) - larger(a[1], b[1]);
    if width > 0.0 && height > 0.0 {
        let both = width * height;
        return both / (area(a) + area(b) - both);
    }
    0.0
}

fn area(of: &Corners) -> f32 {
    if of[2] < of[0] || of[3] < of[1] { 0.0 } else { (of[2] - of[0]) * (of[3] - of[1]) }
}

/// Which boxes of a class are kept.
#[derive(Clone, Copy, Debug)]
pub struct Thinning {
    /// Only those with a score above this,
    pub score: f32,
    /// and of them so many of the best,
    pub candidates: usize,
    /// that overlap no better one by more than this.
    pub overlap: f32,
    /// What that is multiplied by for each box that is kept, down to a half.
    pub eta: f32,
}

/// Values that stand `step` apart, from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a, T> {
    /// The values, and others between.
    pub values: &'a [T],
    /// Where the first is.
    pub first: usize,
    /// From one to the next.
    pub step: usize,
}

impl<'a, T> Column<'a, T> {
    /// Value number `i`.
    pub fn at(&self, i: usize) -> &'a T {
        &self.values[self.first + i * self.step]
    }
}

/// Writes the numbers of the boxes that are kept, best first, as far as `kept` goes; of equal scores the first counts as
/// better. Gives how many. Takes a step for each candidate and each box that is kept before it, and no more.
pub fn thin(
    boxes: Column<'_, Corners>,
    scores: Column<'_, f32>,
    count: usize,
    thinning: &Thinning,
    kept: &mut [u32],
) -> usize {
    with_keys(count, |keys| {
        let mut found = 0;
        for i in 0..count {
            let &score = scores.at(i);
            if score > thinning.score {
                keys[found] = key(score, i);
                found += 1;
            }
        }
        let best = best(&mut keys[..found], thinning.candidates);
        best.sort_unstable();
        let (mut threshold, mut len) = (thinning.overlap, 0);
        for &candidate in &*best {
            if len == kept.len() {
                break;
            }
            let number = candidate as u32;
            let own = boxes.at(number as usize);
            if kept[..len].iter().all(|&other| overlap(own, boxes.at(other as usize)) <= threshold) {
                kept[len] = number;
                len += 1;
                if thinning.eta < 1.0 && threshold > 0.5 {
                    threshold *= thinning.eta;
                }
            }
        }
        len
    })
}

/// Leaves of several lists only the `most` of the highest scores, of equal ones the first. Each list is from best to worst, `room`
/// apart from the next, and as long as `lengths` says, which is cut.
pub fn cut_to_best(lengths: &mut [u32], room: usize, most: usize, score: impl Fn(usize, usize) -> f32) {
    let all: usize = lengths.iter().map(|&len| len as usize).sum();
    if all <= most {
        return;
    }
    with_keys(all, |keys| {
        let places =
            lengths.iter().enumerate().flat_map(|(list, &len)| (0..len as usize).map(move |i| (list, i)));
        for (to, (list, i)) in keys.iter_mut().zip(places) {
            *to = key(score(list, i), list * room + i);
        }
        lengths.fill(0);
        for &key in &*best(keys, most) {
            lengths[key as u32 as usize / room] += 1;
        }
    });
}

/// Calls `f` with room for so many keys.
fn with_keys<R>(count: usize, f: impl FnOnce(&mut [u64]) -> R) -> R {
    scratch::lend(2 * count, |lent| f(bytemuck::cast_slice_mut(lent)))
}

/// Smaller for higher scores, and among equal ones for smaller numbers, which are its lower half.
fn key(score: f32, number: usize) -> u64 {
    // 0 and -0 are one.
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(!rising) << 32 | number as u64
}

/// The `most` smallest, in any order.
fn best(keys: &mut [u64], most: usize) -> &mut [u64] {
    if most < keys.len() {
        if most > 0 {
            keys.select_nth_unstable(most - 1);
        }
        return &mut keys[..most];
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Draw;
    use rand::RngExt as _;

    const PRIOR: Corners = [0.25, 0.5, 0.75, 0.75];

    #[test]
    fn nothing_told_is_the_prior() {
        for code in [Code::Corner, Code::CenterSize, Code::CornerSize] {
            assert_eq!(decode(code, PRIOR, [0.1; 4], [0.0; 4]), PRIOR);
        }
    }

    #[test]
    fn codes_by_hand() {
        let variance = [0.5, 0.5, 0.25, 1.0];
        let of = |code, told| decode(code, PRIOR, variance, told);
        assert_eq!(of(Code::Corner, [1.0, -1.0, 2.0, 0.5]), [0.75, 0.0, 1.25, 1.25]);
        assert_eq!(of(Code::CornerSize, [1.0, -1.0, 2.0, 0.5]), [0.5, 0.375, 1.0, 0.875]);
        let two = std::f32::consts::LN_2;
        // The centre moves by a quarter to the right and an eighth up; twice as wide, half as high.
        let moved = of(Code::CenterSize, [1.0, -1.0, 4.0 * two, -two]);
        let want = [0.25, 0.4375, 1.25, 0.5625];
        assert!(moved.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{moved:?}");
    }

    #[test]
    fn overlaps_by_hand() {
        let of = |b| overlap(&[0.0, 0.0, 2.0, 2.0], &b);
        assert_eq!(of([0.0, 0.0, 2.0, 2.0]), 1.0);
        assert_eq!(of([1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(of([2.0, 0.0, 3.0, 2.0]), 0.0);
        assert_eq!(of([3.0, 3.0, 4.0, 4.0]), 0.0);
        assert_eq!(of([1.0, 1.0, 0.5, 0.5]), 0.0);
    }

    fn kept(boxes: &[Corners], scores: &[f32], thinning: &Thinning, room: usize) -> Vec<u32> {
        let mut kept = vec![u32::MAX; room];
        let len = thin(
            Column { values: boxes, first: 0, step: 1 },
            Column { values: scores, first: 0, step: 1 },
            boxes.len(),
            thinning,
            &mut kept,
        );
        kept.truncate(len);
        kept
    }

    const ALL: Thinning = Thinning { score: f32::MIN, candidates: usize::MAX, overlap: 0.4, eta: 1.0 };

    #[test]
    fn the_best_of_those_that_overlap_stays() {
        let at = |left: f32| [left, 0.0, left + 2.0, 1.0];
        let boxes = [at(0.0), at(0.5), at(1.0), at(9.0), at(1.5)];
        let scores = [0.5, 0.75, 0.5, 0.25, -0.0];
        // 0.5 apart: 3/5 of both; 1 apart: 1/3.
        assert_eq!(kept(&boxes, &scores, &ALL, 5), [1, 3, 4]);
        assert_eq!(kept(&boxes, &scores, &ALL, 2), [1, 3]);
        assert_eq!(kept(&boxes, &scores, &Thinning { overlap: 0.7, ..ALL }, 5), [1, 0, 2, 3, 4]);
        assert_eq!(kept(&boxes, &scores, &Thinning { overlap: 0.7, candidates: 3, ..ALL }, 5), [1, 0, 2]);
        assert_eq!(kept(&boxes, &scores, &Thinning { score: 0.25, ..ALL }, 5), [1]);
        assert!(kept(&boxes, &scores, &Thinning { candidates: 0, ..ALL }, 5).is_empty());
        // After the first the threshold is 0.56, after the next 0.448.
        assert_eq!(kept(&boxes, &scores, &Thinning { overlap: 0.7, eta: 0.8, ..ALL }, 5), [1, 3, 4]);
        assert!(kept(&boxes, &[f32::NAN; 5], &ALL, 5).is_empty());
    }

    /// The plain twin: one candidate after the other, from a list that is sorted whole.
    fn plainly(boxes: &[Corners], scores: &[f32], thinning: &Thinning) -> Vec<u32> {
        let mut order: Vec<u32> = (0..boxes.len() as u32).collect();
        order.retain(|&i| scores[i as usize] > thinning.score);
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        order.truncate(thinning.candidates);
        let (mut kept, mut threshold): (Vec<u32>, f32) = (vec![], thinning.overlap);
        for i in order {
            if kept.iter().all(|&k| overlap(&boxes[i as usize], &boxes[k as usize]) <= threshold) {
                kept.push(i);
                threshold = if threshold > 0.5 { threshold * thinning.eta } else { threshold };
            }
        }
        kept
    }

    #[test]
    fn agrees_with_the_plain_twin() {
        let mut rng = Draw::new(1, "boxes", 0).rng(0);
        for count in [0, 1, 2, 61, 400] {
            let mut draw = || rng.random::<f32>();
            let boxes: Vec<Corners> = (0..count)
                .map(|_| {
                    let (x, y) = (draw(), draw());
                    [x, y, x + 0.3 * draw(), y + 0.3 * draw()]
                })
                .collect();
            // Many are equal, some below 0.
            let scores: Vec<f32> = (0..count).map(|_| (draw() * 50.0).floor() / 50.0 - 0.2).collect();
            for candidates in [0, 1, 17, 300, usize::MAX] {
                for (overlap, eta) in [(0.45, 1.0), (0.9, 0.7), (0.0, 1.0)] {
                    let thinning = Thinning { score: 0.01, candidates, overlap, eta };
                    let want = plainly(&boxes, &scores, &thinning);
                    assert_eq!(kept(&boxes, &scores, &thinning, count), want);
                    let half = want.len() / 2;
                    assert_eq!(kept(&boxes, &scores, &thinning, half), want[..half]);
                }
            }
        }
    }

    #[test]
    fn the_best_of_several_lists_stay() {
        let scores = [[0.9, 0.5, 0.1], [0.5, 0.5, 0.0], [0.7, 0.0, 0.0]];
        let cut = |most| {
            let mut lengths = [3, 2, 1];
            cut_to_best(&mut lengths, 3, most, |list, i| scores[list][i]);
            lengths
        };
        assert_eq!(cut(6), [3, 2, 1]);
        assert_eq!(cut(5), [2, 2, 1]);
        assert_eq!(cut(4), [2, 1, 1]);
        assert_eq!(cut(3), [2, 0, 1]);
        assert_eq!(cut(0), [0, 0, 0]);
    }
}
