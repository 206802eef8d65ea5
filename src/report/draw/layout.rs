//! A layered layout: ranks from top to bottom, few crossings, straight lines (Sugiyama, Tagawa and Toda, 1981).

/// How many times order and places are improved, down and up.
const SWEEPS: usize = 24;

/// What is laid out: the sizes of boxes, and arrows from earlier to later ones.
pub struct Input<'a> {
    pub sizes: &'a [[f32; 2]],
    pub edges: &'a [(usize, usize)],
    /// Space between boxes of a rank, and between ranks.
    pub gap: [f32; 2],
}

/// Where everything goes.
#[derive(Debug, Default)]
pub struct Layout {
    /// Centres of the boxes.
    pub centres: Vec<[f32; 2]>,
    /// For each arrow, the points that it goes through between its boxes.
    pub ways: Vec<Vec<[f32; 2]>>,
    pub size: [f32; 2],
}

/// A place in a rank: a box, or a point that an arrow goes through.
struct Slot {
    width: f32,
    x: f32,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Lays a graph out.
pub fn layout(input: &Input<'_>) -> Layout {
    let ranks_of = ranks(input);
    let depth = ranks_of.iter().max().map_or(0, |r| r + 1);
    let mut slots: Vec<Slot> = Vec::new();
    let mut ranks: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (i, size) in input.sizes.iter().enumerate() {
        slots.push(Slot { width: size[0], x: 0.0, above: vec![], below: vec![] });
        ranks[ranks_of[i]].push(i);
    }
    let mut chains: Vec<Vec<usize>> = Vec::with_capacity(input.edges.len());
    for &(from, to) in input.edges {
        let mut chain = vec![from];
        for rank in ranks.iter_mut().take(ranks_of[to]).skip(ranks_of[from] + 1) {
            rank.push(slots.len());
            chain.push(slots.len());
            slots.push(Slot { width: 14.0, x: 0.0, above: vec![], below: vec![] });
        }
        chain.push(to);
        for pair in chain.windows(2) {
            slots[pair[0]].below.push(pair[1]);
            slots[pair[1]].above.push(pair[0]);
        }
        chains.push(chain);
    }
    order(&mut ranks, &mut slots);
    place(&ranks, &mut slots, input.gap[0]);
    finish(input, &ranks, &slots, &chains)
}

/// The rank of each box: one below the lowest that leads to it; what nothing leads to stands just above what it leads to.
fn ranks(input: &Input<'_>) -> Vec<usize> {
    let n = input.sizes.len();
    let mut rank = vec![0; n];
    let mut fed = vec![false; n];
    let mut edges: Vec<(usize, usize)> = input.edges.to_vec();
    edges.sort_unstable();
    for &(from, to) in &edges {
        rank[to] = rank[to].max(rank[from] + 1);
        fed[to] = true;
    }
    for i in 0..n {
        let below = edges.iter().filter(|e| e.0 == i).map(|e| rank[e.1]).min();
        if let (false, Some(below)) = (fed[i], below) {
            rank[i] = below - 1;
        }
    }
    rank
}

/// Orders each rank so that arrows cross seldom: by the mean place of what a slot is tied to, in turns from above and
/// from below; the best order met is kept.
fn order(ranks: &mut Vec<Vec<usize>>, slots: &mut [Slot]) {
    let number = |ranks: &[Vec<usize>], slots: &mut [Slot]| {
        for rank in ranks {
            rank.iter().enumerate().for_each(|(i, &s)| slots[s].x = i as f32 - rank.len() as f32 / 2.0);
        }
    };
    number(ranks, slots);
    let mut best = (crossings(ranks, slots), ranks.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let turns: Vec<usize> =
            if down { (0..ranks.len()).collect() } else { (0..ranks.len()).rev().collect() };
        for r in turns {
            let mean = |s: usize| {
                let tied = if down { &slots[s].above } else { &slots[s].below };
                if tied.is_empty() {
                    return slots[s].x;
                }
                tied.iter().map(|&t| slots[t].x).sum::<f32>() / tied.len() as f32
            };
            let mut keyed: Vec<(f32, usize)> = ranks[r].iter().map(|&s| (mean(s), s)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            ranks[r] = keyed.into_iter().map(|(_, s)| s).collect();
            let half = ranks[r].len() as f32 / 2.0;
            ranks[r].iter().enumerate().for_each(|(i, &s)| slots[s].x = i as f32 - half);
        }
        let count = crossings(ranks, slots);
        if count < best.0 {
            best = (count, ranks.clone());
        }
    }
    *ranks = best.1;
    number(ranks, slots);
}

/// How many pairs of arrows between neighbouring ranks cross.
fn crossings(ranks: &[Vec<usize>], slots: &[Slot]) -> usize {
    let mut count = 0;
    for rank in ranks {
        let mut ends: Vec<(f32, f32)> = Vec::new();
        for &s in rank {
            let mut below: Vec<f32> = slots[s].below.iter().map(|&t| slots[t].x).collect();
            below.sort_by(f32::total_cmp);
            ends.extend(below.into_iter().map(|x| (slots[s].x, x)));
        }
        for (i, a) in ends.iter().enumerate() {
            count += ends[i + 1..].iter().filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0).count();
        }
    }
    count
}

/// Gives each slot its place along the rank: as near as can be to what it is tied to, without overlap.
fn place(ranks: &[Vec<usize>], slots: &mut [Slot], gap: f32) {
    for rank in ranks {
        let width: f32 = rank.iter().map(|&s| slots[s].width + gap).sum();
        let mut x = -width / 2.0;
        for &s in rank {
            slots[s].x = x + slots[s].width / 2.0;
            x += slots[s].width + gap;
        }
    }
    for sweep in 0..2 * SWEEPS {
        let turns: Vec<usize> =
            if sweep % 2 == 0 { (0..ranks.len()).collect() } else { (0..ranks.len()).rev().collect() };
        for r in turns {
            let wish: Vec<f32> = ranks[r]
                .iter()
                .map(|&s| {
                    let slot = &slots[s];
                    // In the last rounds both sides count, so that arrows come out straight.
                    let both = sweep + 8 > 2 * SWEEPS;
                    let tied: Vec<f32> = match (both, sweep % 2) {
                        (true, _) => slot.above.iter().chain(&slot.below).map(|&t| slots[t].x).collect(),
                        (_, 0) => slot.above.iter().map(|&t| slots[t].x).collect(),
                        _ => slot.below.iter().map(|&t| slots[t].x).collect(),
                    };
                    if tied.is_empty() { slot.x } else { tied.iter().sum::<f32>() / tied.len() as f32 }
                })
                .collect();
            let widths: Vec<f32> = ranks[r].iter().map(|&s| slots[s].width + gap).collect();
            let xs = apart(&wish, &widths);
            ranks[r].iter().zip(xs).for_each(|(&s, x)| slots[s].x = x);
        }
    }
}

/// The places nearest to the wished ones, in order and apart by the widths: blocks that would overlap are joined and
/// take the mean of what they wish (pool adjacent violators).
fn apart(wish: &[f32], widths: &[f32]) -> Vec<f32> {
    // Offsets that make "apart" mean "ascending".
    let mut offsets = Vec::with_capacity(wish.len());
    let mut offset = 0.0;
    for (i, width) in widths.iter().enumerate() {
        if i > 0 {
            offset += (widths[i - 1] + width) / 2.0;
        }
        offsets.push(offset);
    }
    let mut blocks: Vec<(f32, usize)> = Vec::new();
    for (w, o) in wish.iter().zip(&offsets) {
        blocks.push((w - o, 1));
        while let [.., a, b] = &blocks[..] {
            if a.0 <= b.0 {
                break;
            }
            let joined = ((a.0 * a.1 as f32 + b.0 * b.1 as f32) / (a.1 + b.1) as f32, a.1 + b.1);
            blocks.truncate(blocks.len() - 2);
            blocks.push(joined);
        }
    }
    let means = blocks.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean, n));
    means.zip(&offsets).map(|(mean, o)| mean + o).collect()
}

fn finish(input: &Input<'_>, ranks: &[Vec<usize>], slots: &[Slot], chains: &[Vec<usize>]) -> Layout {
    let n = input.sizes.len();
    let left = slots.iter().map(|s| s.x - s.width / 2.0).fold(f32::INFINITY, f32::min).min(0.0);
    let right = slots.iter().map(|s| s.x + s.width / 2.0).fold(f32::NEG_INFINITY, f32::max).max(0.0);
    // Boxes of a rank begin at one height; arrows that go through it do so straight down.
    let mut ends = vec![[0.0; 2]; slots.len()];
    let mut y = 0.0;
    for rank in ranks {
        let height = rank.iter().filter(|&&s| s < n).map(|&s| input.sizes[s][1]).fold(0.0, f32::max);
        rank.iter().for_each(|&s| ends[s] = [y, y + height]);
        y += height + input.gap[1];
    }
    let x = |s: usize| slots[s].x - left;
    let through = |&s: &usize| ends[s].map(|y| [x(s), y]);
    Layout {
        centres: (0..n).map(|s| [x(s), ends[s][0] + input.sizes[s][1] / 2.0]).collect(),
        ways: chains.iter().map(|c| c[1..c.len() - 1].iter().flat_map(through).collect()).collect(),
        size: [right - left, (y - input.gap[1]).max(0.0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(n: usize, edges: &[(usize, usize)]) -> Layout {
        layout(&Input { sizes: &vec![[100.0, 40.0]; n], edges, gap: [20.0, 30.0] })
    }

    #[test]
    fn a_chain_is_a_straight_line() {
        let l = laid(3, &[(0, 1), (1, 2)]);
        assert_eq!(l.centres, [[50.0, 20.0], [50.0, 90.0], [50.0, 160.0]]);
        assert_eq!(l.size, [100.0, 180.0]);
        assert_eq!(laid(0, &[]).centres.len(), 0);
    }

    #[test]
    fn boxes_of_a_rank_are_apart_and_long_arrows_go_round() {
        let l = laid(5, &[(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (0, 4)]);
        let mut xs: Vec<f32> = (1..4).map(|i| l.centres[i][0]).collect();
        xs.sort_by(f32::total_cmp);
        assert!(xs.windows(2).all(|w| w[1] - w[0] >= 119.9), "{xs:?}");
        assert_eq!(l.ways[6].len(), 2);
        assert!((1..4).all(|i| (l.centres[i][0] - l.ways[6][0][0]).abs() > 50.0));
        assert!((l.centres[0][0] - l.centres[4][0]).abs() < 1.0);
    }

    #[test]
    fn overlaps_are_shared_out() {
        assert_eq!(apart(&[0.0, 0.0, 100.0], &[10.0, 10.0, 10.0]), [-5.0, 5.0, 100.0]);
        assert_eq!(apart(&[5.0, 1.0], &[2.0, 2.0]), [2.0, 4.0]);
    }
}
