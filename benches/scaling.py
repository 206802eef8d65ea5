#!/usr/bin/env python3
"""How a training step divides over threads, and how its cost grows, from runs on one thread.

    python3 benches/scaling.py [--nets lenet,resnet18,...] [--threads 2,4,8,16,32,64] [--growth] [--build DIR]

Builds cnnctl with a stand-in for rayon (`benches/scaling/rayon`), which runs every task of every parallel loop on one thread and writes
down the processor time of each. Nearly all work is cut by shapes alone, so these are the tasks of any number of threads; what no sum
depends on, the columns of a product, is cut for the most of them. A simulated machine then gives each loop's tasks, in order, to
whichever thread is free first; loops follow each other, and what stands between them is serial.
Not in it: what it costs to wake a thread (some microseconds a loop), and memory and caches that threads share.

--growth counts instructions by valgrind's callgrind (with AVX2: it knows no AVX-512) for nets of growing batch, channels and depth.
"""

import argparse
import collections
import heapq
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benches/peers"))
import nets  # noqa: E402

STEPS = 4


def build(folder):
    """A copy of the crate that takes the stand-in for rayon; gives the program."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "proto", "build.rs", "benches"):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)
    stand_in = ROOT / "benches/scaling/rayon"
    manifest, changed = re.subn(r"^rayon = .*$", f'rayon = {{ path = "{stand_in}" }}', (ROOT / "Cargo.toml").read_text(), flags=re.M)
    assert changed == 1, "one line for rayon"
    (folder / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", folder)
    subprocess.run(["cargo", "build", "--release", "-q", "--bin", "cnnctl"], cwd=folder, check=True)
    return folder / "target/release/cnnctl"


def train(program, folder, log, prefix=(), threads=1):
    solver = folder / "solver.prototxt"
    command = [*prefix, program, "train", "--solver", solver, "--threads", "1"]
    environment = os.environ | {"SCALING_LOG": str(log), "SCALING_THREADS": str(threads)}
    run = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return run


def loops(program, net, shape, threads):
    """The parallel loops of some steps: name, serial nanoseconds before it, nanoseconds of each task."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for iterations in (1, 1 + STEPS):
            # Two more are always made.
            nets.write_net(folder, net, shape, iterations)
            train(program, folder, folder / "log", threads=threads)
            found.append((folder / "log").read_text().splitlines())
    # The longer run has the same loops and those of so many steps more.
    lines = [line.split("\t") for line in found[1][len(found[0]) :]]
    return [(name, int(serial), [int(t) for t in tasks.split()]) for name, serial, tasks in lines]


def makespan(tasks, threads):
    """When all tasks are done that free threads take in order."""
    free = [0] * threads
    for task in tasks:
        heapq.heapreplace(free, free[0] + task)
    return max(free)


def kernel(name):
    """The function of `kernels` that a closure is in."""
    inner = re.findall(r"kernels::((?:\w+::)*\w+)", name)
    own = [n for n in inner if not n.startswith(("parallel::", "simd::"))]
    return (own or inner or [name])[0]


def divide(program, chosen, threads):
    """Prints how the nets' steps divide, and which kernels hold them back."""
    print("| net | batch | step, ms | serial | loops | tasks | " + " | ".join(map(str, threads)) + " threads |")
    print("|---|---|---|---|---|---|" + "---|" * len(threads))
    lost = {}
    for net in chosen:
        _, shape = nets.NETS[net]
        found = loops(program, net.rstrip("+"), shape, max(threads))
        serial = sum(s for _, s, _ in found)
        whole = serial + sum(sum(tasks) for *_, tasks in found)
        times = {p: serial + sum(makespan(tasks, p) for *_, tasks in found) for p in threads}
        row = [net.rstrip("+"), shape.split(",")[0], f"{whole / STEPS / 1e6:.1f}", f"{serial / whole:.2%}"]
        row += [f"{len(found) / STEPS:.0f}", f"{sum(len(t) for *_, t in found) / STEPS:.0f}"]
        print("| " + " | ".join(row + [f"{whole / times[p]:.1f}" for p in threads]) + " |", flush=True)
        most = max(threads)
        kernels = collections.defaultdict(lambda: [0, 0, 0, 0])
        for name, _, tasks in found:
            sums = kernels[kernel(name)]
            for i, more in enumerate((sum(tasks), makespan(tasks, most), 1, len(tasks))):
                sums[i] += more
        ranked = sorted(kernels.items(), key=lambda k: k[1][0] / most - k[1][1])
        lost[net] = (ranked[:4], whole, times[most])
    print(f"\nWhat holds {most} threads back most:\n\n| net | kernel | share of work | tasks a loop | speed-up | share of the time of {most} threads |")
    print("|---|---|---|---|---|---|")
    for net, (ranked, whole, time) in lost.items():
        for name, (work, span, count, tasks) in ranked:
            cells = [net.rstrip("+"), f"`{name}`", f"{work / whole:.1%}", f"{tasks / count:.0f}", f"{work / span:.1f}", f"{span / time:.0%}"]
            print("| " + " | ".join(cells) + " |")


def grown(batch, channels, depth):
    """A net of convolutions on images of 16 x 16."""
    data = f"shape {{ dim: {batch} dim: {channels} dim: 16 dim: 16 }} shape {{ dim: {batch} }}"
    text, last = f"layer {{ name: 'data' type: 'DummyData' top: 'data' top: 'label' dummy_data_param {{ {data} }} }}", "data"
    settings = f"convolution_param {{ num_output: {channels} kernel_size: 3 pad: 1 weight_filler {{ type: 'msra' }} }}"
    for i in range(depth):
        text += f"layer {{ name: 'c{i}' type: 'Convolution' bottom: '{last}' top: 'c{i}' {settings} }}"
        text += f"layer {{ name: 'r{i}' type: 'ReLU' bottom: 'c{i}' top: 'c{i}' }}"
        last = f"c{i}"
    text += f"layer {{ name: 'ip' type: 'InnerProduct' bottom: '{last}' top: 'ip' inner_product_param {{ num_output: 10 }} }}"
    return text + "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }"


def instructions(program, net):
    """Instructions of a training step."""
    counts = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for iterations in (1, 3):
            nets.write_net(folder, "lenet", "1,1,28,28", iterations)
            (folder / "net.prototxt").write_text(net)
            valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts"]
            train(program, folder, folder / "log", valgrind)
            counts.append(sum(int(n) for n in re.findall(r"^summary: (\d+)", (folder / "counts").read_text(), re.M)))
    return (counts[1] - counts[0]) / 2


def growth(program):
    """Prints the instructions of a step against batch, channels and depth, each over those of the row above."""
    print("\n| batch | channels | depth | million instructions | growth |\n|---|---|---|---|---|")
    base = {"batch": 4, "channels": 32, "depth": 2}
    for what, sizes in (("batch", (4, 8, 16, 32)), ("channels", (32, 64, 128)), ("depth", (2, 4, 8, 16))):
        last = None
        for size in sizes:
            case = base | {what: size}
            count = instructions(program, grown(**case))
            change = f"{count / last:.2f}" if last else ""
            print(f"| {case['batch']} | {case['channels']} | {case['depth']} | {count / 1e6:.1f} | {change} |", flush=True)
            last = count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="lenet,cifar10_full,caffenet,squeezenet,resnet18,mobilenet")
    parser.add_argument("--threads", default="2,4,8,16,32,64")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "target/scaling", help="where the crate is built")
    arguments = parser.parse_args()
    program = build(arguments.build.resolve())
    divide(program, arguments.nets.split(","), [int(t) for t in arguments.threads.split(",")])
    if arguments.growth:
        growth(program)


if __name__ == "__main__":
    main()
