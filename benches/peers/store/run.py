#!/usr/bin/env python3
"""Exact search and durable updates: our gallery, faiss and LanceDB in turns, on the same vectors.

Builds our side, lets it make a gallery (once; it is kept), and runs the sides one after the other
for several rounds; prints medians. The Python given needs numpy and faiss-cpu, and lancedb for the
updates (`pip install numpy faiss-cpu lancedb`); without lancedb that line is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VENV = Path(os.environ.get("CENTROIDS_PEERS_VENV") or Path.home() / ".cache/centroids-peers")


def run(command: list, **options) -> str:
    """Standard output of a command; a failure ends the program with its message."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{' '.join(words)}: {error}")


def our_binary() -> Path:
    """Builds the example and tells where it is."""
    build = "cargo build --release --workspace --example store_speed --message-format json"
    for line in run(build.split(), cwd=ROOT, stderr=subprocess.DEVNULL).splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "store_speed" and message.get("executable"):
            return Path(message["executable"])
    sys.exit("cargo did not report the example `store_speed`")


def has(python: Path, module: str) -> bool:
    command = [str(python), "-c", f"import {module}"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def middle(reports: list[dict], *keys: str) -> float:
    """Median over the rounds of what lies under the keys."""
    values = []
    for report in reports:
        for key in keys:
            report = report[key]
        values.append(report)
    return median(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", type=Path, default=VENV / "bin/python")
    parser.add_argument("--classes", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=ROOT / "target/peers-store")
    parser.add_argument("--ours", type=Path, help="the built example [default: build it]")
    options = parser.parse_args()
    if not has(options.python, "faiss"):
        sys.exit(f"{options.python} has no faiss: pip install numpy faiss-cpu")
    options.cache.mkdir(parents=True, exist_ok=True)
    file = options.cache / f"{options.classes}x{options.dim}.gallery"
    ours = [options.ours or our_binary(), "--classes", options.classes, "--dim", options.dim, "--file", file]
    run(ours)  # makes the gallery, warms the page cache
    with tempfile.TemporaryDirectory(dir=options.cache) as folder:
        run([*ours, "--dump", folder])
        theirs = [options.python, HERE / "faiss_side.py", folder, options.dim]
        rounds = [(json.loads(run(ours)), json.loads(run(theirs))) for _ in range(options.rounds)]
    mine, faiss = [ours for ours, _ in rounds], [theirs for _, theirs in rounds]
    for width in ("f32", "f16"):
        if mine[0][width]["nearest"] != faiss[0]["nearest"]:
            sys.exit(f"{width}: not every nearest class is the one that faiss finds")
    report(mine, faiss, options)


def report(mine: list[dict], faiss: list[dict], options) -> None:
    print(f"{options.classes} classes of {options.dim} dimensions, medians of {options.rounds} rounds, ms")
    print(f"{'':34}{'f32':>10}{'f16':>10}{'faiss ' + faiss[0]['version']:>16}")
    for key, name in [("one", "1 query"), ("batch", "100 queries")]:
        both = [middle(mine, width, key) for width in ("f32", "f16")]
        print(f"{name:34}{both[0]:10.1f}{both[1]:10.1f}{middle(faiss, key):16.1f}")
    for key in ("one_without_camera", "batch_without_camera", "first_without_camera", "open"):
        both = [middle(mine, width, key) for width in ("f32", "f16")]
        print(f"{key.replace('_', ' '):34}{both[0]:10.1f}{both[1]:10.1f}")
    for key in ("add", "remove"):
        print(f"durable {key + 's':26}{middle(mine, 'updates_per_second', key):10.0f} a second")
    if has(options.python, "lancedb"):
        side = [options.python, HERE / "lancedb_side.py", options.classes, options.dim]
        lance = json.loads(run(side))
        both = 1 / (1 / lance["append"] + 1 / lance["upsert"])
        print(
            f"LanceDB {lance['version']}, a second: {lance['append']:.0f} rows appended, "
            f"{lance['upsert']:.1f} class rows replaced (an image and its class: {both:.1f}), "
            f"{lance['delete']:.1f} rows deleted; not flushed to the disk"
        )


if __name__ == "__main__":
    main()
