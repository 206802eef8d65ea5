//! Nets that nobody would write, damaged ones and huge ones: the check ends with complaints, not with a panic.

use std::{fmt::Write as _, fs};

use cnnctl::{
    config::{net_from_text, proto::NetParameter, text, upgrade::upgrade_net},
    net::check::{Finding, View, check, states},
};

fn findings(net: &NetParameter) -> Vec<Finding> {
    check(net, &states(net, 0, &[]), &View::default()).findings
}

/// What is found in a text, if it can be read.
fn look(text: &str) -> Option<Vec<Finding>> {
    let net = net_from_text("net", text).ok()?.net;
    let again = upgrade_net(net.clone()).message;
    assert_eq!(text::print(&again), text::print(&net));
    Some(findings(&net))
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

#[test]
fn damaged_nets_do_not_make_it_panic() {
    let mut numbers = Numbers(7);
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "\"",
        "-1",
        "4294967295",
        "1e39",
        "nan",
        "layer",
        "bottom: 'data'",
        "#",
        "\0",
    ];
    let mut readable = 0;
    for model in ["lenet", "googlenet", "resnet18", "mobilenet", "fcn8s"] {
        let net = fs::read_to_string(format!("models/{model}/deploy.prototxt")).unwrap();
        for _ in 0..40 {
            let mut text = net.clone();
            for _ in 0..1 + numbers.below(4) {
                let from = numbers.below(text.len());
                let to = (from + numbers.below(30)).min(text.len());
                let with = words[numbers.below(words.len())];
                text.replace_range(from..to, with);
            }
            readable += usize::from(look(&text).is_some());
        }
        // A number in the place of another, which leaves a text that can be read.
        for _ in 0..40 {
            let digits: Vec<usize> = net
                .match_indices(": ")
                .map(|(at, _)| at + 2)
                .filter(|&at| net.as_bytes()[at].is_ascii_digit())
                .collect();
            let at = digits[numbers.below(digits.len())];
            let end = at + net[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
            let value = ["0", "1", "65536", "2147483647", "4294967295"][numbers.below(5)];
            let text = format!("{}{value}{}", &net[..at], &net[end..]);
            readable += usize::from(look(&text).is_some());
        }
    }
    assert!(readable > 150, "only {readable} could be read");
}

#[test]
fn sizes_beyond_reason_are_refused_before_they_are_counted() {
    let input = |dims: &str| {
        format!("layer {{ type: 'Input' top: 'x' input_param {{ shape {{ dim: [{dims}] }} }} }}")
    };
    for dims in
        ["9223372036854775807, 9223372036854775807", "2147483647, 2", "-1, 3", "4294967296, 4294967296"]
    {
        assert!(!look(&input(dims)).unwrap().is_empty(), "{dims}");
    }
    let conv = |settings: &str| {
        format!(
            "{} layer {{ name: 'c' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {{ {settings} }} }}",
            input("1, 65536, 128, 128")
        )
    };
    for settings in [
        "num_output: 4294967295 kernel_size: 1",
        "num_output: 16777216 kernel_size: 128",
        "num_output: 1 kernel_size: 4294967295 pad: 2147483648",
        "num_output: 1 kernel_size: 3 dilation: 4294967295",
        "num_output: 1 kernel_size: 3 stride: 4294967295",
        "num_output: 1 kernel_size: 1 group: 4294967295",
    ] {
        assert!(!look(&conv(settings)).unwrap().is_empty(), "{settings}");
    }
}

#[test]
fn a_net_of_many_mistakes_ends_in_few_findings() {
    let mut text = String::new();
    for i in 0..20_000 {
        writeln!(text, "layer {{ name: 'l{i}' type: 'ReLU' bottom: 'b{i}' top: 't{i}' }}").unwrap();
    }
    let found =
        look(&(text.clone() + "layer { type: 'Input' top: 'x' input_param { shape { dim: 1 } } }")).unwrap();
    assert!((1..=200).contains(&found.len()), "{}", found.len());
    // A ring of layers, and a part of a net without a source.
    let ring: String = (0..80)
        .map(|i| format!("layer {{ name: 'l{i}' type: 'ReLU' bottom: 't{}' top: 't{i}' }}\n", (i + 1) % 80))
        .collect();
    let found = look(&(ring + "layer { type: 'Input' top: 'x' input_param { shape { dim: 1 } } }")).unwrap();
    assert!(found.iter().any(|f| f.message.contains("cycle")));
    assert!(look(&text).unwrap().len() <= 200);
}

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// What a layer keeps for each of a billion values is taken, but not written, when a net is only looked at.
#[test]
fn huge_blobs_take_no_memory_in_a_check() {
    let input = |name: &str, dims: &str| {
        format!("layer {{ name: '{name}' type: 'Input' top: '{name}' input_param {{ shape {{ {dims} }} }} }}")
    };
    let one = input("x", "dim: 5 dim: 3");
    let many = input("y", "dim: 1000000000");
    let scores = input("z", "dim: 1000000000 dim: 1");
    let pairs = input("z", "dim: 1000000000 dim: 2");
    let price = input("h", "dim: 1 dim: 1");
    let empty = input("e", "dim: 0 dim: 3 dim: 4294967296 dim: 5");
    let layer = |text: &str| format!("layer {{ name: 'l' top: 'l' {text} }}");
    let before = peak();
    for text in [
        format!("{one}{many}{}", layer("type: 'BatchReindex' bottom: 'x' bottom: 'y'")),
        format!("{many}{}", layer("type: 'Embed' bottom: 'y' embed_param { num_output: 1 input_dim: 2 }")),
        format!("{scores}{many}{}", layer("type: 'Accuracy' bottom: 'z' bottom: 'y'")),
        format!("{scores}{many}{}", layer("type: 'HingeLoss' bottom: 'z' bottom: 'y'")),
        format!("{scores}{many}{}", layer("type: 'MultinomialLogisticLoss' bottom: 'z' bottom: 'y'")),
        format!("{scores}{many}{}", layer("type: 'SoftmaxWithLoss' bottom: 'z' bottom: 'y'")),
        format!("{scores}{many}{price}{}", layer("type: 'InfogainLoss' bottom: 'z' bottom: 'y' bottom: 'h'")),
        format!("{pairs}{many}{}", layer("type: 'OrdinalRegressionLoss' bottom: 'z' bottom: 'y'")),
        format!("{scores}{}", layer("type: 'ArgMax' bottom: 'z'")),
        format!("{empty}{}", layer("type: 'Pooling' bottom: 'e' pooling_param { global_pooling: true }")),
    ] {
        look(&text).expect("a net that can be read");
    }
    assert!(peak() - before < 1 << 29, "{} bytes", peak() - before);
}
