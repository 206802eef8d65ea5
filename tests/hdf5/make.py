"""Writes a snapshot as Caffe's HDF5 code does: libhdf5's default (oldest) layout, a group for every layer, numbers of one
element, a string that ends in NUL.

    python3 make.py        # needs h5py; writes caffe.caffemodel.h5 and caffe.solverstate.h5 beside itself
"""
import os

import h5py
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))

with h5py.File("caffe.caffemodel.h5", "w", libver="earliest", track_order=False) as f:
    data = f.create_group("data")
    for layer in ("d", "ip", "l"):
        data.create_group(layer)
    data["ip/0"] = np.array([[0.5, -1], [2, 0.25]], "f4")
    data["ip/1"] = np.array([1, -2], "f4")

with h5py.File("caffe.solverstate.h5", "w", libver="earliest", track_order=False) as f:
    f["iter"] = np.array([2], "i4")
    name = b"caffe.caffemodel.h5\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(name))
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    text = h5py.h5d.create(f.id, b"learned_net", kind, scalar)
    text.write(scalar, scalar, np.array(name, f"S{len(name)}"), kind)
    f["current_step"] = np.array([1], "i4")
    history = f.create_group("history")
    history["0"] = np.array([[0.5, 0], [-0.5, 1]], "f4")
    history["1"] = np.array([0, 3], "f8")
