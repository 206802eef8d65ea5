//! The dashboard over a real socket: what it tells of runs, live, dead and half-written, and whom it tells it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use crate::common::Folder;
use cnnctl::report::{
    runs::Runs,
    web::{self, Guard},
};
use serde_json::Value;

/// A dashboard in this process, until it is dropped.
struct Page {
    at: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Page {
    fn of(folder: &Path) -> Self {
        Self::with_token(folder, None)
    }

    fn with_token(folder: &Path, token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let runs = Runs::new(vec![folder.to_owned()]).unwrap();
        let guard = Guard::new(at, token.map(str::to_owned), Vec::new());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async { stopped.await.unwrap_or_default() };
        let thread =
            thread::spawn(move || web::serve(listener, runs, "runs".into(), guard, stopped).unwrap());
        Self { at, stop: Some(stop), thread: Some(thread) }
    }

    /// Sends a request as it stands, and gives the answer's head and body.
    fn send(&self, request: &str) -> (String, String) {
        send(self.at, request)
    }

    /// Asks for a path; gives status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.at));
        (status(&head), body)
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn send(at: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Lines of metrics, an iteration each, with a spike and a hole.
fn metrics(count: usize) -> String {
    let line = |i: usize| {
        let loss = match i {
            5000 => "\"NaN\"".to_owned(),
            7777 => "99.5".to_owned(),
            _ => format!("{}", 1.0 + (i as f32 * 0.01).sin()),
        };
        format!("{{\"event\":\"train\",\"iter\":{i},\"loss\":{loss},\"lr\":0.1,\"outputs\":{{}}}}\n")
    };
    (0..count).map(line).collect()
}

fn make_old(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(600);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn a_long_run_comes_in_few_points_and_without_its_half_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.jsonl");
    fs::write(&file, metrics(20_000) + "{\"event\":\"train\",\"iter\":20000,\"loss\":1000000").unwrap();
    let page = Page::of(folder.path());
    let list = page.json("/api/runs");
    assert_eq!((&list["runs"][0]["id"], &list["runs"][0]["iter"]), (&"long.jsonl".into(), &20_000.into()));
    assert_eq!(list["runs"][0]["state"], "running", "it was written just now");

    let series = page.json("/api/series?id=long.jsonl&points=300");
    let loss = &series["curves"][0];
    let numbers = |name: &str| -> Vec<f64> {
        loss[name].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
    };
    assert_eq!((numbers("iters").len(), numbers("mean").len(), &loss["count"]), (300, 300, &20_000.into()));
    assert_eq!(numbers("high").into_iter().fold(0.0, f64::max), 99.5);
    assert!(numbers("low").into_iter().fold(9.0, f64::min) < 1e-3);
    assert_eq!((numbers("broken"), numbers("iters")[299]), (vec![5000.0], 19_999.0));

    let part = page.json("/api/series?id=long.jsonl&points=300&from=7770&to=7780");
    assert_eq!(part["curves"][0]["iters"], Value::from((7769..=7781).collect::<Vec<_>>()));

    // The other half of the line comes, and more: what is asked for then has it.
    File::options().append(true).open(&file).unwrap().write_all(b"}\n{\"event\":\"tr").unwrap();
    let newer = || page.json("/api/series?id=long.jsonl&points=300")["curves"][0]["count"] == 20_001;
    assert!((0..100_000).any(|_| newer()));
    make_old(&file);
    assert!((0..100_000).any(|_| page.json("/api/runs")["runs"][0]["state"] == "ended"));
}

#[test]
fn only_silence_without_a_lock_is_death() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for name in ["dead", "alive", "stopped"] {
        let mut journal = format!(
            "{{\"event\":\"start\",\"time\":1,\"iter\":0,\"max_iter\":50,\"host\":{:?},\"metrics\":\"{name}.jsonl\",\
             \"prefix\":{:?}}}\n{{\"event\":\"at\",\"time\":9,\"iter\":8}}\n",
            host.trim_end(),
            at(name)
        );
        if name == "stopped" {
            journal += "{\"event\":\"end\",\"time\":11,\"iter\":10,\"how\":\"stopped\",\"why\":\"SIGTERM received\"}\n";
        }
        fs::write(at(&format!("{name}.run")), journal + "{\"event\":\"at\",\"ti").unwrap();
        fs::write(at(&format!("{name}.jsonl")), metrics(8)).unwrap();
        make_old(&at(&format!("{name}.run")));
        make_old(&at(&format!("{name}.jsonl")));
    }
    let lock = File::create(at("alive.lock")).unwrap();
    lock.try_lock().unwrap();
    let page = Page::of(folder.path());
    let list = page.json("/api/runs");
    let told: Vec<_> =
        list["runs"].as_array().unwrap().iter().map(|r| (&r["id"], &r["state"], &r["iter"])).collect();
    let expected = [("alive", "running", 8), ("dead", "died", 8), ("stopped", "stopped", 10)];
    for ((id, state, iter), (name, want, done)) in told.into_iter().zip(expected) {
        assert_eq!((id, state, iter), (&format!("{name}.jsonl").into(), &want.into(), &done.into()));
    }
    assert_eq!(list["runs"][2]["why"], "SIGTERM received");
    drop(lock);
    assert!((0..100_000).any(|_| page.json("/api/runs")["runs"][0]["state"] == "died"));
}

#[test]
fn nothing_but_runs_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("runs")).unwrap();
    fs::write(folder.path().join("secret.jsonl"), metrics(3)).unwrap();
    fs::write(folder.path().join("runs/a.jsonl"), metrics(3)).unwrap();
    let page = Page::of(&folder.path().join("runs"));
    for id in ["../secret.jsonl", "..%2Fsecret.jsonl", "%2Fetc%2Fpasswd", "a.jsonl%00", "a", "", "./a.jsonl"]
    {
        for what in ["run", "series"] {
            assert_eq!(page.get(&format!("/api/{what}?id={id}")).0, 404, "{id}");
        }
    }
    for path in
        ["/../secret.jsonl", "/a.jsonl", "/assets/app.js", "/api", "//style.css", "/%2e%2e/secret.jsonl"]
    {
        assert_eq!(page.get(path).0, 404, "{path}");
    }
    assert_eq!(page.get("/api/series?id=a.jsonl&points=no").0, 400);
    assert_eq!(page.get("/api/run").0, 400);
    assert_eq!(page.get("/api/series?id=a.jsonl&points=99999999999&from=5&to=-5").0, 200);
    let (head, _) =
        page.send(&format!("POST /api/runs HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n", page.at));
    assert_eq!(status(&head), 405);
    let (head, body) = page.send("GET / HTTP/1.1\r\nHost: evil.example\r\n");
    assert!(status(&head) == 421 && !body.contains("<"), "{head}");
}

#[test]
fn answers_are_guarded_and_unchanged_ones_are_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.jsonl"), metrics(3)).unwrap();
    make_old(&folder.path().join("a.jsonl"));
    let page = Page::of(folder.path());
    for path in ["/", "/style.css", "/app.js", "/icon.svg", "/api/runs", "/none"] {
        let (head, _) = page.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"));
        let policy = header(&head, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"));
    }
    let ask = "GET /api/runs HTTP/1.1\r\nHost: localhost\r\n";
    let (head, _) = page.send(ask);
    let tag = header(&head, "etag").unwrap();
    let (head, body) = page.send(&format!("{ask}If-None-Match: {tag}\r\n"));
    assert_eq!((status(&head), &body[..]), (304, ""));
}

#[test]
fn a_token_is_shown_once_and_then_kept_as_a_cookie() {
    let folder = tempfile::tempdir().unwrap();
    let page = Page::with_token(folder.path(), Some("open-sesame"));
    for path in
        ["/", "/api/runs", "/?token=open-sesam", "/?token=", "/?token=open-sesame1", "/?tokens=open-sesame"]
    {
        let (status, body) = page.get(path);
        assert!(status == 401 && !body.contains("sesam"), "{path}: {status} {body}");
    }
    let (head, _) = page.send("GET //evil.example?x=1&token=open-sesame HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    assert_eq!(
        (status(&head), header(&head, "location")),
        (303, Some("/evil.example")),
        "it stays on this host"
    );
    let cookie = header(&head, "set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let with = |cookie: &str| {
        status(
            &page.send(&format!("GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: x=y; {cookie}\r\n")).0,
        )
    };
    assert_eq!((with(pair), with(&pair[..pair.len() - 1]), with("x=open-sesame")), (200, 401, 401));
}

#[test]
fn the_command_shows_a_run_of_train_and_ends_well() {
    let folder = Folder::new();
    fs::create_dir(folder.path("runs")).unwrap();
    folder.done(&["train", "--solver", "solver.prototxt", "--metrics", "runs/tiny.jsonl"]);
    let mut child = folder
        .command(&["dashboard", "runs", "--bind", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let at: SocketAddr =
        address.trim().strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap();
    let ask = |path: &str| -> Value {
        let (head, body) = send(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n"));
        assert_eq!(status(&head), 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    };
    let run = &ask("/api/runs")["runs"][0];
    assert_eq!((&run["state"], &run["iter"], &run["max_iter"]), (&"done".into(), &20.into(), &20.into()));
    assert_eq!(run["epoch"], 62.5, "1000 samples by 16");
    let detail = ask("/api/run?id=tiny.jsonl");
    let setting =
        |name: &str| detail["settings"].as_array().unwrap().iter().find(|s| s[0] == name).unwrap()[1].clone();
    assert_eq!((setting("base_lr"), setting("lr_policy")), ("0.05".into(), "step".into()));
    assert!(detail["net"].as_str().unwrap().contains("type: \"SoftmaxWithLoss\""));
    assert_eq!(detail["snapshots"][0]["file"], "tiny_iter_20.caffemodel");
    let log = detail["log"].as_array().unwrap();
    assert!(log.iter().any(|l| l.as_str().unwrap().contains("Iteration 15, loss")), "{log:?}");
    let series = ask("/api/series?id=tiny.jsonl");
    let names: Vec<_> =
        series["curves"].as_array().unwrap().iter().map(|c| format!("{} {}", c["kind"], c["name"])).collect();
    let want = ["\"test\" \"accuracy\"", "\"test\" \"loss\"", "\"loss\" \"loss\"", "\"rate\" \"lr\""];
    assert_eq!(names, want);
    assert!(series["times"].as_array().unwrap().len() > 1);

    let kill = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What a report holds.
fn data(folder: &Folder, name: &str) -> Value {
    let page = String::from_utf8(folder.read(name)).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    let data = page.split("<script id=\"data\" type=\"application/json\">").nth(1).unwrap();
    serde_json::from_str(data.split("</script>").next().unwrap()).unwrap()
}

#[test]
fn a_report_is_written_however_a_run_ends() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt", "--report", "pages/tiny.html"]);
    let report = data(&folder, "pages/tiny.html");
    let run = &report["runs"][0];
    assert_eq!((&report["title"], &run["summary"]["state"]), (&"tiny".into(), &"done".into()));
    assert_eq!(run["series"]["curves"].as_array().unwrap().len(), 4);
    assert_eq!(run["detail"]["filters"]["shape"], Value::from(vec![4, 1, 3, 3]));
    assert!(run["pictures"]["filters"].as_str().unwrap().starts_with("data:image/png;base64,iVBORw0KGgo"));
    assert!(run["pictures"]["graph"].as_str().unwrap().starts_with("data:image/svg+xml;base64,"));

    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 1000000");
    let stop = [
        "train",
        "--solver",
        "solver.prototxt",
        "--time-budget",
        "1s",
        "--metrics",
        "m",
        "--report",
        "m.html",
    ];
    assert_eq!(folder.run(&stop).0, 75);
    let run = &data(&folder, "m.html")["runs"][0]["summary"];
    assert_eq!((&run["state"], &run["why"]), (&"stopped".into(), &"the time budget is spent".into()));

    folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 1e30");
    let (status, _, log) = folder.run(&["train", "--solver", "solver.prototxt", "--report", "bad.html"]);
    assert_eq!(status, 4, "{log}");
    let run = &data(&folder, "bad.html")["runs"][0]["summary"];
    assert!(run["state"] == "failed" && run["why"].as_str().unwrap().contains("has diverged"), "{run}");

    folder.done(&["report", "pages/tiny.jsonl", "m", "-o", "both.html"]);
    let both = data(&folder, "both.html");
    assert_eq!((&both["title"], both["runs"].as_array().unwrap().len()), (&"2 runs".into(), 2));
    let (status, _, log) = folder.run(&["report", "none", "-o", "x.html"]);
    assert!(status == 2 && log.contains("cannot read none"), "{log}");
    fs::create_dir(folder.path("empty")).unwrap();
    let (status, _, log) = folder.run(&["report", "empty", "-o", "x.html"]);
    assert!(status == 2 && log.contains("no runs to report on"), "{log}");
    fs::write(folder.path("picture"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    for file in ["picture", "net.prototxt"] {
        let (status, _, log) = folder.run(&["report", "m", file, "-o", "x.html"]);
        assert!(status == 5 && log.contains(&format!("error: {file}: tells of no iteration")), "{log}");
    }
    assert!(!folder.path("x.html").exists());
}

#[test]
fn a_resumed_run_goes_on_in_its_journal() {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
    let train = ["train", "--solver", "solver.prototxt", "--metrics", "a.jsonl", "--resume", "auto"];
    folder.done(&train);
    folder.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
    folder.done(&train);
    let page = Page::of(&folder.path(""));
    let run = &page.json("/api/runs")["runs"][0];
    assert_eq!((&run["state"], &run["iter"], &run["max_iter"]), (&"done".into(), &20.into(), &20.into()));
    let facts = page.json("/api/run?id=a.jsonl")["facts"].clone();
    assert!(facts.as_array().unwrap().contains(&serde_json::json!(["processes so far", "2"])), "{facts}");
    let times = page.json("/api/series?id=a.jsonl")["times"].clone();
    let times: Vec<(i32, f64)> = serde_json::from_value(times).unwrap();
    assert!(times.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{times:?}");
    // A run from the start is another run.
    folder.done(&train[..5]);
    assert_eq!(fs::read_to_string(folder.path("a.run")).unwrap().matches("\"event\":\"start\"").count(), 1);
}

#[test]
fn a_page_for_other_hosts_has_a_token() {
    let folder = Folder::new();
    let mut child =
        folder.command(&["dashboard", ".", "--bind", "0.0.0.0:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let (at, token) = address.trim().split_once("/?token=").unwrap();
    let (name, port) = at.strip_prefix("http://").unwrap().rsplit_once(':').unwrap();
    let at: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let (head, _) = send(at, &format!("GET /?token={token} HTTP/1.1\r\nHost: {name}:{port}\r\n"));
    assert_eq!(status(&head), 303, "it goes by the name that it shows, {name}");
    let ask = |path: &str| status(&send(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n")).0);
    assert_eq!((ask("/"), ask(&format!("/?token={token}")), token.len()), (401, 303, 32));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (status, _, log) = folder.run(&["dashboard", "nowhere"]);
    assert!(status == 2 && log.contains("cannot read nowhere: "), "{log}");
    let (status, _, log) = folder.run(&["dashboard", ".", "--token", "short"]);
    assert!(status == 2 && log.contains("at least 8"), "{log}");
}
