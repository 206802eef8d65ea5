#!/usr/bin/env python3
"""Single layers of cnnctl beside PyTorch, where the nets of compare.py do not look: groups, depthwise, dilated and one-axis kernels,
upsampling, small and large images, few images.

    cargo build --release
    VENV/bin/python benches/peers/layers.py [--threads 2] [PATTERN]

VENV has PyTorch (compare.py makes one). For each layer whose name matches the pattern: milliseconds of the forward pass, and of forward
and backward (gradients of input, weights, bias), the better of PyTorch's two layouts, medians; cnnctl's are means of `cnnctl time`, the
better of two runs. Ratios below 1: cnnctl is faster.
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import time

import torch
from nets import ROOT
from torch import nn

FILL = 'weight_filler { type: "xavier" }'


def conv(batch, channels, size, outputs, kernel, stride=1, pad=0, dilation=1, group=1):
    """Sizes, kernels and pads are numbers, or pairs of height and width."""
    pair = lambda value: value if isinstance(value, tuple) else (value, value)
    size, kernel, pad = pair(size), pair(kernel), pair(pad)
    shown = f"{kernel[0]} x {kernel[1]}, stride {stride}, pad {pad[0]} {pad[1]}, dilation {dilation}, group {group}"
    name = f"conv {batch} x {channels} x {size[0]} x {size[1]} to {outputs}, {shown}"
    settings = (
        f"num_output: {outputs} kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride: {stride} pad_h: {pad[0]} pad_w: {pad[1]} "
        f"dilation: {dilation} group: {group} {FILL}"
    )
    layer = f'type: "Convolution" convolution_param {{ {settings} }}'
    return name, (batch, channels, *size), layer, lambda: nn.Conv2d(channels, outputs, kernel, stride, pad, dilation, group)


def deconv(batch, channels, size, outputs, kernel, stride=1, pad=0, group=1):
    name = f"deconv {batch} x {channels} x {size} x {size} to {outputs}, {kernel}, stride {stride}, pad {pad}, group {group}"
    settings = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} {FILL}"
    layer = f'type: "Deconvolution" convolution_param {{ {settings} }}'
    module = lambda: nn.ConvTranspose2d(channels, outputs, kernel, stride, pad, groups=group)
    return name, (batch, channels, size, size), layer, module


def product(batch, inputs, outputs):
    layer = f'type: "InnerProduct" inner_product_param {{ num_output: {outputs} {FILL} }}'
    return f"ip {batch} x {inputs} to {outputs}", (batch, inputs), layer, lambda: nn.Linear(inputs, outputs)


LAYERS = [
    conv(8, 64, 28, 64, 3, 1, 2, 2),
    conv(2, 256, 64, 256, 3, 1, 2, 2),
    conv(1, 512, 64, 512, 3, 1, 4, 4),
    conv(1, 512, 41, 1024, 3, 1, 12, 12),
    conv(8, 128, 28, 128, 3, 1, 1, 1, 32),
    conv(8, 256, 28, 256, 3, 2, 1, 1, 32),
    conv(8, 256, 14, 512, 3, 1, 1, 1, 32),
    conv(8, 240, 28, 240, 1, 1, 0, 1, 3),
    conv(8, 144, 28, 144, 3, 1, 1, 1, 144),
    conv(8, 144, 28, 144, 5, 1, 2, 1, 144),
    conv(8, 144, 56, 144, 5, 2, 2, 1, 144),
    conv(4, 512, 14, 512, 7, 1, 3, 1, 512),
    conv(8, 128, 17, 128, (1, 7), 1, (0, 3)),
    conv(8, 128, 17, 128, (7, 1), 1, (3, 0)),
    conv(8, 384, 8, 384, (1, 3), 1, (0, 1)),
    conv(8, 384, 8, 384, (3, 1), 1, (1, 0)),
    conv(8, 32, (1, 512), 64, (1, 9), 1, (0, 4)),
    conv(8, 3, 224, 64, 7, 2, 3),
    conv(8, 3, 300, 32, 3, 2, 1),
    conv(8, 32, 64, 32, 7, 1, 3),
    conv(4, 64, 64, 64, 9, 1, 4),
    conv(8, 64, 56, 128, 3, 2, 1),
    conv(8, 64, 56, 128, 1, 2),
    conv(8, 64, 32, 64, 4, 2, 1),
    conv(8, 64, 32, 64, 2, 2),
    conv(4, 32, 33, 1, 5, 1, 2),
    conv(2, 64, 224, 3, 3, 1, 1),
    conv(1, 64, 224, 3, 9, 1, 4),
    conv(8, 256, 38, 4, 3, 1, 1),
    conv(1, 512, 7, 4096, 7),
    conv(1, 512, 16, 4096, 7, 1, 3),
    conv(1, 64, 512, 64, 3, 1, 1),
    conv(1, 16, 512, 16, 3, 1, 1),
    conv(1, 64, 512, 1, 1),
    conv(1, 16, 8, 16, 3, 1, 1),
    conv(1, 256, 4, 256, 3, 1, 1),
    conv(1, 512, 1, 512, 1),
    conv(64, 512, 1, 512, 1),
    conv(128, 16, 4, 16, 3, 1, 1),
    conv(128, 1, 28, 6, 5),
    conv(128, 6, 12, 16, 5),
    deconv(1, 21, 16, 21, 4, 2),
    deconv(1, 21, 34, 21, 16, 8),
    deconv(1, 21, 16, 21, 64, 32, 0, 21),
    deconv(8, 512, 8, 256, 4, 2, 1),
    deconv(8, 128, 32, 64, 4, 2, 1),
    deconv(8, 64, 32, 3, 4, 2, 1),
    deconv(64, 100, 1, 512, 4),
    deconv(4, 64, 56, 64, 2, 2),
    deconv(4, 64, 28, 64, 3, 1, 1),
    product(1, 4096, 1000),
    product(1, 9216, 4096),
    product(4, 4096, 4096),
    product(16, 1024, 1000),
    product(64, 784, 512),
    product(256, 784, 512),
    product(4096, 32, 32),
]


def median_ms(run, seconds=0.15):
    run()
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return statistics.median(times) * 1e3


def of_torch(shape, make):
    """Forward, and forward and backward."""
    found = []
    for layout in (torch.contiguous_format, torch.channels_last) if len(shape) == 4 else (torch.contiguous_format,):
        module = make().to(memory_format=layout)
        x = torch.randn(shape).contiguous(memory_format=layout).requires_grad_(True)
        gradient = torch.randn_like(module(x)).contiguous(memory_format=layout)
        of = [x, *module.parameters()]
        both = lambda: torch.autograd.grad(module(x), of, gradient)
        found.append((median_ms(lambda: module(x)), median_ms(both)))
    return [min(times) for times in zip(*found)]


def of_cnnctl(shape, layer, threads, iterations):
    dims = " ".join(f"dim: {n}" for n in shape)
    net = (
        f'force_backward: true layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n'
        f'layer {{ name: "op" bottom: "x" top: "y" {layer} }}\n'
    )
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(net)
        file.flush()
        command = [ROOT / "target/release/cnnctl", "time", "--model", file.name, "--threads", threads, "--iterations", iterations]
        shown = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    # The row of the layer: its type, then ms, GFLOP/s and share of the peak, forward and backward.
    numbers = re.search(r"^op\s+\S+\s+(.*)$", shown, re.MULTILINE).group(1).split()
    forward, backward = float(numbers[0]), float(numbers[3])
    return forward, forward + backward


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("pattern", nargs="?", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| layer | forward, ms: cnnctl | PyTorch | ratio | forward + backward: cnnctl | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, shape, layer, make in LAYERS:
        if not re.search(arguments.pattern, name):
            continue
        theirs = of_torch(shape, make)
        iterations = int(min(300, max(5, 200 / theirs[1])))
        runs = [of_cnnctl(shape, layer, arguments.threads, iterations) for _ in range(2)]
        ours = [min(times) for times in zip(*runs)]
        cells = [f"{a:.3f} | {b:.3f} | {a / b:.2f}" for a, b in zip(ours, theirs)]
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
