"""k-reciprocal re-ranking as published (Zhong et al., CVPR 2017), with numpy and every matrix in full.

Written from the paper and from what the published code does where they differ: squared distances
over the largest of each vector, a partial sort, single precision. Prints a line of JSON.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances `[len(a), len(b)]`."""
    squares = a @ b.T
    squares *= -2
    squares += np.square(a).sum(1)[:, None]
    squares += np.square(b).sum(1)[None, :]
    return np.maximum(squares, 0, out=squares)


def reciprocal(ranks: np.ndarray, i: int, k: int) -> np.ndarray:
    """Those of the k + 1 first of i that have i among their k + 1 first."""
    forward = ranks[i, : k + 1]
    return forward[np.any(ranks[forward, : k + 1] == i, axis=1)]


def rerank(q_q, q_g, g_g, k1: int, k2: int, share: float) -> np.ndarray:
    """Re-ranked distances of the queries to the gallery."""
    queries, dtype = len(q_q), q_q.dtype
    original = np.concatenate([np.concatenate([q_q, q_g], 1), np.concatenate([q_g.T, g_g], 1)])
    original = np.transpose(original / original.max(axis=0))
    n = len(original)
    encodings = np.zeros_like(original)
    ranks = np.argpartition(original, range(1, k1 + 1)).astype(np.int32)
    half = int(np.around(k1 / 2))
    for i in range(n):
        near = reciprocal(ranks, i, k1)
        members = near
        for candidate in near:
            theirs = reciprocal(ranks, candidate, half)
            if len(np.intersect1d(theirs, near)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weights = np.exp(-original[i, members])
        encodings[i, members] = weights / weights.sum()
    original = original[:queries]
    if k2 != 1:
        averaged = np.zeros_like(encodings)
        for i in range(n):
            averaged[i] = encodings[ranks[i, :k2]].mean(axis=0)
        encodings = averaged
    del ranks
    holders = [np.where(encodings[:, column] != 0)[0] for column in range(n)]
    jaccard = np.zeros_like(original)
    for i in range(queries):
        shared = np.zeros(n, dtype)
        for column in np.where(encodings[i] != 0)[0]:
            rows = holders[column]
            shared[rows] += np.minimum(encodings[i, column], encodings[rows, column])
        jaccard[i] = 1 - shared / (2 - shared)
    return (jaccard * (1 - share) + original * share)[:, queries:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--queries", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--distances", type=Path, help="file to write, [queries, gallery]")
    arguments = parser.parse_args()

    features = np.load(arguments.features).astype(arguments.precision)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    query, gallery = features[: arguments.queries], features[arguments.queries :]
    start = time.perf_counter()
    products = distances(query, query), distances(query, gallery), distances(gallery, gallery)
    middle = time.perf_counter()
    reranked = rerank(*products, k1=20, k2=6, share=0.3)
    end = time.perf_counter()
    if arguments.distances:
        np.save(arguments.distances, reranked)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM"))
    facts = {
        "product_seconds": middle - start,
        "after_seconds": end - middle,
        "seconds": end - start,
        "peak_rss_mb": int(peak.split()[1]) / 1024,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
