//! Layers that read one blob gather its gradient in one diff: one writes, the others add, and the split between has
//! nothing to do.

use crate::net::{BlobId, Node};

/// A layer, and which of its bottoms.
type Reader = (usize, usize);

/// Lets the readers of splits gather their gradients, wherever nobody minds; `seen` says that somebody looks at a blob's diff.
pub(in crate::net) fn gather(nodes: &mut [Node], seen: impl Fn(BlobId) -> bool) {
    for i in 0..nodes.len() {
        let Some(readers) = readers(nodes, i) else { continue };
        // Backward passes go from the last to the first.
        let [adders @ .., (_, first)] = &readers[..] else { continue };
        let blobs = || nodes[i].tops.iter().chain(&nodes[i].bottoms);
        if blobs().any(|&blob| seen(blob) || weighs(nodes, blob))
            || !adders.iter().all(|&(j, k)| nodes[j].layer.adds(k))
        {
            continue;
        }
        let written = nodes[readers[adders.len()].0].bottoms[*first];
        if adders.last().is_some_and(|&(adder, _)| is_read_until(nodes, i, written, adder)) {
            for &(j, k) in adders {
                nodes[j].layer.add(k);
            }
            nodes[i].run.gathered = true;
        }
    }
}

/// The reader of a split's tops whose backward pass comes last; `None` where layer `i` is not a split that is gathered.
pub(super) fn last_reader(nodes: &[Node], i: usize) -> Option<Reader> {
    if nodes[i].run.gathered { readers(nodes, i)?.first().copied() } else { None }
}

/// Whether the blob has a weight in the loss.
pub(super) fn weighs(nodes: &[Node], blob: BlobId) -> bool {
    let mut weights = nodes.iter().flat_map(|node| node.tops.iter().zip(&node.loss_weights));
    weights.any(|(&t, &weight)| t == blob && weight != 0.0)
}

/// The readers of a split's tops, of as many layers, in order; `None` where layer `i` is no such split.
fn readers(nodes: &[Node], i: usize) -> Option<Vec<Reader>> {
    let node = &nodes[i];
    if !node.outline.alias || node.tops.len() < 2 || !node.need.backward {
        return None;
    }
    let reader = |top: &BlobId| {
        let mut all = nodes.iter().enumerate().skip(i + 1).flat_map(|(j, node)| {
            node.bottoms.iter().enumerate().filter(|(_, b)| *b == top).map(move |(k, _)| (j, k))
        });
        let (one, others) = (all.next(), all.next());
        one.filter(|&(j, k)| others.is_none() && nodes[j].within.is_none() && nodes[j].need.bottoms[k])
    };
    let readers = node.tops.iter().map(reader).collect::<Option<Vec<_>>>()?;
    readers.is_sorted_by(|a, b| a.0 < b.0).then_some(readers)
}

/// Whether all who read the diff of `written`, a top of split `i`, under whatever name it has, have read it when layer `adder`
/// adds to it.
fn is_read_until(nodes: &[Node], i: usize, written: BlobId, adder: usize) -> bool {
    let mut names = vec![written];
    let mut at = 0;
    while at < names.len() {
        let name = names[at];
        for (j, node) in nodes.iter().enumerate() {
            let one = node.outline.alias && node.tops.len() == 1;
            let shares = one || node.outline.spreads || node.run.gathered;
            let mut blobs = node.run.tops.iter().chain(&node.bottoms);
            if j != i && shares && node.within.is_none() && blobs.any(|&blob| blob == name) {
                for &blob in node.run.tops.iter().chain(&node.bottoms) {
                    if !names.contains(&blob) {
                        names.push(blob);
                    }
                }
            }
        }
        at += 1;
    }
    names[1..].iter().all(|name| {
        let makes = |node: &Node| node.within.is_none() && node.run.tops.contains(name);
        nodes.iter().position(makes).is_none_or(|maker| maker > adder)
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{net_from_text, proto::Phase},
        net::{Net, Options, Params},
    };

    /// A net that begins with blob `x`, whose rectified convolution is `y`, and ends with the sum of `z`; the names of its
    /// splits that are gathered. Its gradients are compared with those of the same net whose layers work by themselves.
    fn gathered(rest: &str) -> Vec<String> {
        let text = format!(
            "force_backward: true
             layer {{ name: 'in' type: 'DummyData' top: 'x' dummy_data_param {{
               shape {{ dim: 2 dim: 3 dim: 5 dim: 6 }} data_filler {{ type: 'gaussian' }} }} }}
             {} layer {{ name: 'relu' type: 'ReLU' bottom: 'y' top: 'y' }} {rest}
             layer {{ name: 'loss' type: 'Reduction' bottom: 'z' top: 'loss' loss_weight: 1
               reduction_param {{ operation: SUMSQ }} }}",
            convolution("x", "y", 1)
        );
        let config = net_from_text("net.prototxt", text).unwrap().net;
        let run = |fuse: bool| {
            let mut params = Params::new();
            let options = Options { fuse, ..Options::new(Phase::Train, 1) };
            let mut net = Net::new(&config, options, &mut params).unwrap();
            // The second pass finds memory that was used.
            for _ in 0..2 {
                net.forward(&mut params).unwrap();
                net.backward(&mut params);
            }
            let diffs: Vec<Vec<f32>> = params.iter().map(|param| param.diff.to_vec()).collect();
            let splits = net.nodes.iter().filter(|node| node.run.gathered);
            (splits.map(|node| node.bottoms[0]).map(|b| net.blobs[b].name.clone()).collect(), diffs)
        };
        let (gathered, diffs): (Vec<String>, _) = run(true);
        let (none, want) = run(false);
        assert!(none.is_empty());
        assert!(want.iter().flatten().any(|&d| d != 0.0));
        assert_eq!(diffs, want, "{rest}");
        gathered
    }

    fn convolution(bottom: &str, top: &str, kernel: usize) -> String {
        format!(
            "layer {{ name: 'to {top}' type: 'Convolution' bottom: '{bottom}' top: '{top}' convolution_param {{
               num_output: 3 kernel_size: {kernel} pad: {} weight_filler {{ type: 'gaussian' std: 0.5 }} }} }}",
            kernel / 2
        )
    }

    fn sum(bottoms: [&str; 2], top: &str) -> String {
        let [a, b] = bottoms;
        format!("layer {{ name: 'to {top}' type: 'Eltwise' bottom: '{a}' bottom: '{b}' top: '{top}' }}")
    }

    #[test]
    fn residual_blocks_gather() {
        let relu = "layer { name: 'relu of s' type: 'ReLU' bottom: 's' top: 's' }";
        let first = convolution("y", "a", 1) + &convolution("a", "b", 3) + &sum(["y", "b"], "s") + relu;
        let second = convolution("s", "c", 1) + &convolution("c", "d", 3) + &sum(["s", "d"], "z");
        assert_eq!(gathered(&(first + &second)), ["y", "s"]);
    }

    #[test]
    fn strided_and_parallel_convolutions_gather() {
        let strided = convolution("y", "a", 1).replace("pad: 0", "stride: 2")
            + &convolution("y", "b", 1).replace("pad: 0", "stride: 2");
        assert_eq!(gathered(&(strided + &sum(["a", "b"], "z"))), ["y"]);
        let three = ["a", "b", "c"].map(|top| convolution("y", top, 1)).concat();
        let pool = "layer { name: 'pool' type: 'Pooling' bottom: 'y' top: 'd'
                      pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 } }
                    layer { name: 'beside' type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' bottom: 'd' top: 'z' }";
        assert_eq!(gathered(&(three + pool)), ["y"]);
    }

    #[test]
    fn what_cannot_add_or_is_read_later_is_summed() {
        // The layer that would add, a convolution of more taps, cannot.
        let tall = convolution("y", "a", 3) + &sum(["y", "a"], "z");
        assert_eq!(gathered(&tall), [""; 0]);
        // What the layer that would add makes has the same diff.
        let own = convolution("y", "a", 1) + &sum(["y", "a"], "z");
        assert_eq!(gathered(&own), [""; 0]);
        // The sum's diff, which is that of its bottoms, is read by the layer that makes `a` after `b`'s would have added to it; what
        // reads `x` can add.
        let early = convolution("x", "a", 1)
            + &convolution("y", "b", 1)
            + &sum(["y", "a"], "s")
            + &sum(["s", "b"], "z");
        assert_eq!(gathered(&early), ["x"]);
        // One layer reads both.
        assert_eq!(gathered(&sum(["y", "y"], "z")), [""; 0]);
    }
}
