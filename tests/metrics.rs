//! What `cnnctl train` leaves beside its log: metrics as JSON lines and as a table, and TensorBoard's event files.

use std::fs;

use cnnctl::report::tensorboard::{
    self,
    proto::{
        Event, GraphDef, attribute, event::What, session_log::Status, summary::Value,
        summary::value::Value as Kind,
    },
};
use prost::Message as _;

use crate::common::Folder;

const TRAIN: [&str; 5] = ["train", "--solver", "solver.prototxt", "--resume", "auto"];

/// A folder whose run ends at iteration 14, with a snapshot of iteration 10 and lines beyond that; then it is to go on to 20.
fn broken_off(arguments: &[&str]) -> Folder {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 14 snapshot_after_train: false");
    folder.done(&[&TRAIN[..], arguments].concat());
    folder.edit("solver.prototxt", "max_iter: 14", "max_iter: 20");
    folder
}

#[test]
fn lines_that_a_full_disk_has_cost_are_missed_at_a_resume() {
    for name in ["m.jsonl", "m.csv"] {
        let folder = Folder::new();
        folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
        let train = ["train", "--solver", "solver.prototxt", "--resume", "auto", "--metrics", name];
        folder.done(&train);
        folder.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
        let text = String::from_utf8(folder.read(name)).unwrap();
        // A test and five iterations; the table has a head, too.
        folder.write(name, text.lines().take(6).map(|line| format!("{line}\n")).collect::<String>());
        let (_, log) = folder.done(&train);
        let last = if name == "m.csv" { 3 } else { 4 };
        let expected = format!(
            "{name} ends with iteration {last}, and the run goes on from 10: the lines between are lost"
        );
        assert_eq!(log.matches(&expected).count(), 1, "{log}");
        // Where nothing is missing there is nothing to say.
        let (_, log) = folder.done(&train);
        assert!(!log.contains("the lines between are lost"), "{log}");
    }
}

#[test]
fn a_resumed_run_leaves_the_table_of_an_unbroken_one() {
    let whole = Folder::new();
    let both = ["--metrics", "m.csv", "--metrics", "m.jsonl"];
    whole.done(&[&TRAIN[..], &both].concat());
    let folder = broken_off(&both);
    // A kill may cut the last line short.
    let mut cut = folder.read("m.csv");
    cut.truncate(cut.len() - 3);
    folder.write("m.csv", cut);
    folder.done(&[&TRAIN[..], &both].concat());
    let table = String::from_utf8(folder.read("m.csv")).unwrap();
    assert_eq!(table, String::from_utf8(whole.read("m.csv")).unwrap());
    assert_eq!(folder.read("m.jsonl"), whole.read("m.jsonl"));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0].join(","), "event,iter,epoch,net,loss,lr,outputs.loss,outputs.accuracy");
    assert_eq!(rows.len(), 1 + 20 + 3);
    // What the lines say stands in the rows.
    let lines = String::from_utf8(folder.read("m.jsonl")).unwrap();
    for (line, row) in lines.lines().zip(&rows[1..]) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        let fixed = ["event", "iter", "epoch", "net", "loss", "lr"].map(|name| text(&line[name]));
        let outputs = ["loss", "accuracy"].map(|name| text(&line["outputs"][name]));
        assert_eq!(*row, [&fixed[..], &outputs].concat());
    }
    // 16 of 1000 samples an iteration.
    assert_eq!(rows.last().unwrap()[..3], ["test", "20", "0.32"]);
}

#[test]
fn a_table_of_another_net_is_left_alone() {
    let folder = broken_off(&["--metrics", "m.csv"]);
    folder.write("m.csv", "a,b\n1,2\n");
    let (status, _, log) = folder.run(&[&TRAIN[..], &["--metrics", "m.csv"]].concat());
    assert_eq!(status, 1, "{log}");
    assert!(log.contains("error: cannot go on with m.csv: its first line is not\n    event,iter,"), "{log}");
    assert_eq!(folder.read("m.csv"), b"a,b\n1,2\n");
}

#[test]
fn lines_tell_the_time_if_asked() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.csv", "--metrics-time"]);
    let table = String::from_utf8(folder.read("m.csv")).unwrap();
    let mut rows = table.lines().map(|line| line.split(',').nth(6).unwrap());
    assert_eq!(rows.next(), Some("time"));
    let times: Vec<f64> = rows.map(|time| time.parse().unwrap()).collect();
    assert!(times[0] > 1.7e9 && times.is_sorted(), "{times:?}");
}

/// The events of each of a folder's files, in the order in which TensorBoard reads them.
fn events(folder: &Folder, name: &str) -> Vec<Vec<Event>> {
    let mut files: Vec<_> = fs::read_dir(folder.path(name)).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let read = |path| tensorboard::read(&fs::read(path).unwrap()).unwrap();
    files.into_iter().map(read).collect()
}

/// The values under a tag, with their steps.
fn values<'a>(events: &'a [Event], tag: &str) -> Vec<(i64, &'a Value)> {
    let mut found = Vec::new();
    for event in events {
        let Some(What::Summary(summary)) = &event.what else { continue };
        found.extend(summary.value.iter().filter(|v| v.tag == tag).map(|v| (event.step, v)));
    }
    found
}

fn scalars(events: &[Event], tag: &str) -> Vec<(i64, f32)> {
    let number = |value: &Value| match value.value {
        Some(Kind::SimpleValue(v)) => v,
        ref other => panic!("{tag}: {other:?}"),
    };
    values(events, tag).into_iter().map(|(step, value)| (step, number(value))).collect()
}

#[test]
fn event_files_hold_the_run() {
    let folder = Folder::new();
    let board = ["--tensorboard", "tb/run", "--histograms", "10", "--metrics", "m.jsonl"];
    folder.done(&[&TRAIN[..], &board].concat());
    let files = events(&folder, "tb/run");
    let [events] = &files[..] else { panic!("{} files", files.len()) };
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
    assert!(events.iter().all(|e| e.wall_time > 1.7e9));

    let lines = String::from_utf8(folder.read("m.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |event: &str, get: &dyn Fn(&serde_json::Value) -> f64| -> Vec<(i64, f32)> {
        let lines = lines.iter().filter(|l| l["event"] == event);
        lines.map(|l| (l["iter"].as_i64().unwrap(), get(l) as f32)).collect()
    };
    let train = of("train", &|l| l["outputs"]["loss"].as_f64().unwrap());
    assert_eq!((train.len(), &train), (20, &scalars(events, "train/loss")));
    let rates = of("train", &|l| l["lr"].as_f64().unwrap());
    assert_eq!(rates, scalars(events, "settings/learning_rate"));
    for output in ["accuracy", "loss"] {
        let test = of("test", &|l| l["outputs"][output].as_f64().unwrap());
        assert_eq!((test.len(), &test), (3, &scalars(events, &format!("test/{output}"))));
    }

    for (tag, count) in [("weights/conv/0", 36.0), ("gradients/conv/1", 4.0), ("gradients/ip/0", 1440.0)] {
        let found = values(events, tag);
        assert_eq!(found.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 10], "{tag}");
        for (_, value) in found {
            let Some(Kind::Histo(histogram)) = &value.value else { panic!("{tag}: {value:?}") };
            assert_eq!((histogram.num, histogram.bucket.iter().sum::<f64>()), (count, count), "{tag}");
            assert!(
                histogram.bucket_limit.is_sorted() && histogram.bucket_limit.last() == Some(&histogram.max)
            );
            assert!(histogram.min < histogram.max, "{tag}: {histogram:?}");
        }
    }

    let pictures = values(events, "filters/conv");
    assert_eq!(pictures.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 10, 20]);
    let Some(Kind::Image(picture)) = &pictures[0].1.value else { panic!("{pictures:?}") };
    let image = image::load_from_memory(&picture.encoded_image_string).unwrap();
    // Four filters of 3 x 3, eight times as large, with lines of a pixel between them.
    assert_eq!((image.width(), image.height(), picture.colorspace), (49, 49, 4));
}

#[test]
fn the_graph_is_the_nets() {
    let folder = Folder::new();
    folder.done(&[&TRAIN[..], &["--tensorboard", "tb"]].concat());
    let events = events(&folder, "tb").remove(0);
    let graphs: Vec<GraphDef> = events
        .iter()
        .filter_map(|event| match &event.what {
            Some(What::GraphDef(bytes)) => Some(GraphDef::decode(&bytes[..]).unwrap()),
            _ => None,
        })
        .collect();
    let [graph] = &graphs[..] else { panic!("{} graphs", graphs.len()) };
    let nodes: Vec<_> = graph.node.iter().map(|n| (&n.name[..], &n.op[..], n.input.join(" "))).collect();
    let wanted = [
        ("digits", "Data", ""),
        ("conv", "Convolution", "digits"),
        ("relu", "ReLU", "conv"),
        ("drop", "Dropout", "relu"),
        ("ip", "InnerProduct", "drop"),
        ("loss", "SoftmaxWithLoss", "ip digits:1"),
    ];
    assert_eq!(nodes, wanted.map(|(name, op, input)| (name, op, input.to_owned())));
    let conv = &graph.node[1].attr;
    let Some(attribute::Value::List(shapes)) = &conv["_output_shapes"].value else { panic!("{conv:?}") };
    assert_eq!(shapes.shape[0].dim.iter().map(|d| d.size).collect::<Vec<_>>(), [16, 4, 6, 6]);
    assert_eq!(conv["parameters"].value, Some(attribute::Value::I(40)));
    let Some(attribute::Value::S(settings)) = &conv["settings"].value else { panic!("{conv:?}") };
    assert!(String::from_utf8_lossy(settings).contains("kernel_size: 3"));
    let solver = values(&events, "solver");
    let Some(Kind::Tensor(text)) = &solver[0].1.value else { panic!("{solver:?}") };
    assert!(String::from_utf8_lossy(&text.string_val[0]).contains("lr_policy: \"step\""));
}

#[test]
fn a_resumed_run_says_which_steps_it_takes_back() {
    let whole = Folder::new();
    whole.done(&[&TRAIN[..], &["--tensorboard", "tb"]].concat());
    let whole = events(&whole, "tb").remove(0);
    let folder = broken_off(&["--tensorboard", "tb"]);
    folder.done(&[&TRAIN[..], &["--tensorboard", "tb"]].concat());
    let files = events(&folder, "tb");
    assert_eq!(files.len(), 2);
    let marks: Vec<_> = files
        .iter()
        .map(|events| {
            let marks = events.iter().filter_map(|event| match &event.what {
                Some(What::SessionLog(log)) => Some((event.step, log.status())),
                _ => None,
            });
            marks.collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(marks[0], [(0, Status::Start), (14, Status::Stop)]);
    assert_eq!(marks[1], [(10, Status::Start), (20, Status::Stop)]);
    // TensorBoard drops what stands at the mark and beyond, as it reads on.
    let mut joined = scalars(&files[0], "train/loss");
    joined.retain(|(step, _)| *step < 10);
    joined.extend(scalars(&files[1], "train/loss"));
    assert_eq!(joined, scalars(&whole, "train/loss"));
    let graphs = files.iter().flatten().filter(|e| matches!(e.what, Some(What::GraphDef(_))));
    assert_eq!(graphs.count(), 1);
}
