#!/usr/bin/env python3
"""Event files of `cnnctl train --tensorboard`, opened by TensorBoard itself.

    python3 -m venv /tmp/tensorboard
    /tmp/tensorboard/bin/pip install tensorboard
    /tmp/tensorboard/bin/python scripts/tensorboard_check.py target/release/cnnctl

Trains the digits model twice: in one go, and with a kill and a resumption. Reads the files with
TensorBoard's own loader, then starts its server, both with and without its fast reader, and asks it for scalars, histograms,
images, texts and the graph. Needs the package named above, which CI does not install: run it by hand after a change of
src/report/tensorboard. Prints one line for each check and exits with 1 if one fails.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = pathlib.Path(__file__).resolve().parent.parent
ITERATIONS = 400
failures = []


def check(what, right, detail=""):
    print(f"{'ok  ' if right else 'FAIL'}  {what}{': ' + str(detail) if detail != '' else ''}", flush=True)
    if not right:
        failures.append(what)


def arguments(cnnctl, folder, run):
    solver = (ROOT / "solvers/digits.prototxt").read_text()
    for old, new in (
        ("max_iter: 1200", f"max_iter: {ITERATIONS}"),
        ("test_interval: 200", "test_interval: 50"),
        ("snapshot: 600", "snapshot: 100"),
        ("snaps/digits", f"{folder}/{run}"),
    ):
        assert old in solver, old
        solver = solver.replace(old, new)
    path = folder / f"{run}.prototxt"
    path.write_text(solver)
    train = [cnnctl, "train", "--solver", path, "--resume", "auto", "--metrics", folder / f"{run}.jsonl"]
    return train + ["--tensorboard", folder / "runs" / run, "--histograms", "100"]


def train_whole(cnnctl, folder, run):
    command = arguments(cnnctl, folder, run)
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)


def train_killed(cnnctl, folder, run):
    """Kills the run between two snapshots, and lets it go on."""
    command = arguments(cnnctl, folder, run)
    first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    lines = folder / f"{run}.jsonl"
    while first.poll() is None and not (lines.exists() and lines.read_text().count("\n") > 240):
        time.sleep(0.02)
    alive = first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    check("the run was killed on its way", alive, f"after {lines.read_text().count('train')} iterations")
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)


def metrics(folder, run):
    return [json.loads(line) for line in (folder / f"{run}.jsonl").read_text().splitlines()]


def check_loader(folder, run):
    loaded = EventAccumulator(str(folder / "runs" / run), size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    loaded.Reload()
    tags = loaded.Tags()
    lines = metrics(folder, run)

    def same(tag, event, get):
        found = [(s.step, s.value) for s in loaded.Scalars(tag)]
        wanted = [(line["iter"], get(line)) for line in lines if line["event"] == event]
        near = len(found) == len(wanted) and all(
            f[0] == w[0] and abs(f[1] - w[1]) <= 1e-6 * abs(w[1]) for f, w in zip(found, wanted)
        )
        check(f"{run}: {tag}", near, f"{len(found)} points, last {found[-1]}")

    same("train/loss", "train", lambda line: line["outputs"]["loss"])
    same("settings/learning_rate", "train", lambda line: line["lr"])
    same("test/accuracy", "test", lambda line: line["outputs"]["accuracy"])
    same("test/loss", "test", lambda line: line["outputs"]["loss"])
    weights = loaded.Histograms("weights/conv1/0")
    values = [h.histogram_value for h in weights]
    check(
        f"{run}: histograms",
        [h.step for h in weights] == list(range(0, ITERATIONS, 100)) and all(v.num == 288 == sum(v.bucket) for v in values),
        f"{len(tags['histograms'])} tags, steps {[h.step for h in weights]}",
    )
    images = loaded.Images("filters/conv1")
    image = images[-1]
    check(
        f"{run}: filters",
        image.encoded_image_string.startswith(b"\x89PNG"),
        f"{len(images)} pictures of {image.width} x {image.height}",
    )
    graph = loaded.Graph()
    check(f"{run}: graph", any(n.name == "conv1" and n.input[0] == "data" for n in graph.node), f"{len(graph.node)} nodes")
    check(f"{run}: speed", any(tag.startswith("speed/") for tag in tags["scalars"]), ", ".join(tags["scalars"]))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_server(folder, fast):
    port = free_port()
    way = "fast reader" if fast else "Python reader"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder / "runs", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--load_fast", "true" if fast else "false"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path, **query):
        url = f"http://127.0.0.1:{port}/data/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read()

    def wait_for(get, enough):
        """The server answers before it has read everything."""
        for _ in range(240):
            try:
                found = get()
                if enough(found):
                    return found
            except OSError:
                pass
            time.sleep(0.25)
        return get()

    def scalars(run, tag):
        return json.loads(ask("plugin/scalars/scalars", run=run, tag=tag))

    try:
        runs = wait_for(lambda: json.loads(ask("runs")), lambda runs: len(runs) == 2)
        check(f"{way}: runs", sorted(runs) == ["killed", "whole"], runs)
        for run in runs:
            test = wait_for(lambda: scalars(run, "test/accuracy"), lambda points: points[-1][1] == ITERATIONS)
            wanted = [(m["iter"], m["outputs"]["accuracy"]) for m in metrics(folder, run) if m["event"] == "test"]
            found = [(step, value) for _, step, value in test]
            near = len(found) == len(wanted) and all(f[0] == w[0] and abs(f[1] - w[1]) < 1e-6 for f, w in zip(found, wanted))
            check(f"{way}: {run}: scalars", near, f"{len(found)} tests, last {found[-1]}")
            steps = [step for _, step, _ in scalars(run, "train/loss")]
            check(f"{way}: {run}: steps", steps == list(range(ITERATIONS)), f"{len(steps)} from {steps[0]} to {steps[-1]}")
            histograms = json.loads(ask("plugin/histograms/histograms", run=run, tag="weights/conv1/0"))
            steps = [h[1] for h in histograms]
            total = sum(bucket[2] for bucket in histograms[-1][2])
            check(f"{way}: {run}: histograms", steps == [0, 100, 200, 300] and round(total) == 288, f"steps {steps}, {total:g} values")
            images = json.loads(ask("plugin/images/images", run=run, tag="filters/conv1", sample=0))
            query = images[-1]["query"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/images/individualImage?{query}") as answer:
                picture = answer.read()
            check(f"{way}: {run}: images", picture.startswith(b"\x89PNG"), f"{len(images)}, the last of {len(picture)} bytes")
            graph = ask("plugin/graphs/graph", run=run).decode()
            check(f"{way}: {run}: graph", graph.count("node {") == 11 and 'op: "Convolution"' in graph, f"{graph.count('node {')} nodes")
            text = json.loads(ask("plugin/text/text", run=run, tag="solver"))
            check(f"{way}: {run}: text", "<pre>" in text[-1]["text"] and "lr_policy" in text[-1]["text"], text[-1]["text"][:40])
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cnnctl", type=pathlib.Path, help="the program to check")
    cnnctl = parser.parse_args().cnnctl.resolve()
    import tensorboard

    print(f"tensorboard {tensorboard.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        train_whole(cnnctl, folder, "whole")
        train_killed(cnnctl, folder, "killed")
        whole, killed = (metrics(folder, run)[-1] for run in ("whole", "killed"))
        check("a killed run ends as a whole one", whole == killed, whole)
        for run in ("whole", "killed"):
            check_loader(folder, run)
        for fast in (True, False):
            check_server(folder, fast)
    print(f"{len(failures)} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
