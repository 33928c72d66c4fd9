#!/usr/bin/env python3
"""torchvision's side of the comparison; prints the same JSON as our example `input_pipeline`."""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

SIZE = (256, 128)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

RESIZE = transforms.Resize(SIZE)
REST = transforms.Compose(
    [
        transforms.RandomHorizontalFlip(0.5),
        transforms.Pad(10),
        transforms.RandomCrop(SIZE),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
        transforms.RandomErasing(p=0.5),
    ]
)


class Pictures(Dataset):
    """The pictures of a folder, transformed for training."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        return REST(RESIZE(Image.open(self.paths[index]).convert("RGB")))


def cpu_seconds() -> float:
    """CPU time of this process and its workers so far (fields 14 and 15 of their `stat`)."""
    ticks = 0
    for pid in ["self", *(child.pid for child in multiprocessing.active_children())]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def rates(paths: list[Path], workers: int, passes: int, batch: int) -> list[tuple[float, float]]:
    """Images per second and per second of CPU time of each pass.

    The workers live on, and the first pass is not counted.
    """
    loader = DataLoader(
        Pictures(paths), batch_size=batch, num_workers=workers, persistent_workers=workers > 0
    )
    for _ in loader:
        pass
    found = []
    for _ in range(passes):
        start, cpu_start = time.perf_counter(), cpu_seconds()
        for _ in loader:
            pass
        spent = time.perf_counter() - start, cpu_seconds() - cpu_start
        found.append(tuple(len(paths) / seconds for seconds in spent))
    return found


def stages(paths: list[Path]) -> dict[str, float]:
    """Mean microseconds per image on one thread."""
    spent = {"read and decode": 0.0, "transform": 0.0, "of which resize": 0.0}
    for path in paths:
        start = time.perf_counter()
        image = Image.open(path).convert("RGB")
        decoded = time.perf_counter()
        resized = RESIZE(image)
        narrowed = time.perf_counter()
        REST(resized)
        end = time.perf_counter()
        spent["read and decode"] += decoded - start
        spent["transform"] += end - decoded
        spent["of which resize"] += narrowed - decoded
    return {stage: seconds * 1e6 / len(paths) for stage, seconds in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("workers", type=int, nargs="?", default=2)
    parser.add_argument("passes", type=int, nargs="?", default=5)
    parser.add_argument("batch", type=int, nargs="?", default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)  # as it is in the workers
    paths = sorted(options.folder.glob("*.jpg"))
    found = rates(paths, options.workers, options.passes, options.batch)
    report = {
        "images_per_second": [rate for rate, _ in found],
        "images_per_cpu_second": [rate for _, rate in found],
        "microseconds": stages(paths[:100]),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
