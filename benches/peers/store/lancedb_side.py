"""Single-row additions and removals with LanceDB: one JSON object, rates per second."""

import json
import sys
import tempfile
import time

import lancedb
import numpy as np
import pyarrow as pa

UPDATES = 50
classes, dim = int(sys.argv[1]), int(sys.argv[2])
vectors = np.random.default_rng(5).standard_normal((classes, dim), dtype=np.float32)
type_ = pa.list_(pa.float32(), dim)


def rows(first: int, values: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dim)
    return pa.table({"id": pa.array(range(first, first + len(values))), "vector": column.cast(type_)})


def rate(work) -> float:
    start = time.perf_counter()
    for i in range(UPDATES):
        work(i)
    return UPDATES / (time.perf_counter() - start)


with tempfile.TemporaryDirectory() as folder:
    table = lancedb.connect(folder).create_table("gallery", rows(0, vectors))
    report = {
        "add": rate(lambda i: table.add(rows(classes + i, vectors[i : i + 1]))),
        "remove": rate(lambda i: table.delete(f"id = {classes + i}")),
        "version": lancedb.__version__,
    }
print(json.dumps(report))
