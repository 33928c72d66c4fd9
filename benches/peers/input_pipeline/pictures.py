#!/usr/bin/env python3
"""Draws JPEGs with the statistics of photographs: noise that falls with its frequency, and shapes.

Every picture is a function of its number and size, so that two runs measure the same bytes.
"""

import argparse
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw


def noise(rng: random.Random, size: tuple[int, int], cells: int) -> Image.Image:
    """Random colours on a grid of about `cells` a side, blown up to `size`."""
    width, height = (max(2, min(side, cells)) for side in size)
    grid = Image.frombytes("RGB", (width, height), rng.randbytes(width * height * 3))
    return grid.resize(size, Image.Resampling.BICUBIC)


def picture(number: int, size: tuple[int, int]) -> Image.Image:
    """One picture of `size` (width, height)."""
    rng = random.Random(number)
    image = noise(rng, size, 4)
    canvas = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        box = (x, y, x + rng.randrange(4, size[0] // 2), y + rng.randrange(4, size[1] // 2))
        draw = rng.choice((canvas.ellipse, canvas.rectangle))
        draw(box, fill=tuple(rng.randbytes(3)))
    for octave in range(3, 11):
        strength = 160 / 2 ** (0.6 * octave)
        layer = noise(rng, size, 2**octave)
        image = ImageChops.add(image, layer.point(lambda v, s=strength: round(v * s / 255)))
        image = ImageChops.subtract(image, Image.new("RGB", size, (round(strength / 2),) * 3))
    return image


def write(folder: Path, count: int, size: tuple[int, int], quality: int) -> None:
    """Writes `count` JPEGs with halved chroma, the usual kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        picture(number, size).save(path, quality=quality, subsampling="4:2:0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT")
    parser.add_argument("--quality", type=int, default=90)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    write(options.folder, options.count, (width, height), options.quality)


if __name__ == "__main__":
    main()
