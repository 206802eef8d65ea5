#!/usr/bin/env python3
"""What `cnnctl evaluate` says, compared with scikit-learn.

    python3 -m venv /tmp/evaluate
    /tmp/evaluate/bin/pip install scikit-learn
    /tmp/evaluate/bin/python scripts/evaluate_check.py target/release/cnnctl --weights snaps/digits_iter_1200.caffemodel

Further arguments go to `cnnctl evaluate`, for example --model NET. Prints one line for each measure and exits with 1 if one differs.
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import sklearn
from sklearn import metrics

failures = []
# Probabilities in f32 do not add up to 1 in f64.
warnings.filterwarnings("ignore", message="The y_prob values do not sum to one")


def check(what, ours, theirs, tolerance=1e-9):
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    worst = float(np.max(np.abs(ours - theirs))) if ours.shape == theirs.shape and ours.size else float("inf")
    right = worst <= tolerance
    shown = f"{float(ours):.6f}" if ours.ndim == 0 else f"{ours.size} values"
    print(f"{'ok  ' if right else 'FAIL'}  {what}: {shown}, largest difference {worst:.1e}")
    if not right:
        failures.append(what)


def distance(points, line):
    """The largest distance of points from a line of straight pieces."""
    start, way = line[:-1], np.diff(line, axis=0)
    along = np.sum((points[:, None] - start) * way, axis=2) / np.maximum(np.sum(way**2, axis=1), 1e-300)
    nearest = start + np.clip(along, 0, 1)[..., None] * way
    return np.max(np.min(np.linalg.norm(points[:, None] - nearest, axis=2), axis=1))


def main():
    program, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "predictions.csv"
        command = [program, "-q", "evaluate", *arguments, "--ordered", "--top", "1,2,3,5", "--format", "json"]
        command += ["--predictions", table]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows = list(csv.DictReader(table.open()))
    classes = found["classes"]
    every = list(range(classes))
    labels = np.array([int(row["label"]) for row in rows])
    seen = np.array([int(row["predicted"]) for row in rows])
    # Written as the shortest text of an f32.
    p = np.array([[row[f"p{k}"] for k in every] for row in rows], dtype=np.float32).astype(float)
    print(f"scikit-learn {sklearn.__version__}, {len(rows)} samples of {classes} classes")

    check("accuracy", found["accuracy"], metrics.accuracy_score(labels, seen))
    check("confusion matrix", found["confusion"], metrics.confusion_matrix(labels, seen, labels=every))
    by_class = metrics.precision_recall_fscore_support(labels, seen, labels=every, zero_division=0)
    for name, theirs in zip(["precision", "recall", "f1", "support"], by_class):
        check(f"{name} of each class", [c[name] for c in found["per_class"]], theirs)
    for ours, theirs in [("macro", "macro"), ("weighted", "weighted")]:
        averages = metrics.precision_recall_fscore_support(labels, seen, average=theirs, zero_division=0)[:3]
        check(f"{ours} means", [found["averages"][ours][name] for name in ["precision", "recall", "f1"]], averages)
    for k in [1, 2, 3, 5]:
        if str(k) in found["top_k"]:
            theirs = metrics.top_k_accuracy_score(labels, p, k=k, labels=every)
            # Of equal probabilities scikit-learn takes the last classes first, cnnctl the first.
            check(f"top-{k} accuracy", found["top_k"][str(k)], theirs, 1e-9 if k < 5 else 1 / len(rows))
    # Ours comes from scores, theirs from probabilities in f32.
    check("log loss", found["log_loss"], metrics.log_loss(labels, np.clip(p, 1e-30, 1), labels=every), 1e-6)
    one_hot = np.eye(classes)[labels]
    check("Brier score", found["brier"], np.mean(np.sum((p - one_hot) ** 2, axis=1)))
    areas = [metrics.roc_auc_score(labels == k, p[:, k]) for k in every]
    check("AUC of each class", [c["auc"] for c in found["per_class"]], areas)
    normal = p / p.sum(axis=1, keepdims=True)
    for average in ["macro", "weighted"]:
        weights = np.bincount(labels, minlength=classes) if average == "weighted" else None
        check(f"AUC, {average}", found["auc"][average], np.average(areas, weights=weights))
        theirs = metrics.roc_auc_score(labels, normal, multi_class="ovr", average=average)
        check(f"AUC, {average}, by scikit-learn's own mean", found["auc"][average], theirs, 1e-4)
    for curve in found["roc"]:
        fpr, tpr, _ = metrics.roc_curve(labels == curve["class"], p[:, curve["class"]], drop_intermediate=False)
        points = np.array(curve["points"])
        # Ours leaves out points on lines: each of theirs is a point of ours, or lies between two.
        theirs, points = np.stack([fpr, tpr], axis=1), np.array(curve["points"])
        check(f"ROC curve of class {curve['class']}", distance(theirs, points), 0, 1e-9 if len(points) < 201 else 0.01)
    order = found["order"]
    check("quadratic kappa", order["quadratic_kappa"], metrics.cohen_kappa_score(labels, seen, weights="quadratic", labels=every))
    check("mean absolute error", order["mean_absolute_error"], metrics.mean_absolute_error(labels, seen))
    check("RMS error", order["root_mean_square_error"], metrics.mean_squared_error(labels, seen) ** 0.5)
    best = p.max(axis=1)
    bins = np.clip(np.ceil(best * 10).astype(int), 1, 10) - 1
    error = sum(abs(np.mean(best[bins == b]) - np.mean((seen == labels)[bins == b])) * np.mean(bins == b) for b in set(bins))
    check("calibration error", found["calibration_error"], error)
    sys.exit(1 if failures else 0)


main()
