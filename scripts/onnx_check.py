#!/usr/bin/env python3
"""Nets as ONNX: onnx.checker looks at them, ONNX Runtime runs them, and cnnctl and Caffe say what should come out.

    scripts/onnx_check.py target/release/cnnctl [PART...]

Makes itself a virtual environment with onnx, onnxruntime, numpy and safetensors in target/onnx-venv. Then, each with random
weights (also of layers whose fillers give zeros) on random inputs:

- models/*/deploy.prototxt, one sample at a time;
- the layer cases of tests/golden, whose results the real Caffe has computed;
- nets of one layer, below: every layer that becomes nodes, with its options, and odd geometries of windows;
- what has to be refused, and what docs/formats.md shows.

Errors are relative to the largest value of a blob; more than 1e-4 fails. Prints a line for each net, and exits with 1 if one
fails. PART chooses nets whose line contains it. CI does not run it: it installs packages.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ["onnx", "onnxruntime", "numpy", "safetensors"]


def enter_venv():
    """Goes on in the virtual environment, which is made if it is not there."""
    folder = ROOT / "target" / "onnx-venv"
    python = folder / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == folder.resolve():
        return
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "ready").touch()
    os.execv(python, [python, *sys.argv])


if __name__ == "__main__":
    enter_venv()

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import safetensors  # noqa: E402
import safetensors.numpy  # noqa: E402

LIMIT = 1e-4

# Layers between inputs `x` (and `y`, `z`), whose shapes follow. What stands behind a shape is what it holds: `indices N` from
# 0 to N - 1, `marks` 0 or 1, `positive`, `ties` few different values; else numbers around 0.
X = "x: 2 3 7 8"
CASES = [
    ("AbsVal", "", X),
    ("ArgMax", "argmax_param { axis: 1 }", "x: 2 5 3 4 ties"),
    ("ArgMax", "argmax_param { axis: 1 top_k: 3 }", "x: 2 5 3 ties"),
    ("ArgMax", "argmax_param { axis: -1 top_k: 2 out_max_val: true }", "x: 2 5 3 ties"),
    ("ArgMax", "argmax_param { top_k: 4 }", "x: 3 4 5 ties"),
    ("ArgMax", "argmax_param { top_k: 2 out_max_val: true }", "x: 3 4 2 2"),
    ("ArgMax", "", "x: 3 7 ties"),
    ("Axpy", "", "x: 2 3; y: 2 3 4 5; z: 2 3 4 5"),
    ("Axpy", "", "x: 2 3 1 1; y: 2 3 4; z: 2 3 4"),
    ("BN", "bn_param { slope_filler { type: 'uniform' } bias_filler { value: 0.3 } frozen: true }", X),
    ("BN", "bn_param { slope_filler { value: 1 } eps: 0.01 }", "x: 4 5"),
    ("BN", "bn_param { bn_mode: LEARN scale_filler { type: 'uniform' } }", X),
    ("BN", "bn_param { bn_mode: INFERENCE scale_filler { type: 'uniform' } }", X),
    ("BN", "bn_param { bn_mode: INFERENCE }", "x: 6"),
    ("BNLL", "", X),
    ("BatchNorm", "", X),
    ("BatchNorm", "batch_norm_param { eps: 0.01 }", "x: 4 5"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }", X),
    ("BatchNorm", "", "x: 6"),
    ("BatchReindex", "", "x: 5 2 3; y: 7 indices 5"),
    ("Bias", "", X),
    ("Bias", "bias_param { axis: 0 num_axes: 2 }", X),
    ("Bias", "bias_param { axis: 2 num_axes: -1 }", X),
    ("Bias", "bias_param { num_axes: 0 }", X),
    ("Bias", "bias_param { axis: 1 }", "x: 2 3 4; y: 3 4"),
    ("Bias", "bias_param { axis: 0 }", "x: 2 3 4; y: 2"),
    ("Clip", "clip_param { min: -0.5 max: 0.7 }", X),
    ("Concat", "", "x: 2 3 4; y: 2 1 4; z: 2 2 4"),
    ("Concat", "concat_param { axis: 0 }", "x: 2 3; y: 1 3"),
    ("Concat", "concat_param { axis: -1 }", "x: 2 3; y: 2 2"),
    ("Concat", "", "x: 2 3"),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }", X),
    ("Convolution", "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 0 stride_h: 1 stride_w: 3 group: 3 bias_term: false }", X),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 dilation: 2 pad: 2 }", X),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 pad: 1 }", "x: 2 3 9"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: [2, 3, 1] stride: [1, 2, 1] }", "x: 2 3 4 7 3"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 axis: 2 }", "x: 2 3 4 6 5"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 axis: 0 }", "x: 3 6 5"),
    ("Convolution", "convolution_param { num_output: 5 }", "x: 2 3"),
    ("ConvolutionDepthwise", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 }", X),
    ("DepthwiseConvolution", "convolution_param { kernel_size: 3 stride: 2 }", X),
    ("Crop", "crop_param { axis: 2 offset: 1 offset: 2 }", "x: 2 3 7 8; y: 1 1 4 5"),
    ("Crop", "crop_param { axis: 1 offset: 1 }", "x: 2 4 5; y: 2 3 3"),
    ("Deconvolution", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }", X),
    ("Deconvolution", "convolution_param { num_output: 6 group: 3 kernel_size: 3 stride: 3 dilation: 2 bias_term: false }", X),
    ("Deconvolution", "convolution_param { num_output: 2 kernel_size: 3 axis: 2 }", "x: 2 3 4 6 5"),
    ("Dropout", "dropout_param { dropout_ratio: 0.7 }", X),
    ("ELU", "elu_param { alpha: 0.3 }", X),
    ("Eltwise", "", "x: 2 3 4; y: 2 3 4"),
    ("Eltwise", "eltwise_param { coeff: 0.5 coeff: -1 coeff: 1 }", "x: 2 3; y: 2 3; z: 2 3"),
    ("Eltwise", "eltwise_param { operation: PROD }", "x: 2 3; y: 2 3; z: 2 3"),
    ("Eltwise", "eltwise_param { operation: MAX }", "x: 2 3; y: 2 3; z: 2 3"),
    ("Embed", "embed_param { input_dim: 9 num_output: 4 }", "x: 2 3 indices 9"),
    ("Embed", "embed_param { input_dim: 9 num_output: 4 bias_term: false }", "x: 5 indices 9"),
    ("Exp", "", X),
    ("Exp", "exp_param { base: 2 scale: 0.5 shift: -1 }", X),
    ("Filter", "", "x: 5 3; y: 5 marks"),
    ("Flatten", "", X),
    ("Flatten", "flatten_param { axis: 1 end_axis: 2 }", X),
    ("Flatten", "flatten_param { axis: 0 }", X),
    ("Im2col", "convolution_param { kernel_size: 3 pad: 1 stride: 2 }", X),
    ("Im2col", "convolution_param { kernel_h: 2 kernel_w: 3 dilation: 2 axis: 2 }", "x: 2 2 3 6 8"),
    ("InnerProduct", "inner_product_param { num_output: 5 }", X),
    ("InnerProduct", "inner_product_param { num_output: 5 axis: 2 transpose: true }", X),
    ("InnerProduct", "inner_product_param { num_output: 5 axis: -1 bias_term: false }", "x: 2 3 4"),
    ("InnerProduct", "inner_product_param { num_output: 5 axis: 0 }", "x: 2 3"),
    ("Interp", "interp_param { height: 13 width: 9 }", X),
    ("Interp", "interp_param { zoom_factor: 8 }", "x: 2 3 5 1"),
    ("Interp", "interp_param { shrink_factor: 3 pad_beg: -1 pad_end: -2 }", "x: 2 3 9 12"),
    ("Interp", "", "x: 2 3 5 4; y: 1 1 3 7"),
    ("LRN", "", X),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }", "x: 2 7 4 3"),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 }", "x: 3 7"),
    ("LRN", "lrn_param { local_size: 5 alpha: 0.5 }", "x: 2 4 3 2 2"),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: -0.5 }", "x: 2 7 4 3"),
    ("LRN", "lrn_param { local_size: 5 alpha: 3 norm_region: WITHIN_CHANNEL }", X),
    ("LSTM", "recurrent_param { num_output: 4 }", "x: 5 2 3; y: 5 2 marks"),
    ("LSTM", "recurrent_param { num_output: 4 }", "x: 5 2 3 2; y: 5 2 marks; z: 2 3"),
    ("LSTM", "recurrent_param { num_output: 4 expose_hidden: true }", "x: 5 2 3; y: 5 2 marks; h: 1 2 4; c: 1 2 4", 3),
    ("LSTMUnit", "", "x: 1 3 4; y: 1 3 16; z: 1 3 marks", 2),
    ("LocalContrastNormalization", "local_contrast_normalization_param { kernel_size: 5 }", "x: 2 3 9 8"),
    ("LocalContrastNormalization", "local_contrast_normalization_param { kernel_size: 3 sigma: 2 operation: SUBTRACTIVE }", "x: 2 3 9"),
    ("LocallyConnected", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 }", X),
    ("LocallyConnected", "convolution_param { num_output: 6 group: 3 kernel_size: 2 pad: 1 bias_term: false }", "x: 2 3 4 5"),
    ("Log", "", "x: 2 3 4 positive"),
    ("Log", "log_param { base: 10 scale: 2 shift: 0.5 }", "x: 2 3 4 positive"),
    ("MVN", "", X),
    ("MVN", "mvn_param { across_channels: true eps: 0.1 }", X),
    ("MVN", "mvn_param { normalize_variance: false }", X),
    ("MVN", "mvn_param { eps: 0.5 }", "x: 2 3"),
    ("Normalize", "", X),
    ("Normalize", "norm_param { across_spatial: false channel_shared: false }", X),
    ("Normalize", "norm_param { channel_shared: false eps: 0.5 }", "x: 3 4"),
    ("OrdinalRank", "", "x: 4 6"),
    ("OrdinalRank", "ordinal_regression_param { outputs: SIGMOID axis: 2 }", "x: 2 3 5"),
    ("PReLU", "", X),
    ("PReLU", "", "x: 3 4"),
    ("PReLU", "prelu_param { channel_shared: true }", X),
    ("Permute", "permute_param { order: [0, 2, 3, 1] }", X),
    ("Permute", "permute_param { order: 2 }", "x: 2 3 4"),
    ("Power", "power_param { power: 3 scale: 0.5 shift: -1 }", X),
    ("Power", "power_param { power: 2 }", X),
    ("Power", "power_param { power: 0.5 shift: 0.1 }", "x: 2 3 positive"),
    ("Power", "power_param { power: -1 }", "x: 2 3 positive"),
    ("Power", "power_param { scale: -2 }", X),
    ("Power", "power_param { power: 0 }", X),
    ("Power", "power_param { power: 2 scale: 0 shift: 3 }", X),
    ("Power", "", X),
    ("PriorBox", "prior_box_param { min_size: 4 max_size: 9 aspect_ratio: 2 variance: 0.2 clip: true }", "x: 1 2 3 4; y: 1 3 20 30"),
    ("RNN", "recurrent_param { num_output: 4 }", "x: 5 2 3; y: 5 2 marks"),
    ("RNN", "recurrent_param { num_output: 4 expose_hidden: true }", "x: 5 2 3; y: 5 2 marks; z: 2 3; h: 1 2 4", 2),
    ("ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 3 }", "x: 8 2 9 11; y: 6 5 indices 8"),
    ("ROIPooling", "roi_pooling_param { pooled_h: 3 pooled_w: 3 spatial_scale: 0.7 }", "x: 16 2 9 11; y: 20 5 indices 16"),
    ("ReLU", "", X),
    ("ReLU", "relu_param { negative_slope: 0.1 }", X),
    ("ReLU6", "", "x: 2 3 4 positive"),
    ("ReLU6", "relu6_param { negative_slope: 0.1 }", X),
    ("Reduction", "", X),
    ("Reduction", "reduction_param { operation: ASUM axis: 1 coeff: 2 }", X),
    ("Reduction", "reduction_param { operation: SUMSQ axis: 2 }", X),
    ("Reduction", "reduction_param { operation: MEAN axis: -1 coeff: -1 }", X),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", X),
    ("Reshape", "reshape_param { shape { dim: 2 dim: 4 } axis: 1 num_axes: 1 }", "x: 3 8 5"),
    ("Reshape", "reshape_param { shape { dim: 7 dim: 6 dim: 8 } }", X),
    ("Reshape", "reshape_param { shape { dim: 1 dim: 1 } axis: -1 num_axes: 0 }", "x: 3 8"),
    ("SPP", "spp_param { pyramid_height: 3 }", "x: 2 3 9 11"),
    ("SPP", "spp_param { pyramid_height: 2 pool: AVE }", "x: 2 3 7 7"),
    ("SPP", "spp_param { pyramid_height: 2 pool: STOCHASTIC }", "x: 2 3 7 5 positive"),
    ("SPP", "spp_param { pyramid_height: 1 }", X),
    ("Scale", "", X),
    ("Scale", "scale_param { axis: 0 num_axes: 2 bias_term: true }", X),
    ("Scale", "scale_param { axis: 1 num_axes: -1 bias_term: true }", "x: 2 3 4"),
    ("Scale", "scale_param { axis: 0 }", "x: 2 3 4; y: 2 3"),
    ("Scale", "scale_param { axis: 1 bias_term: true }", "x: 2 3 4; y: 3"),
    ("ShuffleChannel", "shuffle_channel_param { group: 3 }", "x: 2 6 4 5"),
    ("ShuffleChannel", "shuffle_channel_param { group: 2 }", "x: 3 4"),
    ("Sigmoid", "", X),
    ("Slice", "", "x: 2 6 4", 3),
    ("Slice", "slice_param { axis: -1 slice_point: 1 slice_point: 3 }", "x: 2 3 4", 3),
    ("Slice", "", "x: 2 3"),
    ("Softmax", "", X),
    ("Softmax", "softmax_param { axis: -1 }", "x: 2 3 4"),
    ("Split", "", "x: 2 3", 2),
    ("Swish", "swish_param { beta: 1.5 }", X),
    ("TanH", "", X),
    ("Threshold", "threshold_param { threshold: 0.2 }", X),
    ("Tile", "tile_param { tiles: 3 }", "x: 2 3 4"),
    ("Tile", "tile_param { axis: 0 tiles: 2 }", "x: 2 3"),
    ("Upsample", "upsample_param { scale: 3 }", X),
]

# Windows where Caffe and ONNX differ: sides, then settings.
GEOMETRIES = [
    ("7 8", "kernel_size: 2 stride: 2"),
    ("7 8", "kernel_size: 3 stride: 2"),
    ("6 6", "kernel_size: 3 stride: 2"),
    ("6 6", "kernel_size: 3 stride: 2 round_mode: FLOOR"),
    ("6 7", "kernel_size: 3 stride: 2 pad: 1"),
    ("5 5", "kernel_size: 2 stride: 2 pad: 1"),
    ("5 5", "kernel_size: 3 stride: 3 pad: 2"),
    ("4 4", "kernel_size: 3 stride: 2 pad: 2"),
    ("8 9", "kernel_size: 5 stride: 4 pad: 1"),
    ("9 8", "kernel_size: 2 stride: 3"),
    ("8 8", "kernel_size: 2 stride: 4 pad: 1"),
    ("1 1", "kernel_size: 2 stride: 2 pad: 1"),
    ("3 3", "kernel_size: 5 stride: 1 pad: 2"),
    ("7 9", "kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2"),
    ("7 9", "kernel_h: 1 kernel_w: 9 stride: 2"),
    ("7 9", "global_pooling: true"),
    ("9", "kernel_size: 4 stride: 3 pad: 1"),
    ("5 4 6", "kernel_size: 3 stride: 2 pad: 1"),
    ("5 4 6", "kernel_sizes: [2, 1, 3] strides: [1, 2, 2]"),
]
for sides, settings in GEOMETRIES:
    for method in "MAX", "AVE", "L2", "GAUSSIAN", "STOCHASTIC":
        held = "positive" if method == "STOCHASTIC" else ""
        CASES.append(("Pooling", f"pooling_param {{ pool: {method} {settings} }}", f"x: 2 3 {sides} {held}"))
    CASES.append(("Pooling", f"pooling_param {{ {settings} }}", f"x: 2 3 {sides} ties", 2))

# Whole nets, and what their graphs must tell.
NETS = [
    (
        "losses are left out",
        """layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [2, 4] } } }
           layer { name: 't' type: 'Input' top: 't' input_param { shape { dim: [2] } } }
           layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'ip' inner_product_param { num_output: 3 } }
           layer { name: 'relu' type: 'ReLU' bottom: 'ip' top: 'ip' }
           layer { name: 'drop' type: 'Dropout' bottom: 'ip' top: 'ip' }
           layer { name: 'accuracy' type: 'Accuracy' bottom: 'ip' bottom: 't' top: 'accuracy' }
           layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 't' top: 'loss' }""",
        ["x"],
        ["ip"],
    ),
    (
        "values go back to their places",
        """layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [2, 3, 7, 8] } } }
           layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'p' top: 'm' pooling_param { kernel_size: 2 stride: 2 } }
           layer { name: 'y' type: 'Upsample' bottom: 'p' bottom: 'm' top: 'y' upsample_param { pad_out_h: true } }""",
        ["x"],
        ["y"],
    ),
    (
        "constants, parameters and shared weights",
        """layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [2, 4] } } }
           layer { name: 'd' type: 'DummyData' top: 'd' dummy_data_param { shape { dim: [2, 4] } data_filler { value: 0.5 } } }
           layer { name: 'w' type: 'Parameter' top: 'w' parameter_param { shape { dim: [4] } } }
           layer { name: 's' type: 'Eltwise' bottom: 'x' bottom: 'd' top: 's' }
           layer { name: 'm' type: 'Scale' bottom: 's' bottom: 'w' top: 'm' }
           layer { name: 'a' type: 'InnerProduct' bottom: 'm' top: 'a' param { name: 'shared' } inner_product_param { num_output: 3 } }
           layer { name: 'b' type: 'InnerProduct' bottom: 's' top: 'b' param { name: 'shared' } inner_product_param { num_output: 3 } }
           layer { name: 'q' type: 'Silence' bottom: 'm' }""",
        ["x"],
        ["a", "b"],
    ),
]

REFUSED = [
    ("LRN", "", "x: 2 3 4 5", "--phase TRAIN", "done with training"),
    ("Pooling", "pooling_param { kernel_size: 2 }", "x: 1 1 3 3 3 3", "", "take at most 3"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }", "x: 1 1 2 2 2 2", "", "take at most 3"),
]


class Check:
    def __init__(self, program, parts, folder):
        self.program, self.parts, self.folder = program, parts, pathlib.Path(folder)
        self.rng = np.random.default_rng(1)
        self.passed, self.failed, self.worst = 0, [], 0.0
        self.cwd = self.folder

    def cnnctl(self, *arguments, fails=False):
        done = subprocess.run([self.program, *map(str, arguments)], cwd=self.cwd, capture_output=True, text=True)
        if (done.returncode != 0) != fails:
            raise RuntimeError(f"cnnctl {arguments[0]}: status {done.returncode}: {done.stderr.strip()}")
        return done.stderr

    def line(self, name, act):
        """Runs a check that gives an error, and prints its line."""
        if self.parts and not any(part in name for part in self.parts):
            return
        try:
            error, about = act()
            right = error <= LIMIT
            self.worst = max(self.worst, error if right else 0.0)
            text = f"{error:8.1e}  {about}"
        except Exception as problem:  # whatever it is, the next net is tried
            right, text = False, f"{type(problem).__name__}: {problem}"
        print(f"{'ok  ' if right else 'FAIL'}  {name:<50} {text}", flush=True)
        self.passed += right
        if not right:
            self.failed.append(name)

    def weights(self, model):
        """A file of random weights for a net, or None if it has no parameters."""
        plain, random, out = self.folder / "plain.npz", self.folder / "random.npz", self.folder / "w.caffemodel"
        self.cnnctl("export", "--model", model, "--phase", "TEST", "-o", plain)
        tensors = {name: self.random(name, values.shape) for name, values in np.load(plain).items()}
        if not tensors:
            return None
        np.savez(random, **tensors)
        self.cnnctl("import", "--model", model, "--phase", "TEST", "--from", random, "-o", out)
        # And back: what has gone in comes out, by the other format.
        self.cnnctl("export", "--model", model, "--phase", "TEST", "--weights", out, "-o", self.folder / "back.safetensors")
        back = safetensors.numpy.load_file(self.folder / "back.safetensors")
        if back.keys() != tensors.keys() or any(back[n].tobytes() != t.tobytes() for n, t in tensors.items()):
            raise RuntimeError("tensors do not come back in the same bits")
        return out

    def random(self, name, shape):
        role, draw = name.rsplit(".", 1)[1], self.rng
        if role == "factor":
            values = np.full(shape, 4.0)
        elif role == "variance_sum":
            values = 4 * draw.uniform(0.5, 2, shape)
        elif role == "running_var":
            values = draw.uniform(0.5, 2, shape)
        elif role.startswith("weight") and len(shape) > 1:
            values = draw.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        elif role.startswith("weight"):
            values = draw.uniform(0.5, 1.5, shape)
        else:
            values = draw.normal(0, 0.2, shape)
        return values.astype(np.float32)

    def input(self, shape, held):
        draw = self.rng
        if held.startswith("indices"):
            values = draw.integers(0, int(held.split()[1]), shape)
        elif held == "marks":
            values = draw.integers(0, 2, shape)
        elif held == "positive":
            values = draw.uniform(0.1, 2, shape)
        elif held == "ties":
            values = draw.integers(-2, 3, shape)
        else:
            values = draw.normal(0, 1, shape)
        return values.astype(np.float32)

    def compare(self, net, weights, export=(), held={}, given={}, want={}):
        """Exports a net and runs it; the largest error, against `want` or else against all that cnnctl computes."""
        path = self.folder / "net.onnx"
        load = ["--weights", weights] if weights else []
        self.cnnctl("export", "--model", net, *load, *export, "-o", path)
        onnx.checker.check_model(str(path), full_check=True)
        # What lies between is looked at, too: it comes out of a copy.
        model = onnx.load(str(path))
        names = [value.name for value in model.graph.output]
        nodes = [node.op_type for node in model.graph.node]
        model.graph.output.extend(model.graph.value_info)
        whole = self.folder / "whole.onnx"
        onnx.save(model, str(whole))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # The copy holds all weights, so one that does not is run itself.
        whole = path if "--external-data" in export else whole
        session = onnxruntime.InferenceSession(str(whole), options, providers=["CPUExecutionProvider"])
        feed, arguments = {}, []
        for value in session.get_inputs():
            values = given.get(value.name)
            shape = [5 if side == "N" else side for side in value.shape]
            feed[value.name] = self.input(shape, held.get(value.name, "")) if values is None else values
            np.save(self.folder / f"{len(feed)}.npy", feed[value.name])
            arguments += ["--input", f"{value.name}={self.folder / f'{len(feed)}.npy'}"]
        results = dict(zip([value.name for value in session.get_outputs()], session.run(None, feed)))
        # A blob that an in-place layer makes of an input has the layer's name or a number behind.
        inputs = session.get_inputs()
        made = {name: v for v in inputs for name in results if name in (f"{v.name}.layer", f"{v.name}_2")}
        results.update({value.name: results[name] for name, value in made.items()})
        if not want:
            out = self.folder / "out.npz"
            self.cnnctl("run", "--model", net, *load, *arguments, "--output", out)
            blobs = np.load(out)
            want = {name: blobs[f"data/{name}"] for name in results if f"data/{name}" in blobs}
            if not want.keys() >= set(names) - made.keys():
                raise RuntimeError(f"outputs {names}, which are not all blobs of the net")
        largest = 0.0
        for name, right in want.items():
            found = results[name]
            if found.shape != right.shape:
                raise RuntimeError(f"{name} has shape {found.shape}, expected {right.shape}")
            error = np.abs(found.astype(np.float64) - right).max(initial=0) / max(np.abs(right).max(initial=0), 1e-3)
            largest = max(largest, error if np.isfinite(found).all() else np.inf)
        return largest, names, nodes

    def net(self, kind, settings, inputs, tops=1):
        """A net of one layer; gives its file and what its inputs hold."""
        layers, bottoms, held = "", "", {}
        for text in inputs.split(";"):
            name, about = text.strip().split(":")
            sides = [word for word in about.split() if word.isdigit()]
            words = [word for word in about.split() if not word.isdigit()]
            if words == ["indices"]:
                held[name] = f"indices {sides.pop()}"
            elif words:
                held[name] = words[0]
            shape = ", ".join(sides)
            layers += f"layer {{ name: '{name}' type: 'Input' top: '{name}' input_param {{ shape {{ dim: [{shape}] }} }} }}\n"
            bottoms += f"bottom: '{name}' "
        made = " ".join(f"top: 'out{i}'" for i in range(tops))
        path = self.folder / "net.prototxt"
        path.write_text(f"{layers}layer {{ name: 'layer' type: '{kind}' {bottoms}{made} {settings} }}\n")
        return path, held

    def models(self):
        for model in sorted((ROOT / "models").glob("*/deploy.prototxt")):

            def act():
                # The first axis of a recurrent net counts steps.
                one = [] if '"LSTM"' in model.read_text() else ["--batch", "1"]
                marks = {"cont": "marks"}
                error, names, nodes = self.compare(model, self.weights(model), one, marks)
                return error, f"{len(nodes)} nodes, {', '.join(names)}"

            self.line(f"models/{model.parent.name}", act)

    def any_batch(self):
        """A graph for any number of samples, run with five."""
        for name in "lenet", "resnet18", "squeezenet", "ordinal_regression":
            model = ROOT / "models" / name / "deploy.prototxt"

            def act():
                error, names, _ = self.compare(model, self.weights(model), ["--batch", "any"])
                return error, ", ".join(names)

            self.line(f"models/{name} with --batch any", act)

    def external(self):
        """A net whose weights stand beside it."""
        model = ROOT / "models" / "lenet" / "deploy.prototxt"

        def act():
            error, _, _ = self.compare(model, self.weights(model), ["--batch", "1", "--external-data"])
            size = (self.folder / "net.onnx.data").stat().st_size
            return error, f"{size} bytes beside the graph"

        self.line("models/lenet with external data", act)

    def golden(self):
        folder = ROOT / "tests" / "golden"
        for case in json.loads((folder / "index.json").read_text())["cases"]:
            # What depends on TRAIN has no graph; losses have none in any phase.
            kind = case.get("layer_type", "")
            train = case.get("phase") == "TRAIN" and kind in ("BatchNorm", "Dropout", "net")
            if case["kind"] != "layer" or case["status"] != "ok" or train or "Data" in kind:
                continue
            judges = "Loss" in kind or kind in ("Accuracy", "Silence", "Python")
            if judges or case.get("forward_passes", 1) != 1:
                continue
            here = folder / case["dir"]

            def act():
                self.cwd = folder
                given = {i["blob"]: np.load(here / i["file"]).astype(np.float32) for i in case["inputs"]}
                want = {o["blob"]: np.load(here / o["file"]) for o in case["outputs"]}
                weights = here / case["weights"] if case.get("weights") else None
                error, _, nodes = self.compare(here / case["net"], weights, given=given, want=want)
                return error, " ".join(nodes[:6])

            try:
                self.line(f"golden/{case['name']}", act)
            finally:
                self.cwd = self.folder

    def cases(self):
        for kind, settings, inputs, *tops in CASES:

            def act():
                path, held = self.net(kind, settings, inputs, *tops)
                error, _, nodes = self.compare(path, self.weights(path), held=held)
                return error, " ".join(nodes[:6]) + (" ..." if len(nodes) > 6 else "")

            short = settings.split("{")[-1].strip("} ") if settings else ""
            self.line(f"{kind} {short} [{inputs}]", act)
        for name, text, inputs, outputs in NETS:

            def act():
                path = self.folder / "net.prototxt"
                path.write_text(text)
                error, names, nodes = self.compare(path, self.weights(path))
                found = [value.name for value in onnx.load(str(self.folder / "net.onnx")).graph.input]
                if (found, names) != (inputs, outputs):
                    raise RuntimeError(f"from {found} to {names}, expected from {inputs} to {outputs}")
                return error, " ".join(nodes)

            self.line(name, act)

    def documentation(self):
        """The commands and the Python of docs/formats.md, one after the other."""
        text = (ROOT / "docs" / "formats.md").read_text()
        (self.folder / "models").symlink_to(ROOT / "models")

        def act():
            blocks = text.split("```")[1::2]
            for language, block in (block.split("\n", 1) for block in blocks):
                if language == "python":
                    subprocess.run([sys.executable, "-c", block], cwd=self.folder, check=True)
                elif language == "sh":
                    for line in block.splitlines():
                        self.cnnctl(*line.split()[1:])
            return 0.0, f"{len(blocks)} blocks"

        self.line("docs/formats.md", act)

    def refused(self):
        for kind, settings, inputs, option, message in REFUSED:

            def act():
                path, _ = self.net(kind, settings, inputs)
                out = self.folder / "refused.onnx"
                log = self.cnnctl("export", "--model", path, *option.split(), "-o", out, fails=True)
                if message not in log or out.exists():
                    raise RuntimeError(f"expected `{message}`, found {log}")
                return 0.0, log.strip().splitlines()[-1] if option else message

            self.line(f"refused: {kind} {option} [{inputs}]", act)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cnnctl", type=pathlib.Path)
    parser.add_argument("part", nargs="*")
    arguments = parser.parse_args()
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (onnx, onnxruntime, np, safetensors))
    print(f"python {sys.version.split()[0]}, {versions}")
    with tempfile.TemporaryDirectory() as folder:
        check = Check(arguments.cnnctl.resolve(), arguments.part, folder)
        check.cases()
        check.refused()
        check.documentation()
        check.golden()
        check.external()
        check.any_batch()
        check.models()
    print(f"{check.passed} ok, {len(check.failed)} failed; the largest error of those that are ok is {check.worst:.1e}")
    for name in check.failed:
        print(f"failed: {name}")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
