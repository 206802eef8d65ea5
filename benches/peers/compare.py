#!/usr/bin/env python3
"""cnnctl beside PyTorch, TensorFlow and Caffe on the same nets, the same batches, the same machine, taking turns.

    cargo build --release
    python3 benches/peers/compare.py [--threads 2] [--rounds 3] [--nets lenet,caffenet,...] [--torch VENV] [--tensorflow VENV] [--caffe BINARY]

Makes a virtual environment with PyTorch, unless --torch names one that has it; with TensorFlow, too, if --tensorflow says where. Caffe
takes part if --caffe names its binary, built for the processor alone with OpenBLAS. Each round times every net with cnnctl and with each peer in each of its modes, so that other
work on the machine disturbs all; after the first round only modes that came near the best. PyTorch's modes: eager and
channels_last, with all threads and with one, and both compiled (`compile`, `compile_cl`; a compilation takes a minute and more).
TensorFlow's: `graph` and `xla`. Caffe's: OpenBLAS with all threads and with one. A mode that fails for a net, or takes too long, is a note below the tables.

The tables have medians over the rounds, the best mode of each peer, and the ratio of cnnctl to the best peer (below 1: cnnctl is
faster). What is timed: inference (no loss, nothing kept for a backward pass), the forward pass of training, forward and backward, and
the whole step of SGD with momentum and weight decay. The last table is the most memory a process had while it trained.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

import nets
from nets import NETS, ROOT

HERE = pathlib.Path(__file__).parent
PARTS = ("inference", "forward", "forward + backward", "step", "memory")
MODES = ("eager", "channels_last", "compile", "compile_cl", "graph", "xla")
# Modes that were slower than the best by more than this in every part are not timed again.
NEAR = 1.15


def python_with(path, *packages):
    python = pathlib.Path(path) / "bin" / "python"
    if not python.exists():
        venv.create(path, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return str(python)


def ways_of_lrn(net):
    """`band` is another way to the same LRN: a convolution with a band matrix."""
    has_lrn = net.rstrip("+") in ("cifar10_full", "caffenet", "age_net", "googlenet")
    return ("native", "band") if has_lrn else ("native",)


class Torch:
    """PyTorch; a mode is its name there, the way of LRN, and the number of threads."""

    name = "PyTorch"

    def __init__(self, arguments):
        self.python = python_with(arguments.torch, "torch", "numpy")
        self.cap = arguments.cap
        names = [mode for mode in arguments.modes if mode in MODES[:4]]
        # With one thread only what needs no compiling.
        counts = lambda mode: {arguments.threads, 1} if not mode.startswith("compile") else {arguments.threads}
        self.all = [(mode, lrn, count) for mode in names for lrn in ("native", "band") for count in sorted(counts(mode))]

    def modes(self, net):
        return [mode for mode in self.all if mode[1] in ways_of_lrn(net)]

    def time(self, net, mode):
        peer, shape = NETS[net]
        name, lrn, threads = mode
        script = [HERE / "torch_nets.py", "--nets", peer, "--batch", shape.split(",")[0], "--modes", name, "--lrn", lrn]
        limits = ["--threads", threads, "--min-time", 2, "--max-iters", 50, "--timeout", self.cap]
        with tempfile.NamedTemporaryFile("r") as out:
            nets.run([self.python, *script, *limits, "--out", out.name])
            (result,) = json.load(out)["results"]
        if "error" in result:
            raise RuntimeError(result["error"])
        parts = ("infer_ms", "forward_ms", "fwd_bwd_ms", "step_ms")
        return [result[part]["median"] for part in parts] + [result["peak_mb"]]


class TensorFlow:
    """TensorFlow; a mode is its name there, the way of LRN, and the number of threads."""

    name = "TensorFlow"

    def __init__(self, arguments):
        self.python = python_with(arguments.tensorflow, "tensorflow-cpu")
        self.names = [mode for mode in arguments.modes if mode in MODES[4:]]
        self.threads = arguments.threads

    def modes(self, net):
        return [(mode, lrn, self.threads) for mode in self.names for lrn in ways_of_lrn(net)]

    def time(self, net, mode):
        peer, shape = NETS[net]
        name, lrn, threads = mode
        script = [HERE / "tensorflow_nets.py", "--net", peer, "--batch", shape.split(",")[0], "--mode", name, "--lrn", lrn]
        result = json.loads(nets.run([self.python, *script, "--threads", threads])[0].splitlines()[-1])
        return [result[part] for part in ("infer_ms", "forward_ms", "fwd_bwd_ms", "step_ms", "peak_mb")]


class Caffe:
    """Caffe; a mode is a number of threads."""

    name = "Caffe"

    def __init__(self, arguments):
        self.binary = arguments.caffe
        self.counts = sorted({arguments.threads, 1})
        self.core = nets.fastest_core(self.binary)
        print(f"OpenBLAS of Caffe runs kernels of {self.core or 'its own choice'}", file=sys.stderr)

    def modes(self, _):
        return [("threads", count) for count in self.counts]

    def time(self, net, mode):
        return nets.caffe(self.binary, net.rstrip("+"), NETS[net][1], mode[1], self.core)


def contenders(times):
    """The modes that came near the best in any part."""
    firsts = {mode: found[0] for mode, found in times.items()}
    best = [min(first[i] for first in firsts.values()) for i in range(len(PARTS))]
    return [mode for mode, first in firsts.items() if any(t <= NEAR * b for t, b in zip(first, best))]


def compare(net, peers, arguments, notes):
    """A row of each table: cnnctl, and for each peer its best number and mode, or None."""
    mine, others = [], [{} for _ in peers]
    modes = [peer.modes(net) for peer in peers]
    for _ in range(arguments.rounds):
        mine.append(nets.cnnctl(net.rstrip("+"), NETS[net][1], arguments.threads))
        for i, (peer, times) in enumerate(zip(peers, others)):
            for mode in modes[i]:
                try:
                    found = peer.time(net, mode)
                except RuntimeError as error:
                    times.pop(mode, None)
                    notes.append(f"{net}: {peer.name} ({', '.join(map(str, mode))}) failed: {str(error).strip().splitlines()[-1]}")
                    continue
                times.setdefault(mode, []).append(found)
                print(f"{net} {peer.name} {mode}: {found}", file=sys.stderr, flush=True)
            modes[i] = contenders(times) if times else []
        print(f"{net} cnnctl: {mine[-1]}", file=sys.stderr, flush=True)
    median = lambda times, i: statistics.median(t[i] for t in times)
    best = lambda times, i: min(((median(t, i), mode) for mode, t in times.items()), default=None)
    return [(median(mine, i), [best(times, i) for times in others]) for i in range(len(PARTS))]


def table(part, rows, peers):
    """Prints a part of all nets, and the mean of its ratios."""
    unit = "MB" if part == "memory" else "ms"
    print(f"\n| {part}, {unit} | batch | cnnctl |" + "".join(f" {peer.name} |" for peer in peers) + " ratio |")
    print("|---|---|---|" + "---|" * len(peers) + "---|")
    ratios = []
    for net, (mine, found) in rows:
        cells = [f"{f[0]:.2f} ({', '.join(map(str, f[1]))})" if f else "-" for f in found]
        of = [f[0] for f in found if f]
        ratios += [mine / min(of)] if of else []
        ratio = f"{ratios[-1]:.2f}" if of else "-"
        print("| " + " | ".join([net.rstrip("+"), NETS[net][1].split(",")[0], f"{mine:.2f}", *cells, ratio]) + " |")
    if ratios:
        print(f"\nGeometric mean {math.exp(statistics.mean(map(math.log, ratios))):.2f}, worst {max(ratios):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--modes", default=",".join(MODES), help="those of PyTorch and TensorFlow that are timed")
    parser.add_argument("--torch", default=str(ROOT / "target/torch"), help="its virtual environment, or `none`")
    parser.add_argument("--tensorflow", help="its virtual environment, made if it is not there")
    parser.add_argument("--caffe", help="Caffe's binary")
    parser.add_argument("--cap", type=float, default=900, help="seconds that a mode may take for a net, compiling included")
    arguments = parser.parse_args()
    arguments.modes = arguments.modes.split(",")
    if not set(arguments.modes) <= set(MODES):
        sys.exit(f"modes are {', '.join(MODES)}")
    peers = [Torch(arguments)] if arguments.torch != "none" else []
    peers += [TensorFlow(arguments)] if arguments.tensorflow else []
    peers += [Caffe(arguments)] if arguments.caffe else []
    rows, notes = [], []
    for net in arguments.nets.split(","):
        rows.append((net, compare(net, peers, arguments, notes)))
    for i, part in enumerate(PARTS):
        table(part, [(net, found[i]) for net, found in rows], peers)
    print()
    for note in notes:
        print(f"- {note}")
    load = os.getloadavg()[0]
    print(f"\n{arguments.threads} threads, {arguments.rounds} rounds, load of the machine at the end {load:.1f}")


if __name__ == "__main__":
    main()
