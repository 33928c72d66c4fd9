#!/usr/bin/env python3
"""Decode + augment: our training loader against torchvision's, in turns, on the same JPEGs.

Builds our side, draws the pictures (once; they are kept), runs both sides one after the other for
several rounds and prints a table of medians. Needs PyTorch and torchvision in the Python given.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VENV = Path(os.environ.get("CENTROIDS_PEERS_VENV") or Path.home() / ".cache/centroids-peers")
RATES = ("images_per_second", "images_per_cpu_second")
DEFAULT_PYTHON = VENV / "bin/python"


def run(command: list, **options) -> str:
    """Standard output of a command; a failure ends the program with its message."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{' '.join(words)}: {error}")


def our_binary() -> Path:
    """Builds the example and tells where it is."""
    build = "cargo build --release --workspace --example input_pipeline --message-format json"
    for line in run(build.split(), cwd=ROOT, stderr=subprocess.DEVNULL).splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "input_pipeline" and message.get("executable"):
            return Path(message["executable"])
    sys.exit("cargo did not report the example `input_pipeline`")


def pictures(python: Path, cache: Path, size: str, count: int) -> Path:
    """The folder of pictures of this size, drawn if it is not there whole."""
    folder = cache / f"{size}-{count}"
    if not folder.is_dir() or len(list(folder.glob("*.jpg"))) != count:
        run([python, HERE / "pictures.py", folder, "--size", size, "--count", count])
    return folder


def compare(sides: dict[str, list], folder: Path, options) -> dict[str, dict]:
    """Medians over the rounds of each side."""
    reports = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, command in sides.items():
            arguments = [folder, options.workers, 1, options.batch]
            reports[name].append(json.loads(run([*command, *arguments])))
    summary = {}
    for name, found in reports.items():
        stages = found[0]["microseconds"]
        summary[name] = {
            rate: median(one[rate][0] for one in found) for rate in RATES
        } | {
            "microseconds": {
                stage: round(median(one["microseconds"][stage] for one in found))
                for stage in stages
            },
        }
    return summary


def print_row(size: str, summary: dict[str, dict], cores: int) -> None:
    cells = []
    for rate, share in zip(RATES, (cores, 1)):
        ours, theirs = (summary[name][rate] / share for name in ("ours", "torchvision"))
        cells += [f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}×"]
    print("|", " | ".join([size, *cells]), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, default=DEFAULT_PYTHON)
    parser.add_argument("--cache", type=Path, default=VENV / "pictures")
    parser.add_argument("--sizes", nargs="+", default=["64x128", "640x480", "1000x750"])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the medians here")
    options = parser.parse_args()
    if not options.python.is_file():
        parser.error(f"no Python at {options.python}: give --python or run benches/peers/venv.sh")

    sides = {
        "ours": [our_binary()],
        "torchvision": [options.python, HERE / "torchvision_side.py"],
    }
    cores = min(options.workers, os.cpu_count() or 1)
    results = {}
    kinds = ("images/s per core", "images per CPU second")
    heads = [head for kind in kinds for head in (f"ours, {kind}", "torchvision", "ratio")]
    print("|", " | ".join(["JPEG", *heads]), "|")
    print("|" + " --- |" * (len(heads) + 1))
    for size in options.sizes:
        folder = pictures(options.python, options.cache, size, options.count)
        results[size] = compare(sides, folder, options)
        print_row(size, results[size], cores)
    for size, summary in results.items():
        for name, side in summary.items():
            stages = ", ".join(f"{stage} {us:,}" for stage, us in side["microseconds"].items())
            print(f"{size}, {name}, µs per image on one thread: {stages}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
