#!/usr/bin/env python3
"""Makes the pictures of docs/looking-inside.md, of LeNet on MNIST.

    data/get_mnist.sh
    scripts/pictures.py target/release/cnnctl

Run it in the folder of the repository, with the databases of the README's section MNIST in data/mnist. Trains LeNet for
5000 iterations first, if snaps/lenet_iter_5000.caffemodel is not there. Pictures go to docs/pictures.
"""

import pathlib
import struct
import subprocess
import sys
import zlib

PROGRAM = sys.argv[1]
WEIGHTS = pathlib.Path("snaps/lenet_iter_5000.caffemodel")
PICTURES = pathlib.Path("docs/pictures")


def cnnctl(*arguments):
    subprocess.run([PROGRAM, "-q", *map(str, arguments)], check=True)


def png(path, pixels, width):
    """A grey picture."""
    rows = [b"\0" + pixels[i : i + width] for i in range(0, len(pixels), width)]
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    data = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))


def main():
    PICTURES.mkdir(exist_ok=True)
    if not WEIGHTS.exists():
        solver = pathlib.Path("snaps/lenet_5000.prototxt.tmp")
        solver.parent.mkdir(exist_ok=True)
        solver.write_text(pathlib.Path("solvers/lenet.prototxt").read_text().replace("max_iter: 10000", "max_iter: 5000"))
        cnnctl("train", "--solver", solver)
    net = ["--model", "models/lenet/train_val.prototxt", "--weights", WEIGHTS]
    pictures = ["--sheet", PICTURES / "worst.png", "--worst", 15, "--confusion", PICTURES / "confusion.png"]
    cnnctl("evaluate", *net, "--save", "snaps/evaluate.json", *pictures)
    # A four of the test set.
    images = pathlib.Path("data/mnist/t10k-images-idx3-ubyte").read_bytes()[16:]
    digit = pathlib.Path("snaps/digit.png")
    png(digit, images[4 * 784 : 5 * 784], 28)
    look = ["--model", "models/lenet/deploy.prototxt", "--weights", WEIGHTS, "--image", digit, "--scale", 1 / 256]
    cnnctl("visualize", "saliency", *look, "--method", "occlusion", "-o", PICTURES / "saliency.png")


main()
