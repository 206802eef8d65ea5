#!/usr/bin/env python3
"""Databases and HDF5 files, ours read by the reference libraries and theirs by us.

    python3 -m venv /tmp/interop
    /tmp/interop/bin/pip install numpy lmdb plyvel h5py protobuf opencv-python-headless
    /tmp/interop/bin/python scripts/interop.py target/release/cnnctl

Needs the libraries named above, which CI does not install: run it by hand after a change of src/data/{lmdb,leveldb,hdf5}
or of a dependency, and keep what it prints in benches/results. Prints one line for each check and exits with 1 if one fails.
"""

import argparse
import pathlib
import platform
import subprocess
import sys
import tempfile

import cv2
import h5py
import lmdb
import numpy as np
import plyvel

COUNT, SHAPE = 500, (3, 9, 7)
failures = []


def check(what, right, detail=""):
    print(f"{'ok  ' if right else 'FAIL'}  {what}{': ' + detail if detail else ''}")
    if not right:
        failures.append(what)


def varint(value):
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def datum(pixels, label):
    """A Datum of bytes: its five fields are simple enough to need no compiled schema."""
    c, h, w = pixels.shape
    data = pixels.tobytes()
    head = b"".join(bytes([tag]) + varint(v) for tag, v in ((0x08, c), (0x10, h), (0x18, w)))
    return head + b"\x22" + varint(len(data)) + data + b"\x28" + varint(label)


def fields(message):
    """The fields of a message: numbers to values or bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            found[tag >> 3] = number()
        elif tag & 7 == 2:
            size = number()
            found[tag >> 3] = message[at : at + size]
            at += size
        else:
            raise ValueError(f"unexpected wire type in tag {tag}")
    return found


def entries_lmdb(path):
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return list(transaction.cursor())


def entries_leveldb(path):
    with plyvel.DB(str(path)) as database:
        return list(database)


def write_lmdb(path, entries):
    with lmdb.open(str(path), map_size=1 << 30) as env, env.begin(write=True) as transaction:
        for key, value in entries:
            transaction.put(key, value)


def write_leveldb(path, entries):
    with plyvel.DB(str(path), create_if_missing=True, write_buffer_size=64 << 10) as database:
        for key, value in entries:
            database.put(key, value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cnnctl", type=pathlib.Path)
    program = parser.parse_args().cnnctl.resolve()
    versions = {m.__name__: m.__version__ for m in (lmdb, plyvel, h5py, np, cv2)}
    print(f"python {platform.python_version()}, " + ", ".join(f"{n} {v}" for n, v in versions.items()))
    with tempfile.TemporaryDirectory() as folder:
        run(program, pathlib.Path(folder))
    sys.exit(1 if failures else 0)


def run(program, folder):
    def cnnctl(*args, read=False):
        done = subprocess.run([program, *map(str, args)], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"cnnctl {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout if read else done.stderr

    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
    labels = random.integers(0, 10, COUNT)
    (folder / "images").mkdir()
    with open(folder / "list", "w") as text:
        for i, (image, label) in enumerate(zip(pixels, labels)):
            cv2.imwrite(str(folder / f"images/{i}.png"), image.transpose(1, 2, 0))
            text.write(f"{i}.png {label}\n")

    for kind, read, write in (
        ("lmdb", entries_lmdb, write_lmdb),
        ("leveldb", entries_leveldb, write_leveldb),
    ):
        ours_to_theirs(kind, read, cnnctl, folder, pixels, labels)
        theirs_to_ours(kind, write, cnnctl, folder, pixels, labels)
    resize(cnnctl, folder, pixels)
    hdf5(cnnctl, folder, random)


def ours_to_theirs(kind, read, cnnctl, folder, pixels, labels):
    cnnctl("convert", "imageset", "--backend", kind, "images/", "list", f"ours_{kind}")
    found = read(folder / f"ours_{kind}")
    keys = [f"{i:08}_{i}.png".encode() for i in range(COUNT)]
    check(f"{kind} of ours, keys", [key for key, _ in found] == keys, f"{len(found)} entries")
    messages = [fields(value) for _, value in found]
    same = all(
        (m[1], m[2], m[3], m[5]) == (*SHAPE, label) and m[4] == image.tobytes()
        for m, image, label in zip(messages, pixels, labels)
    )
    check(f"{kind} of ours, pixels and labels as OpenCV decodes them", same)


def theirs_to_ours(kind, write, cnnctl, folder, pixels, labels):
    write(folder / f"theirs_{kind}", [(f"{i:08}".encode(), datum(p, int(l))) for i, (p, l) in enumerate(zip(pixels, labels))])
    net = f"""
        layer {{ name: "data" type: "Data" top: "data" top: "label"
                data_param {{ source: "theirs_{kind}" backend: {kind.upper()} batch_size: {COUNT} }} }}"""
    (folder / "net").write_text(net)
    cnnctl("run", "--model", "net", "--output", "out.npz")
    out = np.load(folder / "out.npz")
    check(f"{kind} of theirs, pixels", np.array_equal(out["data/data"], pixels.astype(np.float32)))
    check(f"{kind} of theirs, labels", np.array_equal(out["data/label"], labels.astype(np.float32)))


def resize(cnnctl, folder, pixels):
    for h, w in ((5, 5), (18, 14), (13, 30), (1, 1)):
        cnnctl("convert", "imageset", f"--resize_height={h}", f"--resize_width={w}", "images/", "list", f"r{h}x{w}")
        differ = worst = 0
        for (_, value), image in zip(entries_lmdb(folder / f"r{h}x{w}"), pixels):
            ours = np.frombuffer(fields(value)[4], np.uint8).reshape(3, h, w)
            theirs = cv2.resize(image.transpose(1, 2, 0), (w, h)).transpose(2, 0, 1)
            gap = np.abs(ours.astype(int) - theirs)
            differ, worst = differ + np.count_nonzero(gap), max(worst, gap.max())
        check(f"resize to {h} x {w} as OpenCV", worst <= 1, f"{differ} of {COUNT * 3 * h * w} bytes differ, by {worst} at most")


def hdf5(cnnctl, folder, random):
    values = random.standard_normal((64, 2, 3, 4)).astype(np.float32)
    labels = random.integers(0, 5, 64).astype(np.float32)
    for name, options in (
        ("plain", {}),
        ("chunked", {"chunks": (10, 2, 3, 4)}),
        ("compressed", {"compression": "gzip", "shuffle": True}),
    ):
        with h5py.File(folder / "theirs.h5", "w") as file:
            file.create_dataset("data", data=values, **options)
            file.create_dataset("label", data=labels)
        (folder / "files").write_text("theirs.h5\n")
        (folder / "net").write_text("""
            layer { name: "data" type: "HDF5Data" top: "data" top: "label"
                    hdf5_data_param { source: "files" batch_size: 64 } }""")
        cnnctl("run", "--model", "net", "--output", "out.npz")
        out = np.load(folder / "out.npz")
        same = np.array_equal(out["data/data"], values) and np.array_equal(out["data/label"], labels)
        check(f"HDF5 of theirs, {name}", same)
    # A net without weights of its own takes any file of weights: an empty InnerProduct would do as well.
    (folder / "net").write_text("""
        layer { name: "data" type: "HDF5Data" top: "data" top: "label"
                hdf5_data_param { source: "files" batch_size: 16 } }
        layer { name: "s" type: "Scale" bottom: "data" top: "a/b" scale_param { axis: 0 num_axes: 0 } }""")
    (folder / "solver").write_text('net: "net" base_lr: 0 lr_policy: "fixed" max_iter: 0 snapshot_prefix: "s"')
    cnnctl("train", "--solver", "solver")
    cnnctl("extract-features", "s_iter_0.caffemodel", "net", "a/b", "ours.h5", 4, "hdf5")
    with h5py.File(folder / "ours.h5") as file:
        check("HDF5 of ours, with a group", np.array_equal(file["a/b"][:], values))
    cnnctl("extract-features", "s_iter_0.caffemodel", "net", "a/b", "ours.npy", 4, "npy")
    check("npy of ours", np.array_equal(np.load(folder / "ours.npy"), values))


if __name__ == "__main__":
    main()
