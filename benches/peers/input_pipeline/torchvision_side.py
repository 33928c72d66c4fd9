#!/usr/bin/env python3
"""torchvision's side of the comparison; prints the same JSON as our example `input_pipeline`."""

import argparse
import json
import sys
import time
from pathlib import Path

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


def rates(paths: list[Path], workers: int, passes: int, batch: int) -> list[float]:
    """Images per second of each pass; the workers live on, and the first pass is not counted."""
    loader = DataLoader(
        Pictures(paths), batch_size=batch, num_workers=workers, persistent_workers=workers > 0
    )
    found = []
    for _ in range(passes + 1):
        start = time.perf_counter()
        for _ in loader:
            pass
        found.append(len(paths) / (time.perf_counter() - start))
    return found[1:]


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
    paths = sorted(options.folder.glob("*.jpg"))
    found = rates(paths, options.workers, options.passes, options.batch)
    json.dump({"images_per_second": found, "microseconds": stages(paths)}, sys.stdout)


if __name__ == "__main__":
    main()
