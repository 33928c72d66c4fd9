"""Re-ranks with numpy and with us in turn and writes a table; started by run.sh."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
GATE = (2_000, 400)  # vectors and queries of the comparison in double precision
FULL = (10_000, 2_000)
QUICK = GATE
LARGEST = (93_820, 11_659)  # MSMT17
LARGEST_MIB = 4096
# Distances along our lists differ by no more from those along the dense form's.
EXACT = 1e-9
# In single precision neighbours that are nearly equally far may change places, and then whole sets
# do; so many queries have the same list at least.
SAME_LISTS = 0.99
TARGETS = {"after_seconds": 10, "seconds": 3}
HEADER = """\
| vectors | queries | part | numpy, s | ours, s | ratio |
| --- | --- | --- | --- | --- | --- |"""
PARTS = {"product_seconds": "product", "after_seconds": "after it", "seconds": "all"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="run.sh")
    parser.add_argument("--quick", action="store_true", help="2,000 vectors instead of 10,000")
    parser.add_argument("--largest", action="store_true", help="ours alone at 93,820 vectors, too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("target/rerank"), help="files .json, .md")
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()

    results = {"gate": gate(GATE, "float64", options)}
    if results["gate"]["difference"] > EXACT:
        sys.exit(f"error: our lists are not the dense form's: {results['gate']}")
    size = QUICK if options.quick else FULL
    results["lists"] = gate(size, "float32", options)
    if results["lists"]["same"] < SAME_LISTS:
        sys.exit(f"error: too few lists are the dense form's: {results['lists']}")
    for name in ("gate", "lists"):
        print(f"{name}: {results[name]}", flush=True)
    results |= contest(size, options)
    if options.largest:
        results["largest"] = ours(LARGEST, options, "--product", "false")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    options.out.with_suffix(".md").write_text(table(size, results) + "\n")
    print(table(size, results))


def gate(size: tuple, precision: str, options: argparse.Namespace) -> dict:
    """How our first 50 differ from the dense form's."""
    with tempfile.TemporaryDirectory() as name:
        lists, dense = Path(name) / "lists.npy", Path(name) / "dense.npy"
        ours(size, options, "--product", "false", "--lists", lists)
        numpy_side(size, options, "--precision", precision, "--distances", dense)
        found, distances = np.load(lists), np.load(dense)
    best = np.argsort(distances, axis=1, kind="stable")[:, : found.shape[1]]
    along_ours = np.take_along_axis(distances, found, 1)
    difference = np.abs(along_ours - np.take_along_axis(distances, best, 1)).max(axis=1)
    same = np.mean((found == best).all(axis=1))
    # One query may differ in distances by single precision and still have the list.
    return {
        "size": size,
        "precision": precision,
        "difference": float(difference.max()),
        "identical": float(same),
        "same": float(np.mean(difference <= (EXACT if precision == "float64" else 1e-5))),
    }


def contest(size: tuple, options: argparse.Namespace) -> dict:
    """A B A B ...: what each run took."""
    busy = os.getloadavg()[0]
    turns = [(ours(size, options), numpy_side(size, options)) for _ in range(options.repeats)]
    mine, theirs = ([turn[side] for turn in turns] for side in (0, 1))
    return {"ours": mine, "numpy": theirs, "load_before": busy, "load_after": os.getloadavg()[0]}


def table(size: tuple, results: dict) -> str:
    """Medians over the repeats; ratio is the median over the pairs."""
    lines = [HEADER]
    for part, name in PARTS.items():
        pairs = [(m[part], t[part]) for m, t in zip(results["ours"], results["numpy"])]
        mine, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(t / m for m, t in pairs)
        wanted = f" (wanted {TARGETS[part]})" if part in TARGETS else ""
        seconds = f"{theirs:.2f} | {mine:.2f}"
        lines.append(f"| {size[0]} | {size[1]} | {name} | {seconds} | {ratio:.1f}{wanted} |")
    peaks = [max(run["peak_rss_mb"] for run in results[side]) for side in ("numpy", "ours")]
    lines.append(f"\nPeak memory, MiB: numpy {peaks[0]:.0f}, ours {peaks[1]:.0f}.")
    load = [f"{results[name]:.1f}" for name in ("load_before", "load_after")]
    lines.append(f"Load of the machine: {load[0]} before, {load[1]} after.")
    if largest := results.get("largest"):
        memory = f"{largest['peak_rss_mb']:.0f} MiB (wanted {LARGEST_MIB})"
        lines.append(f"{LARGEST[0]} vectors, ours alone: {largest['seconds']:.0f} s, {memory}.")
    return "\n".join(lines)


def ours(size: tuple, options: argparse.Namespace, *words) -> dict:
    """One run of our side."""
    threads = ["--threads", options.threads]
    return run([options.binary, *sizes(size, options), *threads, *words], options)


def numpy_side(size: tuple, options: argparse.Namespace, *words) -> dict:
    """One run of the dense form, on the same vectors."""
    with tempfile.TemporaryDirectory() as name:
        features = Path(name) / "features.npy"
        drawn = [options.binary, *sizes(size, options), "--features", features]
        subprocess.run([str(word) for word in drawn], check=True)
        command = [sys.executable, HERE / "dense.py", features, "--queries", size[1], *words]
        return run(command, options)


def sizes(size: tuple, options: argparse.Namespace) -> list:
    """Options of our side."""
    return ["--vectors", size[0], "--queries", size[1], "--dim", options.dim]


def run(command: list, options: argparse.Namespace) -> dict:
    """Runs a command to its end; its line of JSON."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    limits = {name: str(options.threads) for name in names}
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=os.environ | limits)
    if done.returncode:
        sys.exit(f"error: {words[0]} failed")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
