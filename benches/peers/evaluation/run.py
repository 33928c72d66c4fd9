"""Evaluation of one query set against one gallery: fast-reid's `rank_cy` and ours, in turn.

Synthetic features of the size of a public dataset are written once; every repeat is a process of
its own, so that peak memory is that of one evaluation. Both sides read the same files. The metrics
part gets the same matrix of distances, the peer's.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

SIZES = {  # queries, gallery images, identities, cameras
    "market1501": (3368, 19732, 751, 6),
    "msmt17": (11659, 82161, 3060, 15),
    "quick": (500, 3000, 100, 6),
}
DIM = 2048


def write_set(path, rng, centers, rows, cameras, noise):
    """An embedding file: each identity is a point, each image a noisy copy of one."""
    pids = np.sort(rng.integers(0, len(centers), rows))
    values = centers[pids] + noise * rng.standard_normal((rows, DIM), dtype=np.float32)
    tensors = {"embeddings": values, "pids": pids, "camids": rng.integers(0, cameras, rows)}
    texts = {"format": "centroids.embeddings.v1", "model": "", "normalized": "false"}
    save_file(tensors, path, texts | {"paths": json.dumps([""] * rows)})


def measured(command):
    """What a worker prints."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def same(ours, theirs):
    """Whether both found the same; single precision breaks ties as it likes."""
    return all(abs(ours[key] - theirs[key]) < 2e-5 for key in ("mAP", "mINP", "rank1", "rank10"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=SIZES, default="market1501")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--noise", type=float, default=6.0, help="spread of an identity's images")
    parser.add_argument("--ours-only", action="store_true", help="skip the peer (its memory)")
    options = parser.parse_args()
    queries, gallery, pids, cameras = SIZES[options.size]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(pathlib.Path(folder) / f"{name}.safetensors") for name in ("query", "gallery")]
        centers = rng.standard_normal((pids, DIM), dtype=np.float32)
        for file, rows in zip(files, (queries, gallery)):
            write_set(file, rng, centers, rows, cameras, options.noise)
        matrix = str(pathlib.Path(folder) / "distances.f32")
        worker = [sys.executable, str(pathlib.Path(__file__).with_name("peer.py"))]
        runs = {"ours": [], "peer": [], "ours, metrics": []}
        for repeat in range(options.repeats):
            if not options.ours_only:
                keep = [matrix] if repeat == 0 else []
                runs["peer"].append(measured([*worker, *files, *keep]))
                runs["ours, metrics"].append(measured([options.binary, *files, matrix]))
            runs["ours"].append(measured([options.binary, *files]))
            print(json.dumps({side: of[-1] for side, of in runs.items() if of}), file=sys.stderr)
    report(options, runs)


def report(options, runs):
    """The gate, then the table."""
    median = lambda side, key: statistics.median(run[key] for run in runs[side])
    rows = [("ours", median("ours", "seconds"), median("ours", "peak_mib"), "", "")]
    if runs["peer"]:
        if not all(same(run, runs["peer"][0]) for run in runs["ours"] + runs["ours, metrics"]):
            sys.exit("error: the two sides do not find the same")
        peer, memory = median("peer", "seconds"), median("peer", "peak_mib")
        metrics, ours = median("peer", "metrics_seconds"), median("ours, metrics", "seconds")
        rows = [
            ("all", peer, rows[0][1], peer / rows[0][1], "s"),
            ("distances", median("peer", "distance_seconds"), float("nan"), float("nan"), "s"),
            ("metrics", metrics, ours, metrics / ours, "s"),
            ("peak memory", memory, rows[0][2], memory / rows[0][2], "MiB"),
        ]
        print(f"{options.size}, median of {options.repeats}: mAP {runs['ours'][0]['mAP']:.4f}")
        print("| | fast-reid rank_cy | ours | ratio |\n| --- | --- | --- | --- |")
        for name, theirs, mine, ratio, unit in rows:
            cells = ["" if value != value else f"{value:.2f}" for value in (theirs, mine, ratio)]
            print(f"| {name}, {unit} | {' | '.join(cells)} |")
    else:
        print(f"{options.size}: {rows[0][1]:.2f} s, {rows[0][2]:.0f} MiB, ours alone")
    print(json.dumps(runs), file=sys.stderr)


if __name__ == "__main__":
    main()
