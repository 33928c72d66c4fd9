#!/usr/bin/env python3
"""Unpacks the two "background small" archives of Omniglot and writes their manifest.

    scripts/omniglot.py [FOLDER WITH THE ARCHIVES] [OUTPUT FOLDER]

Training: the characters of four alphabets. Query and gallery: those of the others, drawers 1-4 and
5-20. An identity is (alphabet, character); the drawer stands for the camera. Standard library only.
"""

import csv
import pathlib
import re
import sys
import zipfile

TRAIN = re.compile(r"^(Greek|Korean|Latin|Japanese_\((hiragana|katakana)\))$")
QUERY_DRAWERS = range(1, 5)


def unpack(source: pathlib.Path, target: pathlib.Path) -> list[pathlib.PurePosixPath]:
    """Extracts every drawing to TARGET/<alphabet>/<character>/ and returns the relative paths."""
    archives = sorted(source.glob("images_background_small*.zip"))
    if not archives:
        sys.exit(f"error: no images_background_small*.zip in {source}")
    drawings = set()
    for archive in archives:
        with zipfile.ZipFile(archive) as pack:
            for name in pack.namelist():
                path = pathlib.PurePosixPath(name)
                if path.suffix == ".png":
                    relative = pathlib.PurePosixPath(*path.parts[-3:])
                    file = target / relative
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(pack.read(name))
                    drawings.add(relative)
    return sorted(drawings)


def row(path: pathlib.PurePosixPath) -> tuple[str, str, int, str]:
    """The manifest row of one drawing."""
    alphabet, character, name = path.parts
    drawer = int(re.search(r"_(\d+)\.png$", name)[1])
    split = "train" if TRAIN.match(alphabet) else "query" if drawer in QUERY_DRAWERS else "gallery"
    return str(path), f"{alphabet}/{character}", drawer - 1, split


def main() -> None:
    arguments = [pathlib.Path(argument) for argument in sys.argv[1:]]
    defaults = [pathlib.Path("../shared/data/omniglot-small"), pathlib.Path("data/omniglot")]
    source, target = arguments + defaults[len(arguments) :]
    drawings = unpack(source, target)
    with open(target / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "pid", "camid", "split"])
        writer.writerows(map(row, drawings))
    print(f"{len(drawings)} drawings in {target}")


if __name__ == "__main__":
    main()
