#!/usr/bin/env python3
"""cnnctl beside PyTorch on the same nets, the same batches, the same machine, taking turns.

    cargo build --release
    python3 benches/peers/compare.py [--threads 2] [--rounds 3] [--nets lenet,caffenet,...] [--torch VENV]

Makes a virtual environment with PyTorch, unless --torch names one that has it. Each round times every net with cnnctl and with
PyTorch in each of its modes, so that other work on the machine disturbs both; the table has medians over the rounds, and the
ratio of cnnctl to PyTorch's best mode (below 1: cnnctl is faster). What is timed: inference (no loss, nothing kept for a backward
pass), the forward pass of training, forward and backward, and the whole step of SGD with momentum and weight decay.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
CNNCTL = ROOT / "target/release/cnnctl"
# Our name, the peer's, and the shape of the input.
NETS = {
    "lenet": ("lenet", "64,1,28,28"),
    "cifar10_quick": ("cifar10_quick", "100,3,32,32"),
    "cifar10_full": ("cifar10_full", "100,3,32,32"),
    "caffenet": ("caffenet", "16,3,227,227"),
    "caffenet+": ("caffenet", "32,3,227,227"),
    "age_net": ("age", "50,3,227,227"),
    "squeezenet": ("squeezenet11", "16,3,227,227"),
    "resnet18": ("resnet18", "8,3,224,224"),
    "resnet50": ("resnet50", "8,3,224,224"),
    "mobilenet": ("mobilenet", "8,3,224,224"),
    "googlenet": ("googlenet", "16,3,224,224"),
    "vgg16": ("vgg16", "4,3,224,224"),
}


def python_with_torch(path):
    python = pathlib.Path(path) / "bin" / "python"
    if not python.exists():
        venv.create(path, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "torch", "numpy"], check=True)
    return str(python)


PARTS = ("inference", "forward", "forward + backward", "step")
# Layers that read data; in their place constants are fed.
SOURCES = ("Data", "ImageData", "HDF5Data", "Input")


def blocks(text):
    """The top-level parts of a net's text: layers, and the rest."""
    at, depth = 0, 0
    for match in re.finditer(r'"[^"]*"|\'[^\']*\'|#[^\n]*|[{}]', text):
        if match[0] in "{}":
            depth += 1 if match[0] == "{" else -1
            if depth == 0:
                yield text[at : match.end()]
                at = match.end()


def step(net, shape, threads, iterations):
    """Milliseconds of a training step: the time between two lines of its log."""
    model = (ROOT / "models" / net / "train_val.prototxt").read_text()
    kept = [b for b in blocks(model) if not re.search(rf'type:\s*"({"|".join(SOURCES)})"', b)]
    of = lambda dims: "shape { " + " ".join(f"dim: {d}" for d in dims) + " }"
    data = of(shape.split(",")) + of(shape.split(",")[:1])
    source = f"layer {{ name: 'data' type: 'DummyData' top: 'data' top: 'label' dummy_data_param {{ {data} }} }}\n"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "net.prototxt").write_text(source + "".join(kept))
        (folder / "solver.prototxt").write_text(
            f"net: '{folder}/net.prototxt' base_lr: 1e-6 lr_policy: 'fixed' momentum: 0.9 weight_decay: 5e-4 "
            f"display: 1 max_iter: {iterations + 2} snapshot_prefix: '{folder}/s' snapshot_after_train: false"
        )
        command = [CNNCTL, "train", "--solver", folder / "solver.prototxt", "--threads", str(threads)]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"^I\d{4} (\d+):(\d+):([\d.]+).*Iteration \d+[ ,].*loss = ", log, re.M)
    seconds = [3600 * int(h) + 60 * int(m) + float(s) for h, m, s in found]
    return 1e3 * statistics.median(b - a for a, b in zip(seconds[1:], seconds[2:]))


def ours(net, shape, threads):
    """Milliseconds of each part."""
    model = ROOT / "models" / net / "train_val.prototxt"
    iterations = 50 if net in ("lenet", "cifar10_quick", "cifar10_full") else 5

    def timed(phase):
        command = [CNNCTL, "time", "--model", model, "--shape", f"data={shape}", "--threads", str(threads), "--phase", phase]
        text = subprocess.run(command + ["--iterations", str(iterations)], capture_output=True, text=True, check=True).stdout
        return [float(re.search(rf"Average {name}: ([0-9.]+) ms", text)[1]) for name in ("Forward pass", "Forward-Backward")]

    return timed("TEST")[0], *timed("TRAIN"), step(net, shape, threads, 2 * iterations)


def theirs(python, net, shape, threads, modes):
    """The same, by mode."""
    batch = shape.split(",")[0]
    script = [HERE / "torch_nets.py", "--nets", net, "--batch", batch, "--threads", str(threads), "--modes", modes]
    # What pins a BLAS to a kernel would slow it down.
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    run = subprocess.run([python, *script, "--min-time", "2", "--max-iters", "50"], capture_output=True, text=True, check=True, env=env)
    results = json.loads(run.stdout)["results"]
    done = [r for r in results if "error" not in r]
    names = ("infer_ms", "forward_ms", "fwd_bwd_ms", "step_ms")
    return {(r["mode"], r["lrn"]): [r[name]["median"] for name in names] for r in done}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--modes", default="eager,channels_last")
    parser.add_argument("--torch", default=str(ROOT / "target/torch"))
    arguments = parser.parse_args()
    python = python_with_torch(arguments.torch)
    print("| net | batch |" + "".join(f" {part}, ms: cnnctl | PyTorch | ratio |" for part in PARTS))
    print("|---|---|" + "---|" * 3 * len(PARTS))
    ratios = [[] for _ in PARTS]
    for net in arguments.nets.split(","):
        peer, shape = NETS[net]
        mine, others = [], {}
        for _ in range(arguments.rounds):
            mine.append(ours(net.rstrip("+"), shape, arguments.threads))
            for mode, times in theirs(python, peer, shape, arguments.threads, arguments.modes).items():
                others.setdefault(mode, []).append(times)
        row = [net.rstrip("+"), shape.split(",")[0]]
        for i, part in enumerate(ratios):
            my = statistics.median(t[i] for t in mine)
            their, mode = min((statistics.median(t[i] for t in times), mode) for mode, times in others.items())
            row += [f"{my:.2f}", f"{their:.2f} ({mode[0]})", f"{my / their:.2f}"]
            part.append(my / their)
        print("| " + " | ".join(row) + " |", flush=True)
    for part, found in zip(PARTS, ratios):
        print(f"\nGeometric mean of {part}: {math.exp(statistics.mean(map(math.log, found))):.2f}")
    load = os.getloadavg()[0]
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, load of the machine at the end {load:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
