//! The text format as a whole: what is taken, what is refused, and how the refusals read.

use super::*;
use crate::config::{
    folded,
    proto::{LayerParameter, NetParameter, SolverParameter},
};

/// The net of a text, without the places of its layers.
fn net(text: &str) -> NetParameter {
    let mut net =
        parse::<NetParameter>("net.prototxt", text).unwrap_or_else(|e| panic!("{text}\n{e}")).message;
    net.layer.iter_mut().for_each(|layer| layer.cnnctl_origin = None);
    net
}

fn complaints(text: &str) -> String {
    match parse::<NetParameter>("net.prototxt", text) {
        Ok(parsed) => panic!("taken without error: {text}\n{:?}", parsed.message),
        Err(diagnostics) => diagnostics.to_string(),
    }
}

/// The complaints, each as `line:column message (hint)`.
fn brief(text: &str) -> Vec<String> {
    let Err(diagnostics) = parse::<NetParameter>("net.prototxt", text) else { panic!("taken: {text}") };
    let one = |d: &Diagnostic| {
        let place = d.place.as_ref().map_or(String::new(), |p| format!("{}:{} ", p.line, p.column));
        let hint = d.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{place}{}{hint}", d.message)
    };
    diagnostics.iter().map(one).collect()
}

fn named_layers(names: &[&str]) -> NetParameter {
    let layer = |name: &&str| LayerParameter { name: Some((*name).to_owned()), ..Default::default() };
    NetParameter { layer: names.iter().map(layer).collect(), ..Default::default() }
}

#[test]
fn messages_take_either_brace_and_an_optional_colon() {
    for text in [
        "layer { name: 'a' } layer { name: 'b' }",
        "layer: < name: \"a\" >, layer: { name: 'b', };",
        "layer [ { name: 'a' }, < name: 'b'; > ]",
        "layer: [{name:'a'},{name:'b'}] # the end",
        "#\r\nlayer\r\n{\r\nname\r\n:\r\n'a'}layer{name:'b'}#",
        "\u{feff}layer {name: 'a'} layer: [] layer {name: 'b'}",
    ] {
        assert_eq!(net(text), named_layers(&["a", "b"]), "{text}");
    }
    assert_eq!(net(""), NetParameter::default());
}

#[test]
fn texts_join_and_know_all_escapes() {
    let cases = [
        (
            r#""a" 'b' # comment
            "c""#,
            "abc",
        ),
        (r#"'\a\b\f\n\r\t\v\\\?\'\"'"#, "\x07\x08\x0c\n\r\t\x0b\\?'\""),
        (r#"'\101\60\x41\X4a\x4'"#, "A0AJ\x04"),
        (r#"'\x4142\1012'"#, "A42A2"),
        (r#"'\303\251' "\xc3\xa9é""#, "ééé"),
        (r#"'\u00e9\U0001F600\ud83d\ude00'"#, "é😀😀"),
        (r#"'say "yes"' "it's""#, "say \"yes\"it's"),
    ];
    for (text, expected) in cases {
        assert_eq!(net(&format!("name: {text}")).name(), expected, "{text}");
    }
}

#[test]
fn numbers_in_all_their_forms() {
    let inside = |field: &str, value: &str| net(&format!("layer {{ {field}: {value} }}")).layer.remove(0);
    let floats: [(&str, f32); 12] = [
        ("1", 1.0),
        ("-2.5", -2.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-4", 1e-4),
        ("2E+3", 2000.0),
        ("1f", 1.0),
        ("1.5F", 1.5),
        ("- inf", f32::NEG_INFINITY),
        ("Infinity", f32::INFINITY),
        ("1e40", f32::INFINITY),
        ("18446744073709551616", 18446744073709551616.0),
    ];
    for (text, expected) in floats {
        assert_eq!(inside("loss_weight", text).loss_weight, [expected], "{text}");
    }
    assert!(inside("loss_weight", "nan").loss_weight[0].is_nan());
    let shape = inside("input_param", "{ shape { dim: [0x1F, 017, -8, 9223372036854775807] dim: -0x1 } }");
    let dims = &shape.input_param.expect("given").shape[0].dim;
    assert_eq!(dims, &[31, 15, -8, i64::MAX, -1]);
    for (text, expected) in
        [("true", true), ("t", true), ("1", true), ("True", true), ("0x0", false), ("f", false)]
    {
        assert_eq!(inside("propagate_down", text).propagate_down, [expected], "{text}");
    }
    assert_eq!(inside("phase", "TEST").phase, Some(1));
    assert_eq!(inside("phase", "1").phase, Some(1));
}

/// Each of these protobuf refuses too.
#[test]
fn what_protobuf_refuses_is_refused() {
    for text in [
        "name: 'a\nb'",
        "name: 'a' name: 'b'",
        "state { } state { }",
        "name: ['a']",
        "name 'a'",
        "name: 'a';;",
        "name: a",
        "name: /*c*/ 'a'",
        "name: '\\q'",
        "name: '\\x'",
        "name: '\\u12'",
        "layer { name: 'a' >",
        "layer: [{}, ]",
        "layer { bottom: [['a']] }",
        "layer { bottom ['a'] }",
        "layer { phase: 77 }",
        "layer { phase: 'TEST' }",
        "layer { phase: test }",
        "layer { loss_weight: 010 }",
        "layer { loss_weight: 0x10 }",
        "layer { loss_weight: 1.5.2 }",
        "layer { loss_weight: +1 }",
        "force_backward: TRUE",
        "force_backward: 2",
        "state { level: 2147483648 }",
        "state { level: -2147483649 }",
        "state { level: 2.0 }",
        "layer { pooling_param { stride: -1 } }",
        "layer { clip_param { min: 0 } }",
        "layer { cnnctl_origin: 1 }",
        "layer { blobs { cnnctl_array: 1 } }",
        "[caffe.extension]: 1",
        "layer {",
        "}",
    ] {
        complaints(text);
    }
}

#[test]
fn a_wrong_name_reads_as_in_the_manual() {
    let text = "layer {\n  convolution_param {\n    kernal_size: 5\n  }\n}\n";
    let expected = "\
error: unknown field `kernal_size` in `convolution_param`
 --> net.prototxt:3:5
  |
3 |     kernal_size: 5
  |     ^^^^^^^^^^^ did you mean `kernel_size`?";
    assert_eq!(complaints(text), expected);
}

#[test]
fn all_errors_are_found_in_one_go() {
    let text = "nam: 'x'
layer {
  name: 'a'
  type: Convolution
  bottom: 5
  convolution_param {
    num_output: 2.0
    kernel_size
    weight_filler { type: 'xavier' std: 'x' }
    wrong { deep { deeper: [1, 2] } } stride: 3
  }
  include { phase: TRIAN }
  pad: 1
  name: 'b'
}
layer { lrn_param { norm_region: MEAN } }
layer [ { top: 'x' } ; { } ]
force_backward: yes";
    assert_eq!(
        brief(text),
        [
            "1:1 unknown field `nam` in a net (did you mean `name`?)",
            "4:9 `type` takes a text in quotes, not `Convolution` (write `\"Convolution\"`)",
            "5:11 `bottom` takes a text in quotes, not `5`",
            "7:17 `num_output` takes an integer, 0 or more, not `2.0` (write `2`)",
            "8:5 `kernel_size` has no value (it takes an integer, 0 or more)",
            "9:41 `std` takes a number, not `'x'`",
            "10:5 unknown field `wrong` in `convolution_param` (neither Caffe nor a fork that is known has it)",
            "12:20 `phase` has no value `TRIAN` (did you mean `TRAIN`?)",
            "13:3 unknown field `pad` in `layer` (belongs to `convolution_param` or `pooling_param`)",
            "14:3 `name` is given twice in `layer` (it may come once, and is already in line 3)",
            "16:34 `norm_region` has no value `MEAN` (it takes ACROSS_CHANNELS or WITHIN_CHANNEL)",
            "17:22 the list of `layer` needs `,` or `]` here (found `;`; the list begins in line 17)",
            "18:17 `force_backward` takes true or false, not `yes` (write `true`)",
        ]
    );
}

#[test]
fn a_misplaced_field_is_told_where_it_belongs() {
    let hint = |text: &str| brief(text)[0].clone();
    assert_eq!(
        hint("layer { type: 'Pooling' kernel_size: 3 }"),
        "1:25 unknown field `kernel_size` in `layer` (belongs to `pooling_param`)"
    );
    assert_eq!(
        hint("layer { convolution_param { bottom: 'x' } }"),
        "1:29 unknown field `bottom` in `convolution_param` (belongs to `layer`, outside of `convolution_param`)"
    );
    assert_eq!(
        hint("layer { convolution_param { lr_mult: 1 } }"),
        "1:29 unknown field `lr_mult` in `convolution_param` (belongs to `param`)"
    );
    assert_eq!(
        hint("layer { blobs_lr: 1 }"),
        "1:9 unknown field `blobs_lr` in `layer` (an old form; write `param { lr_mult: ... }`)"
    );
    assert_eq!(hint("bottom: 'x'"), "1:1 unknown field `bottom` in a net (belongs to `layer`)");
    assert_eq!(
        hint("base_lr: 0.1"),
        "1:1 unknown field `base_lr` in a net (this is a field of a solver: is it the right file?)"
    );
    let solver = parse::<SolverParameter>("s", "layer { name: 'a' }").unwrap_err();
    assert_eq!(solver.0[0].hint.as_deref(), Some("this is a field of a net: is it the right file?"));
}

/// The settings of a layer that only others have are like no field of Caffe's; the hint says what to use in its place.
#[test]
fn settings_of_foreign_layers_are_no_slips() {
    let hint = |text: &str| {
        let text = format!("layer {{ {text} }}");
        parse::<NetParameter>("net", text.as_str()).unwrap_err().0[0].hint.clone().unwrap_or_default()
    };
    let instead = |name: &str| crate::config::fork_layer(name).expect("a fork's").1;
    assert_eq!(hint("type: 'Lstm' lstm_param { }"), instead("Lstm"));
    assert_eq!(hint("type: 'Transpose' transpose_param { dim: 1 }"), instead("Transpose"));
    assert_eq!(hint("type: 'SpatialTransformer' st_param { }"), instead("SpatialTransformer"));
    assert_eq!(hint("type: 'Convolution3D' convolution3d_param { }"), instead("Convolution3D"));
    assert_eq!(hint("type: 'MultiBoxLoss' multibox_loss_param { num_classes: 3 }"), instead("MultiBoxLoss"));
    assert_eq!(hint("multibox_loss_param { }"), "these are settings of a layer that cnnctl does not have");
    assert_eq!(hint("type: 'LSTM' lstm_param { }"), "LSTM has its settings in recurrent_param");
    let unheard_of = "neither Caffe nor a fork that is known has it";
    assert_eq!(hint("type: 'Unpooling' unpooling_param { }"), unheard_of);
    assert_eq!(hint("type: 'BoxOutput' box_output_param { }"), unheard_of);
    assert_eq!(hint("type: 'ReLU' re_lu_param { }"), "did you mean `relu_param`?");
    assert_eq!(hint("type: 'Pooling' poling_param { }"), "did you mean `pooling_param`?");
    assert_eq!(hint("type: 'Foreign' poling_param { }"), "did you mean `pooling_param`?");
}

#[test]
fn what_forks_write_otherwise_is_told() {
    assert_eq!(
        brief(
            "layer { pooling_param { kernel_size: 1 kernel_size: 2 } loss_param { normalization: PRE_FIXED } }
layers { type: 'Convolution' } layers { type: 'BatchNorm' } layers { type: 'LRN' }
layers { type: CONVOLUTION3D convolution_param { kernel_depth: 3 } }
layer { convolution_param { kernel_shape { dim: 3 } } dropout_param { scale_train: false } }
item { name: 'x' }
layer { batch_norm_param { scale_bias: true } }"
        ),
        [
            "1:40 `kernel_size` is given twice in `pooling_param` (it may come once, and is already in line 1; \
             `kernel_sizes` takes one for each axis)",
            "1:85 `normalization` has no value `PRE_FIXED` (NONE, with a loss_weight of 1 / pre_fixed_normalizer, is the same)",
            "2:16 `type` takes one of its names, without quotes, not `'Convolution'` (write `CONVOLUTION`, or `layer` in \
             place of `layers`)",
            "2:47 `type` takes one of its names, without quotes, not `'BatchNorm'` (write `layer` in place of `layers`)",
            "2:76 `type` takes one of its names, without quotes, not `'LRN'` (write `LRN`, without quotes)",
            "3:16 `type` has no value `CONVOLUTION3D` (write CONVOLUTION, with kernel_size, stride and pad for depth, \
             height and width)",
            "3:50 `kernel_depth` is a field of the fork C3D of Caffe that is not supported (write kernel_size, stride and \
             pad three times: for depth, height and width)",
            "4:29 `kernel_shape` is a field of the fork video-caffe of Caffe that is not supported (write kernel_size, \
             stride and pad once for each axis)",
            "4:71 `scale_train` is a field of the fork Faster R-CNN of Caffe that is not supported (for false, add a Power \
             layer with scale: 1 - dropout_ratio)",
            "5:1 `item` is a field of the fork SSD of Caffe that is not supported (this is a label map, not a net)",
            "6:28 `scale_bias` is a field of the fork NVCaffe of Caffe that is not supported (instead, add a Scale layer \
             with bias_term: true, and the fillers, behind this one)",
        ]
    );
}

#[test]
fn a_missing_brace_is_one_error() {
    let text = "layer {\n  name: 'a'\n  convolution_param {\n    num_output: 1\n}\nlayer {\n  name: 'b'\n}\n";
    assert_eq!(
        brief(text),
        ["6:1 `layer` cannot stand in `layer` (is a `}` missing above? `layer` opens in line 1)"]
    );
    assert_eq!(
        brief("layer {\n  name: 'a'\n"),
        ["1:7 `layer` is never closed (no brace below matches this one)"]
    );
    assert_eq!(
        brief("layer { }\n}\nname: 1"),
        [
            "2:1 nothing is open here that this brace could close",
            "3:7 `name` takes a text in quotes, not `1`",
        ]
    );
}

#[test]
fn a_bare_path_is_one_error_and_is_quoted_whole() {
    let text =
        "layer {\n  name: nets/a-1.x#c\n  top: /data/b; top: ../c\n  bottom: C:\\d bottom: e'f g' }\nname: n";
    assert_eq!(
        brief(text),
        [
            "2:9 `name` takes a text in quotes, not `nets/a-1.x` (write `\"nets/a-1.x\"`)",
            "3:8 `top` takes a text in quotes, not `/data/b` (write `\"/data/b\"`)",
            "3:22 `top` takes a text in quotes, not `../c` (write `\"../c\"`)",
            "4:11 `bottom` takes a text in quotes, not `C:\\d` (write `\"C:\\\\d\"`)",
            "4:24 `bottom` takes a text in quotes, not `e'f g'`",
            "5:7 `name` takes a text in quotes, not `n` (write `\"n\"`)",
        ]
    );
    let long = format!("name: {}", "folder/".repeat(20));
    let error = &parse::<NetParameter>("net", long.as_str()).unwrap_err().0[0];
    assert_eq!(error.fix, Some(format!("\"{}\"", &long[6..])));
    assert_eq!(error.place.as_ref().map(|p| (p.span.start, p.span.end)), Some((6, long.len() as u32)));
}

#[test]
fn values_that_are_missing_do_not_eat_the_next_line() {
    let text = "name:\nforce_backward: true\nlayer {\n  top:\n}\nlayer { phase: }\nstate: 3";
    assert_eq!(
        brief(text),
        [
            "1:1 `name` has no value (it takes a text in quotes)",
            "4:3 `top` has no value (it takes a text in quotes)",
            "6:9 `phase` has no value (it takes one of its names, without quotes)",
            "7:8 `state` takes fields in braces, not `3`",
        ]
    );
}

#[test]
fn odd_spellings_are_read_with_one_warning_each() {
    let text = "layer { type: 'CONVOLUTION' convolution_param { weight_filter { type: 'xavier' } } }
layer { type: 'CONVOLUTION' convolution_param { weight_filter { } bias_filter { value: 1 } } }
Layers { }";
    let parsed = parse::<NetParameter>("net.prototxt", text).expect("a good text");
    let first = &parsed.message.layer[0];
    assert_eq!(first.r#type(), "Convolution");
    let filler = first.convolution_param.as_ref().and_then(|p| p.weight_filler.as_ref());
    assert_eq!(filler.map(|f| f.r#type()), Some("xavier"));
    assert_eq!(parsed.message.layers.len(), 1);
    let warnings: Vec<&str> = parsed.warnings.iter().map(|w| w.message.as_str()).collect();
    let expected = ["CONVOLUTION", "weight_filter", "bias_filter", "Layers"];
    assert_eq!(warnings, expected.map(|s| format!("`{s}` is not Caffe's spelling")));
    let expected = "\
warning: `CONVOLUTION` is not Caffe's spelling
 --> net.prototxt:1:15
  |
1 | layer { type: 'CONVOLUTION' convolution_param { weight_filter { type: 'xavier' } } }
  |               ^^^^^^^^^^^^^ read as `Convolution`, the standard name
  = note: `CONVOLUTION` stands in 2 places";
    assert_eq!(parsed.warnings[0].to_string(), expected);
    let span = parsed.spans.field(first.cnnctl_origin(), "convolution_param.weight_filler.type");
    assert_eq!(span.map(|s| parsed.source.slice(s.focus())), Some("'xavier'"));
}

#[test]
fn every_layer_knows_its_place_in_solvers_too() {
    let text = "net_param { layer { name: 'a' } layers { name: 'b' layer { name: 'c' } } }";
    let parsed = parse::<SolverParameter>("s", text).expect("a good text");
    let net = parsed.message.net_param.expect("given");
    let name = |origin| parsed.spans.field(origin, "name").map(|s| parsed.source.slice(s.value));
    assert_eq!(name(net.layer[0].cnnctl_origin()), Some("'a'"));
    assert_eq!(name(net.layers[0].cnnctl_origin()), Some("'b'"));
    let inner = net.layers[0].layer.as_ref().expect("given");
    assert_eq!(name(inner.cnnctl_origin()), Some("'c'"));
}

/// Ten megabytes of each of these would take minutes if any step were quadratic; here a fortieth must do.
#[test]
fn hostile_texts_end_in_few_errors() {
    const BYTES: usize = 1 << 18;
    for piece in
        ["{", "}", "[", "layer {", "layer: [", "x: {", "a", "a ", "a\n", "1", "'", "\\", "-", "layer{a<", "é"]
    {
        let text = piece.repeat(BYTES / piece.len());
        let Err(diagnostics) = parse::<NetParameter>("net", text) else { panic!("{piece} was taken") };
        assert!((1..=1000).contains(&diagnostics.0.len()), "{piece}: {}", diagnostics.0.len());
        assert!(folded(&diagnostics.0).len() <= 100, "{piece}");
        assert!(diagnostics.to_string().len() < 100_000, "{piece}");
    }
    assert_eq!(brief(&"layer{}".repeat(70_000)), ["1:458753 more than 65536 layers"]);
    let unclosed = format!("layer {{ bottom: [{}", "'a',".repeat(BYTES / 4));
    assert_eq!(brief(&unclosed).len(), 2);
}
