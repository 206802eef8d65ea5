#!/usr/bin/env python3
"""cnnctl beside PyTorch on the same nets, the same batches, the same machine, taking turns.

    cargo build --release
    python3 benches/peers/compare.py [--threads 2] [--rounds 3] [--nets lenet,caffenet,...] [--torch VENV]

Makes a virtual environment with PyTorch, unless --torch names one that has it. Each round times every net with cnnctl and with
PyTorch in each of its modes, so that other work on the machine disturbs both; the table has medians over the rounds, and the
ratio of cnnctl to PyTorch's best mode (below 1: cnnctl is faster).
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
import venv

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
# Our name, the peer's, and the shape of the input.
NETS = {
    "lenet": ("lenet", "64,1,28,28"),
    "cifar10_quick": ("cifar10_quick", "100,3,32,32"),
    "cifar10_full": ("cifar10_full", "100,3,32,32"),
    "caffenet": ("caffenet", "16,3,227,227"),
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


def ours(net, shape, threads):
    """Forward, and forward and backward, in milliseconds."""
    model = ROOT / "models" / net / "train_val.prototxt"
    command = [ROOT / "target/release/cnnctl", "time", "--model", model, "--shape", f"data={shape}", "--threads", str(threads)]
    small = net in ("lenet", "cifar10_quick", "cifar10_full")
    text = subprocess.run(command + ["--iterations", "50" if small else "5"], capture_output=True, text=True, check=True).stdout
    value = lambda name: float(re.search(rf"Average {name}: ([0-9.]+) ms", text)[1])
    return value("Forward pass"), value("Forward-Backward")


def theirs(python, net, shape, threads, modes):
    """The same, by mode."""
    batch = shape.split(",")[0]
    script = [HERE / "torch_nets.py", "--nets", net, "--batch", batch, "--threads", str(threads), "--modes", modes]
    # What pins a BLAS to a kernel would slow it down.
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    run = subprocess.run([python, *script, "--min-time", "2", "--max-iters", "50"], capture_output=True, text=True, check=True, env=env)
    results = json.loads(run.stdout)["results"]
    done = [r for r in results if "error" not in r]
    return {(r["mode"], r["lrn"]): (r["forward_ms"]["median"], r["fwd_bwd_ms"]["median"]) for r in done}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--modes", default="eager,channels_last")
    parser.add_argument("--torch", default=str(ROOT / "target/torch"))
    arguments = parser.parse_args()
    python = python_with_torch(arguments.torch)
    print("| net | batch | cnnctl forward | PyTorch | ratio | cnnctl forward + backward | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    ratios = []
    for net in arguments.nets.split(","):
        peer, shape = NETS[net]
        mine, others = [], {}
        for _ in range(arguments.rounds):
            mine.append(ours(net, shape, arguments.threads))
            for mode, times in theirs(python, peer, shape, arguments.threads, arguments.modes).items():
                others.setdefault(mode, []).append(times)
        best = lambda i: min((statistics.median(t[i] for t in times), mode) for mode, times in others.items())
        row = [net, shape.split(",")[0]]
        for i in (0, 1):
            my = statistics.median(t[i] for t in mine)
            their, mode = best(i)
            row += [f"{my:.2f} ms", f"{their:.2f} ms ({mode[0]})", f"{my / their:.2f}"]
        ratios.append(my / their)
        print("| " + " | ".join(row) + " |", flush=True)
    print(f"\nGeometric mean of the last column: {math.exp(statistics.mean(map(math.log, ratios))):.2f}")
    load = os.getloadavg()[0]
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, load of the machine at the end {load:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
