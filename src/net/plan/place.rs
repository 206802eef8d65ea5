//! Layers that join blobs: where each of these can be made at its place in the joined one, nothing is left to copy, forward or back.

use super::gather::weighs;
use crate::{
    layers::{Place, Role},
    net::{BlobId, Node},
};

/// Lets layers make their tops as channels of the blob that joins them, wherever nobody else sees them; `seen` says that somebody
/// does. A layer that has changed must be outlined again.
pub(super) fn place(nodes: &mut [Node], seen: impl Fn(BlobId) -> bool) {
    // Where shapes come from values, a layer may run while the joined blob still has its shape of an earlier pass.
    if nodes.iter().any(|node| node.kind.shaped_by_values) {
        return;
    }
    for j in 0..nodes.len() {
        let Some((axis, makers)) = makers(nodes, j, &seen) else { continue };
        let (whole, of) = (nodes[j].tops[0], nodes[j].outline.tops[0][axis]);
        let mut first = 0;
        for &i in &makers {
            let node = &mut nodes[i];
            node.layer.lie_within(Place { first, of });
            node.run.whole = Some(whole);
            nodes[j].run.clears = std::mem::take(&mut nodes[i].run.clears);
            first += nodes[i].outline.tops[0][axis];
        }
        nodes[j].run.joined = true;
    }
}

/// The axis along which layer `j` joins its bottoms, and the layers that make these, if all can make them where they will lie.
fn makers(nodes: &[Node], j: usize, seen: impl Fn(BlobId) -> bool) -> Option<(usize, Vec<usize>)> {
    let node = &nodes[j];
    let axis = node.layer.joins().filter(|_| node.within.is_none())?;
    let maker = |&b: &BlobId| {
        let readers = nodes.iter().flat_map(|node| &node.bottoms).filter(|&&bottom| bottom == b);
        let i = nodes.iter().position(|node| node.within.is_none() && node.run.tops == [b])?;
        let made = &nodes[i];
        let fits = made.kind.role == Role::Transform
            && made.layer.lies_within(axis)
            && made.need.backward == node.need.backward;
        (fits && readers.count() == 1 && !seen(b) && !weighs(nodes, b)).then_some(i)
    };
    let makers = node.bottoms.iter().map(maker).collect::<Option<Vec<usize>>>()?;
    let all_needed = node.need.bottoms.iter().all(|&needed| needed == node.need.backward);
    let alike = makers.iter().all(|&i| nodes[i].run.clears == nodes[makers[0]].run.clears);
    (all_needed && alike).then_some((axis, makers))
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{net_from_text, proto::Phase},
        net::{Net, Options, Params},
    };

    const NET: &str = "
        layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: 5 dim: 9 dim: 7 } } }
        layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'a' convolution_param { num_output: 40 kernel_size: 1
          weight_filler { type: 'xavier' } bias_filler { type: 'uniform' } } }
        layer { name: 'a relu' type: 'ReLU' bottom: 'a' top: 'a' }
        layer { name: 'b' type: 'Convolution' bottom: 'a_or_x' top: 'b' convolution_param { num_output: 33 kernel_size: 3 pad: 1
          weight_filler { type: 'xavier' } bias_filler { type: 'uniform' } } }
        layer { name: 'b relu' type: 'ReLU' bottom: 'b' top: 'b' }
        layer { name: 'both' type: 'Concat' bottom: 'b' bottom: 'c' top: 'both' }";
    const C: &str = "layer { name: 'c' type: 'Convolution' bottom: 'a' top: 'c' convolution_param { num_output: 20 kernel_size: 1
          weight_filler { type: 'xavier' } } }
        layer { name: 'c relu' type: 'ReLU' bottom: 'c' top: 'c' }";
    const LOSS: &str = "layer { name: 'end' type: 'Pooling' bottom: 'both' top: 'end' pooling_param { pool: AVE global_pooling: true } }
        layer { name: 'square' type: 'Reduction' bottom: 'end' top: 'loss' loss_weight: 1 reduction_param { operation: SUMSQ } }";

    /// The net with `b` on top of `a`, and its last layers.
    fn text(c: &str, rest: &str) -> String {
        let net = NET.replace("a_or_x", "a");
        let at = net.find("layer { name: 'both'").unwrap();
        format!("force_backward: true {} {c} {} {rest}", &net[..at], &net[at..])
    }

    fn net(text: &str, options: Options, params: &mut Params) -> Net {
        Net::new(&net_from_text("net.prototxt", text).unwrap().net, options, params).unwrap()
    }

    fn joined(text: &str) -> bool {
        let net = net(text, Options::new(Phase::Train, 1), &mut Params::new());
        net.nodes.iter().any(|node| node.run.joined)
    }

    /// The loss, and the bits of all gradients, of two passes, the second with other shapes.
    fn run(text: &str, fuse: bool) -> Vec<u32> {
        let mut params = Params::new();
        let mut net = net(text, Options { fuse, ..Options::new(Phase::Train, 1) }, &mut params);
        let mut bits = Vec::new();
        for batch in [3, 2] {
            net.reshape(&[("x", [batch, 5, 9, 7].into())]).unwrap();
            let x: Vec<f32> = (0..batch * 5 * 63).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            net.set_input("x", &x).unwrap();
            bits.push(net.forward(&mut params).unwrap().to_bits());
            net.backward(&mut params);
            bits.extend(params.iter().flat_map(|p| p.diff.iter().map(|d| d.to_bits())));
            bits.extend(net.diff("x").unwrap().iter().map(|d| d.to_bits()));
        }
        bits
    }

    #[test]
    fn what_is_made_in_place_has_the_bits_of_what_is_copied() {
        let plain = C.split("layer { name: 'c relu'").next().unwrap();
        let max = LOSS.replace("pool: AVE global_pooling: true", "pool: MAX kernel_size: 3 stride: 2");
        for (c, rest) in [(C, LOSS), (C, &max), (plain, LOSS)] {
            let text = text(c, rest);
            assert_eq!(joined(&text), c == C, "{text}");
            assert!(run(&text, true) == run(&text, false), "{text}");
        }
        let both_plain =
            text(plain, LOSS).replace("layer { name: 'b relu' type: 'ReLU' bottom: 'b' top: 'b' }", "");
        assert!(joined(&both_plain));
        assert!(run(&both_plain, true) == run(&both_plain, false));
    }

    #[test]
    fn what_others_see_is_copied() {
        let all = text(C, LOSS);
        assert!(joined(&all));
        let read = "layer { name: 'more' type: 'Reduction' bottom: 'c' top: 'more' loss_weight: 1 }";
        assert!(!joined(&(all.clone() + read)), "by another layer");
        assert!(!joined(&all.replace("name: 'c relu'", "name: 'c relu' loss_weight: 2")), "by the loss");
        assert!(
            !joined(&all.replace("bottom: 'b' bottom: 'c'", "bottom: 'b' bottom: 'x'")),
            "made by a source"
        );
        let along_2 = all.replace("top: 'both' }", "top: 'both' concat_param { axis: 2 } }");
        assert!(!joined(&along_2.replace("num_output: 33", "num_output: 20")), "along another axis");
        let options = Options { keep_all: true, ..Options::new(Phase::Test, 1) };
        let net = net(&text(C, ""), options, &mut Params::new());
        assert!(net.nodes.iter().all(|node| !node.run.joined), "by whoever looks at all");
    }
}
