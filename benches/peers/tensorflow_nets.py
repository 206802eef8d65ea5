#!/usr/bin/env python3
"""Times a net of the comparison with TensorFlow on the processor, and prints one line of JSON.

    python3 benches/peers/tensorflow_nets.py --net lenet --mode graph [--lrn native] [--batch 64] [--threads 2]

The nets are those of `torch_nets.py`, of Keras layers, with channels last, the only layout that TensorFlow has for processors. Modes:
`graph` is a `tf.function`, `xla` one that XLA compiles. `--lrn band` computes LRN by a convolution with a band matrix instead. What is
timed is the same as there, too, in milliseconds, median over the iterations: `infer_ms`, `forward_ms` (of training, with the loss),
`fwd_bwd_ms`, `step_ms` (SGD with momentum and weight decay); and `peak_mb`, the most memory after training.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import tensorflow as tf
from keras import layers

from torch_nets import peak_mb


class Builder:
    """A net that grows layer by layer: each method adds behind `x` and gives the net for the next."""

    def __init__(self, shape, lrn):
        self.input = self.x = keras.Input(shape[1:], batch_size=shape[0])
        self.lrn = lrn

    def add(self, layer):
        self.x = layer(self.x)
        return self

    def conv(self, outputs, kernel, stride=1, pad=0, groups=1, bias=True):
        same = stride == 1 and pad > 0
        if pad and not same:
            self.add(layers.ZeroPadding2D(pad))
        options = {"strides": stride, "padding": "same" if same else "valid", "use_bias": bias}
        if groups == 1:
            return self.add(layers.Conv2D(outputs, kernel, **options))
        if groups == self.x.shape[-1]:
            return self.add(layers.DepthwiseConv2D(kernel, **options))
        # TensorFlow has no gradient of a grouped convolution on the processor.
        width = self.x.shape[-1] // groups
        parts = [self.x[..., i * width : (i + 1) * width] for i in range(groups)]
        self.x = layers.Concatenate()([layers.Conv2D(outputs // groups, kernel, **options)(part) for part in parts])
        return self

    def relu(self):
        return self.add(layers.ReLU())

    def pool(self, kind=layers.MaxPooling2D, kernel=3, stride=2):
        """Sizes are rounded up, as in Caffe: `same` adds the one line that is missing at the end."""
        fits = (self.x.shape[1] - kernel) % stride == 0
        return self.add(kind(kernel, stride, padding="valid" if fits else "same"))

    def mean(self, kernel=3, stride=2):
        return self.pool(layers.AveragePooling2D, kernel, stride)

    def across(self, size=5, alpha=1e-4, beta=0.75):
        """LRN over neighbouring channels."""
        if self.lrn == "native":
            norm = lambda x: tf.nn.local_response_normalization(x, size // 2, 1.0, alpha / size, beta)
        else:
            channels = tf.range(self.x.shape[-1])
            band = tf.cast(tf.abs(channels[:, None] - channels) <= size // 2, tf.float32) * (alpha / size)
            norm = lambda x: x * three_quarters(1.0 + tf.nn.conv2d(x * x, band[None, None], 1, "VALID"))
        return self.add(layers.Lambda(norm, output_shape=self.x.shape[1:]))

    def within(self, size=3, alpha=5e-5):
        """LRN over neighbours in the plane."""
        norm = lambda x: x * three_quarters(1.0 + alpha * tf.nn.avg_pool2d(x * x, size, 1, "SAME"))
        return self.add(layers.Lambda(norm, output_shape=self.x.shape[1:]))

    def norm(self):
        return self.add(layers.BatchNormalization(momentum=0.999, epsilon=1e-5))

    def flat(self):
        return self.add(layers.Flatten())

    def dense(self, outputs):
        return self.add(layers.Dense(outputs))

    def drop(self, share=0.5):
        return self.add(layers.Dropout(share))

    def classify(self, *widths):
        """Fully connected layers, dropped out between."""
        self.flat()
        for width in widths[:-1]:
            self.dense(width).relu().drop()
        return self.dense(widths[-1])

    def beside(self, *ways):
        """Several ways from here, their channels joined."""
        start, ends = self.x, []
        for way in ways:
            self.x = start
            way(self)
            ends.append(self.x)
        self.x = layers.Concatenate()(ends)
        return self

    def residual(self, way, short):
        start = self.x
        way(self)
        long, self.x = self.x, start
        short(self)
        self.x = layers.Add()([long, self.x])
        return self.relu()


def three_quarters(x):
    """x^(-3/4)"""
    root = tf.math.rsqrt(x)
    return root * tf.sqrt(root)


def lenet(b):
    b.conv(20, 5).pool(kernel=2).conv(50, 5).pool(kernel=2).flat().dense(500).relu().dense(10)


def cifar10_quick(b):
    b.conv(32, 5, 1, 2).pool().relu().conv(32, 5, 1, 2).relu().mean().conv(64, 5, 1, 2).relu().mean().flat().dense(64).dense(10)


def cifar10_full(b):
    b.conv(32, 5, 1, 2).pool().relu().within().conv(32, 5, 1, 2).relu().mean().within()
    b.conv(64, 5, 1, 2).relu().mean().flat().dense(10)


def caffenet(b):
    b.conv(96, 11, 4).relu().pool().across().conv(256, 5, 1, 2, groups=2).relu().pool().across().conv(384, 3, 1, 1).relu()
    b.conv(384, 3, 1, 1, groups=2).relu().conv(256, 3, 1, 1, groups=2).relu().pool().classify(4096, 4096, 1000)


def age(b):
    b.conv(96, 7, 4).relu().pool().across().conv(256, 5, 1, 2).relu().pool().across().conv(384, 3, 1, 1).relu().pool()
    b.classify(512, 512, 8)


def squeezenet11(b):
    def fire(squeezed, expanded):
        b.conv(squeezed, 1).relu()
        b.beside(lambda b: b.conv(expanded, 1).relu(), lambda b: b.conv(expanded, 3, 1, 1).relu())

    b.conv(64, 3, 2).relu()
    for stage in ((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)):
        b.pool()
        for squeezed, expanded in stage:
            fire(squeezed, expanded)
    b.drop().conv(1000, 1).relu().add(layers.GlobalAveragePooling2D())


def resnet(b, blocks, deep):
    b.conv(64, 7, 2, 3, bias=deep).norm().relu().pool()
    for stage, count in enumerate(blocks):
        width = 64 << stage
        outputs = 4 * width if deep else width
        for block in range(count):
            stride = 2 if stage and not block else 1

            def way(b):
                if deep:  # the stride is in the first 1 x 1, as in He's files for Caffe
                    b.conv(width, 1, stride, bias=False).norm().relu().conv(width, 3, 1, 1, bias=False).norm().relu()
                    return b.conv(outputs, 1, bias=False).norm()
                return b.conv(width, 3, stride, 1, bias=False).norm().relu().conv(width, 3, 1, 1, bias=False).norm()

            b.residual(way, (lambda b: b) if block else (lambda b: b.conv(outputs, 1, stride, bias=False).norm()))
    b.mean(7, 1).flat().dense(1000)


def mobilenet(b):
    b.conv(32, 3, 2, 1, bias=False).norm().relu()
    for outputs, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1)):
        b.conv(b.x.shape[-1], 3, stride, 1, groups=b.x.shape[-1], bias=False).norm().relu()
        b.conv(outputs, 1, bias=False).norm().relu()
    b.mean(7, 1).flat().dense(1000)


def googlenet(b):
    def inception(one, three, five, pooled):
        b.beside(
            lambda b: b.conv(one, 1).relu(),
            lambda b: b.conv(three[0], 1).relu().conv(three[1], 3, 1, 1).relu(),
            lambda b: b.conv(five[0], 1).relu().conv(five[1], 5, 1, 2).relu(),
            lambda b: b.add(layers.MaxPooling2D(3, 1, padding="same")).conv(pooled, 1).relu(),
        )

    b.conv(64, 7, 2, 3).relu().pool().across().conv(64, 1).relu().conv(192, 3, 1, 1).relu().across().pool()
    inception(64, (96, 128), (16, 32), 32)
    inception(128, (128, 192), (32, 96), 64)
    b.pool()
    inception(192, (96, 208), (16, 48), 64)
    inception(160, (112, 224), (24, 64), 64)
    inception(128, (128, 256), (24, 64), 64)
    inception(112, (144, 288), (32, 64), 64)
    inception(256, (160, 320), (32, 128), 128)
    b.pool()
    inception(256, (160, 320), (32, 128), 128)
    inception(384, (192, 384), (48, 128), 128)
    b.mean(7, 1).drop(0.4).flat().dense(1000)


def vgg16(b):
    for count, outputs in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            b.conv(outputs, 3, 1, 1).relu()
        b.pool(kernel=2)
    b.classify(4096, 4096, 1000)


# How a net is built, its input with channels last, and its number of classes.
NETS = {
    "lenet": (lenet, (64, 28, 28, 1), 10),
    "cifar10_quick": (cifar10_quick, (100, 32, 32, 3), 10),
    "cifar10_full": (cifar10_full, (100, 32, 32, 3), 10),
    "caffenet": (caffenet, (32, 227, 227, 3), 1000),
    "age": (age, (50, 227, 227, 3), 8),
    "squeezenet11": (squeezenet11, (16, 227, 227, 3), 1000),
    "resnet18": (lambda b: resnet(b, (2, 2, 2, 2), False), (8, 224, 224, 3), 1000),
    "resnet50": (lambda b: resnet(b, (3, 4, 6, 3), True), (8, 224, 224, 3), 1000),
    "mobilenet": (mobilenet, (8, 224, 224, 3), 1000),
    "googlenet": (googlenet, (16, 224, 224, 3), 1000),
    "vgg16": (vgg16, (4, 224, 224, 3), 1000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--mode", choices=("graph", "xla"), default="graph")
    parser.add_argument("--lrn", choices=("native", "band"), default="native")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--min-time", type=float, default=2.0, help="seconds for each part, if it takes fewer than 50 iterations")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    keras.utils.set_random_seed(1)

    build, shape, classes = NETS[arguments.net]
    shape = (arguments.batch or shape[0], *shape[1:])
    builder = Builder(shape, arguments.lrn)
    build(builder)
    net = keras.Model(builder.input, builder.x)
    x, y = tf.random.normal(shape), tf.random.uniform(shape[:1], maxval=classes, dtype=tf.int32)
    rule = keras.optimizers.SGD(1e-4, momentum=0.9, weight_decay=5e-4)
    rule.build(net.trainable_variables)
    function = tf.function(jit_compile=arguments.mode == "xla")

    def loss():
        scores = net(x, training=True)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores))

    def gradients():
        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, net.trainable_variables)

    def step():
        value, found = gradients()
        rule.apply_gradients(zip(found, net.trainable_variables))
        return value

    def timed(body):
        run = function(body)
        wait = lambda: tf.nest.map_structure(lambda t: t.numpy() if t.shape.rank == 0 else t, run())
        for _ in range(3):
            wait()
        times, end = [], time.perf_counter() + arguments.min_time
        while len(times) < 5 or (time.perf_counter() < end and len(times) < 50):
            start = time.perf_counter()
            wait()
            times.append(1e3 * (time.perf_counter() - start))
        return round(statistics.median(times), 3)

    found = {"net": arguments.net, "params": sum(v.shape.num_elements() for v in net.trainable_variables)}
    found |= {"fwd_bwd_ms": timed(gradients), "step_ms": timed(step), "peak_mb": peak_mb()}
    found |= {"forward_ms": timed(loss), "infer_ms": timed(lambda: net(x, training=False))}
    print(json.dumps(found | {"version": tf.__version__}))


if __name__ == "__main__":
    main()
