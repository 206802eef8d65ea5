//! `cnnctl parse-log` and `cnnctl plot`: from logs and metrics to tables and pictures.

use crate::common::Folder;

/// A log as Caffe writes it, over midnight and a new year.
const LOG: &str = include_str!("logs/caffe.INFO");

fn log(text: &str) -> Folder {
    let folder = Folder::new();
    folder.write("caffe.INFO", text);
    folder
}

/// The tables of `parse-log`, without the carriage returns that end Caffe's lines too.
fn tables(folder: &Folder, log: &str) -> [String; 2] {
    folder.done(&["parse-log", log, "out"]);
    ["train", "test"].map(|kind| {
        let table = String::from_utf8(folder.read(&format!("out/{log}.{kind}"))).unwrap();
        assert_eq!(table.matches('\n').count(), table.matches("\r\n").count());
        table.replace('\r', "")
    })
}

#[test]
fn tables_are_those_of_parse_log_py() {
    // What Caffe's tool writes for this log, but for the rate of iteration 200: there it writes that of iteration 100.
    let train = "NumIters,Seconds,LearningRate,loss
0.0,20.885048,0.01,2.31164
100.0,60.279941,0.01,0.241907
200.0,119.624917,0.001,5.61e-05
300.0,158.979936,0.001,0.0841
";
    let test = "NumIters,Seconds,LearningRate,accuracy,loss
0.0,20.480112,0.01,0.0981,2.33812
200.0,119.229899,0.001,0.9436,0.187721
400.0,218.479899,0.001,0.9655,0.112
";
    let folder = log(LOG);
    assert_eq!(tables(&folder, "caffe.INFO"), [train, test]);
    folder.done(&["parse-log", "caffe.INFO", "--delimiter", ";", "--verbose"]);
    let table = String::from_utf8(folder.read("caffe.INFO.test")).unwrap();
    assert!(table.starts_with("NumIters;Seconds;LearningRate;accuracy;loss\r\n0.0;20.480112;"), "{table}");
}

#[test]
fn a_resumed_run_is_told_once() {
    let resumed = LOG.find("I0101 00:00:50.000055").unwrap();
    let resumed = format!(
        "{}{}",
        &LOG[..resumed],
        "\
I0102 10:00:00.000000  5000 caffe.cpp:241] Resuming from lenet_iter_200.solverstate
I0102 10:00:00.500000  5000 sgd_solver.cpp:318] SGDSolver: restoring history
I0102 10:00:01.000000  5000 solver.cpp:279] Solving LeNet
I0102 10:00:01.500000  5000 solver.cpp:337] Iteration 200, Testing net (#0)
I0102 10:00:21.500000  5000 solver.cpp:404]     Test net output #0: accuracy = 0.95
I0102 10:00:21.500001  5000 solver.cpp:404]     Test net output #1: loss = 0.2 (* 1 = 0.2 loss)
I0102 10:00:22.000000  5000 solver.cpp:228] Iteration 200, loss = 0.1
I0102 10:00:22.000001  5000 solver.cpp:244]     Train net output #0: loss = -nan (* 1 = -nan loss)
I0102 10:00:22.000002  5000 sgd_solver.cpp:106] Iteration 200, lr = 0.001
"
    );
    let folder = log(&resumed);
    let [train, test] = tables(&folder, "caffe.INFO");
    let iterations = |table: &str| -> Vec<String> {
        table.lines().skip(1).map(|l| l.split(',').next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (iterations(&train), iterations(&test)),
        (vec!["0.0".into(), "100.0".into(), "200.0".into()], vec!["0.0".into(), "200.0".into()])
    );
    assert!(train.ends_with("200.0,122530.9799,0.001,nan\n"), "{train}");
    assert!(test.ends_with(",0.95,0.2\n"), "{test}");
    let (_, log) = folder.done(&["parse-log", "caffe.INFO", "out"]);
    assert!(log.contains("line 38: the run goes back from iteration 300 to 200"), "{log}");
}

#[test]
fn logs_without_times_and_with_odd_outputs() {
    let text = "Iteration 0, Testing net (#0)
    Test net output #0: p = 0.1
    Test net output #1: p = 0.2
Iteration 0, Testing net (#1)
    Test net output #0: p = 0.3
Iteration 0, loss = 3
    Train net output #0: a = 1 (* 1 = 1 loss)
    Train net output #1: b = inf (* 0.3 = inf loss)
Iteration 0, lr = 1e-06
Iteration 10, loss = 2
    Train net output #0: a = 0.5 (* 1 = 0.5 loss)
Iteration 10, lr = 1e-07
";
    let folder = log(text);
    let train = "NumIters,Seconds,LearningRate,a,b\n0.0,nan,1e-06,1.0,inf\n10.0,nan,1e-07,0.5,\n";
    let test = "NumIters,Seconds,LearningRate,p,p[1],p#1\n0.0,nan,1e-06,0.1,0.2,0.3\n";
    assert_eq!(tables(&folder, "caffe.INFO"), [train, test]);
    let (status, _, log) = folder.run(&["parse-log", "net.prototxt"]);
    assert_eq!(status, 5, "{log}");
    assert!(log.contains("error: net.prototxt: tells of no iteration"), "{log}");
}

#[test]
fn our_own_logs_give_what_the_metrics_say() {
    let folder = Folder::new();
    let train = ["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl", "--log-format"];
    for form in ["caffe", "json"] {
        let (_, log) = folder.done(&[&train[..], &[form]].concat());
        folder.write(form, log);
        let [train, test] = tables(&folder, form);
        let rows = |table: &str| -> Vec<Vec<f64>> {
            table.lines().skip(1).map(|l| l.split(',').map(|c| c.parse().unwrap()).collect()).collect()
        };
        let lines = String::from_utf8(folder.read("m.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let of = |event: &str, every: i64| {
            let lines =
                lines.iter().filter(|l| l["event"] == event && l["iter"].as_i64().unwrap() % every == 0);
            lines.cloned().collect::<Vec<_>>()
        };
        let near = |a: f64, b: &serde_json::Value| (a - b.as_f64().unwrap()).abs() < 1e-5 * a.abs();
        let (train, test) = (rows(&train), rows(&test));
        assert_eq!((train.len(), test.len()), (4, 3), "{form}");
        for (row, line) in train.iter().zip(of("train", 5)) {
            assert_eq!(row[0], line["iter"].as_f64().unwrap());
            assert!(
                row[1] >= 0.0 && near(row[2], &line["lr"]) && near(row[3], &line["outputs"]["loss"]),
                "{row:?}"
            );
        }
        for (row, line) in test.iter().zip(of("test", 1)) {
            let outputs = &line["outputs"];
            assert!(near(row[3], &outputs["accuracy"]) && near(row[4], &outputs["loss"]), "{row:?}");
        }
    }
}

/// The points of a picture's lines that are drawn in a colour.
fn points(svg: &str, color: &str) -> Vec<Vec<[f64; 2]>> {
    let lines =
        svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(&format!("stroke=\"{color}\"")));
    let pair = |point: &str| {
        let (x, y) = point.split_once(',').unwrap();
        [x.parse().unwrap(), y.parse().unwrap()]
    };
    lines.map(|l| l.split('"').nth(1).unwrap().split(' ').map(pair).collect()).collect()
}

/// The places of texts.
fn text_place(svg: &str, text: &str) -> Vec<[f64; 2]> {
    let lines = svg.lines().filter(|l| l.ends_with(&format!(">{text}</text>")));
    lines
        .map(|l| {
            [l.split('"').nth(1).unwrap().parse().unwrap(), l.split('"').nth(3).unwrap().parse().unwrap()]
        })
        .collect()
}

#[test]
fn a_curve_goes_through_its_points() {
    let folder = Folder::new();
    let line = |i: i32, loss: f64| {
        format!("{{\"event\":\"train\",\"iter\":{i},\"loss\":{loss},\"outputs\":{{}}}}\n")
    };
    folder.write("run.jsonl", [line(0, 4.0), line(10, 2.0), line(20, 3.0), line(40, 1.0)].concat());
    folder.done(&["plot", "run.jsonl", "-o", "out/a.svg"]);
    let svg = String::from_utf8(folder.read("out/a.svg")).unwrap();
    let curves = points(&svg, "#0072b2");
    let [curve] = &curves[..] else { panic!("{svg}") };
    // By the numbers on the edges: where 0 and 40 stand below, and 0 and 4 beside (4 lower than their texts).
    let [[left, _], [right, _]] = ["0", "40"].map(|t| *text_place(&svg, t).last().unwrap());
    let [bottom, top] = ["0", "4"].map(|t| text_place(&svg, t)[0][1] - 4.0);
    let wanted = [[0.0, 4.0], [10.0, 2.0], [20.0, 3.0], [40.0, 1.0]];
    assert_eq!(curve.len(), 4);
    for (found, [x, y]) in curve.iter().zip(wanted) {
        let place = [left + (right - left) * x / 40.0, bottom + (top - bottom) * y / 4.0];
        assert!(
            (found[0] - place[0]).abs() < 0.2 && (found[1] - place[1]).abs() < 0.2,
            "{found:?} {place:?}"
        );
    }
    assert_eq!((text_place(&svg, "train 1.000").len(), text_place(&svg, "run").len()), (1, 1));
}

#[test]
fn runs_are_compared_from_files_of_every_kind() {
    let folder = log(LOG);
    let metrics = ["--metrics", "m.csv", "--metrics", "m.jsonl", "--metrics-time"];
    folder.done(&[&["train", "--solver", "solver.prototxt"], &metrics[..]].concat());
    tables(&folder, "caffe.INFO");
    let runs = ["caffe.INFO", "m.csv", "js=m.jsonl", "out/caffe.INFO.test"];
    let (_, log) = folder.done(&[&["plot", "-o", "a.svg", "--y", "loss,acc,lr"], &runs[..]].concat());
    assert!(log.contains("Wrote a.svg"), "{log}");
    let svg = String::from_utf8(folder.read("a.svg")).unwrap();
    for name in ["loss", "accuracy", "lr", "caffe", "m", "js", "caffe.INFO", "iteration", "training", "tests"]
    {
        assert_eq!(text_place(&svg, name).len(), 1, "{name}");
    }
    // Tests of three runs, over two panels; the two forms of one run lie on each other.
    let [csv, json] = ["#d55e00", "#009e73"].map(|color| points(&svg, color));
    assert_eq!(csv.iter().filter(|line| line.len() == 3).count(), 2);
    assert_eq!(
        csv.iter().filter(|l| l.len() > 2).collect::<Vec<_>>(),
        json.iter().filter(|l| l.len() > 2).collect::<Vec<_>>()
    );
    for (options, along) in [(["--x", "time"], "seconds"), (["--x", "epoch"], "epoch")] {
        folder.done(&[&["plot", "m.csv", "m.jsonl", "-o", "b.svg"], &options[..]].concat());
        assert_eq!(text_place(&String::from_utf8(folder.read("b.svg")).unwrap(), along).len(), 1);
    }
}

#[test]
fn pictures_have_the_size_that_is_asked_for() {
    let folder = log(LOG);
    let mut sizes = Vec::new();
    for scale in ["1", "2"] {
        folder.done(&["plot", "caffe.INFO", "-o", "a.png", "--scale", scale, "--log-scale"]);
        let image = image::load_from_memory(&folder.read("a.png")).unwrap().to_rgb8();
        sizes.push(image.width());
        // The curve of training has left its colour.
        let blue = image.pixels().filter(|p| p.0 == [0x00, 0x72, 0xb2]).count();
        assert!(blue > 100, "{blue}");
    }
    assert_eq!(sizes, [880, 1760]);
}

#[test]
fn a_terminal_gets_dots() {
    let folder = log(LOG);
    let (out, _) = folder.done(&["plot", "caffe.INFO", "--y", "accuracy"]);
    assert!(out.starts_with("caffe\n\naccuracy: test 0.9655\n"), "{out}");
    assert!(out.contains('\u{2809}') || out.contains('\u{2812}') || out.contains('\u{2801}'), "{out}");
    assert!(out.trim_end().ends_with("iteration"), "{out}");
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let folder = log(LOG);
    let cases = [
        (&["plot", "caffe.INFO", "-o", "a.gif"][..], 2, "a.gif: a picture ends in .png or .svg"),
        (&["plot", "caffe.INFO", "--y", "wombat"], 2, "no run has `wombat`; there are loss, accuracy, lr"),
        (&["plot", "caffe.INFO", "--x", "epoch"], 2, "`caffe` does not tell epochs"),
        (&["plot", "net.prototxt"], 5, "net.prototxt: tells of no iteration"),
        (&["plot", "none"], 2, "error: cannot read none: "),
    ];
    for (arguments, status, message) in cases {
        let (found, _, log) = folder.run(arguments);
        assert_eq!(found, status, "{arguments:?}: {log}");
        assert!(log.contains(message), "{log}");
    }
}
