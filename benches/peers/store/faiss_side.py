"""Exact search with faiss over the centroids that our side wrote: one JSON object, milliseconds."""

import json
import sys
import time
from pathlib import Path
from statistics import median

import faiss
import numpy as np

REPEATS = 9
folder, dim = Path(sys.argv[1]), int(sys.argv[2])


def milliseconds(work) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


rows, queries = (
    np.fromfile(folder / name, dtype="<f4").reshape(-1, dim) for name in ("centroids.f32", "queries.f32")
)
index = faiss.IndexFlatIP(dim)
index.add(rows)
_, nearest = index.search(queries, 10)  # also the warm-up
report = {
    "one": milliseconds(lambda: index.search(queries[:1], 10)),
    "batch": milliseconds(lambda: index.search(queries, 10)),
    "nearest": nearest[:, 0].tolist(),
    "version": faiss.__version__,
}
print(json.dumps(report))
