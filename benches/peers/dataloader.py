#!/usr/bin/env python3
"""PyTorch's DataLoader on the sets of `cargo bench --bench data`: samples a second.

    CNNCTL_BENCH_DATA=/tmp/sets cargo bench --bench data
    python3 benches/peers/dataloader.py /tmp/sets

Needs torch, torchvision and OpenCV. Each set is read as a training loop would, with nothing else to do, by 0, 1 and 2 worker
processes; the median of five passes counts. On a machine with other work compare by processor time.
"""

import pathlib
import statistics
import sys
import time

import cv2
import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset

CROP, BATCH, MEAN = 227, 64, np.array([104.0, 117.0, 123.0], np.float32)
cv2.setNumThreads(0)


class List(Dataset):
    """Files of a list, decoded by torchvision's way (Pillow) or by OpenCV."""

    def __init__(self, folder, name, read):
        lines = (folder / name).read_text().split("\n")
        self.items = [(folder / "images" / p, int(l)) for p, l in (line.rsplit(" ", 1) for line in lines if line)]
        self.read = read

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        return self.read(path), label


class Memory(Dataset):
    """Arrays in memory, as MNIST and CIFAR of torchvision keep them."""

    def __init__(self, values, read):
        self.values, self.read = values, read

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.read(self.values[index]), index % 10


pillow = torchvision.transforms.Compose(
    [
        torchvision.transforms.RandomCrop(CROP),
        torchvision.transforms.RandomHorizontalFlip(),
        torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize([0.48, 0.46, 0.41], [0.23, 0.22, 0.22]),
    ]
)


def by_pillow(path):
    with Image.open(path) as image:
        return pillow(image.convert("RGB"))


def crop(image):
    y, x = np.random.randint(image.shape[0] - CROP + 1), np.random.randint(image.shape[1] - CROP + 1)
    image = image[y : y + CROP, x : x + CROP]
    if np.random.rand() < 0.5:
        image = image[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray((image.astype(np.float32) - MEAN).transpose(2, 0, 1)))


def by_opencv(path):
    return crop(cv2.imread(str(path)))


def by_opencv_resized(path):
    return crop(cv2.resize(cv2.imread(str(path)), (300, 240)))


def plain(image):
    return torch.from_numpy(image.astype(np.float32))[None]


def rates(dataset, workers):
    """Samples a second, and samples a second of processor time, which counts for 0 workers alone."""
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0)
    wall, processor = [], []
    for _ in range(6):
        start, used, count = time.perf_counter(), time.process_time(), 0
        for data, _ in loader:
            count += len(data)
        wall.append(count / (time.perf_counter() - start))
        processor.append(count / (time.process_time() - used))
    return statistics.median(wall[1:]), statistics.median(processor[1:])


def main():
    folder = pathlib.Path(sys.argv[1])
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, OpenCV {cv2.__version__}")
    pictures = np.stack([cv2.imread(str(folder / f"images/{i}.png")) for i in range(256)])
    digits = np.full((10_000, 28, 28), 7, np.uint8)
    print(f"{'samples a second':28}{'0 workers':>12}{'1 worker':>12}{'2 workers':>12}{'of CPU time':>14}")
    for name, dataset in (
        ("list_jpg, torchvision", List(folder, "jpg.txt", by_pillow)),
        ("list_jpg, OpenCV", List(folder, "jpg.txt", by_opencv)),
        ("list_jpg_resized, OpenCV", List(folder, "jpg.txt", by_opencv_resized)),
        ("list_png, torchvision", List(folder, "png.txt", by_pillow)),
        ("list_png, OpenCV", List(folder, "png.txt", by_opencv)),
        ("raw images in memory", Memory(pictures, crop)),
        ("digits in memory", Memory(digits, plain)),
    ):
        found = [rates(dataset, workers) for workers in (0, 1, 2)]
        print(f"{name:28}" + "".join(f"{wall:12.0f}" for wall, _ in found) + f"{found[0][1]:14.0f}", flush=True)


if __name__ == "__main__":
    main()
