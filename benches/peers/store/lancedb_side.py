"""One image more or less in a LanceDB table: one JSON object, rates per second.

LanceDB knows no classes, so a gallery of them has a row per class that is replaced whenever the class
gets an image (`upsert`), beside a row per image (`append`). It flushes nothing to the disk.
"""

import json
import sys
import tempfile
import time

import lancedb
import numpy as np
import pyarrow as pa

APPENDS = 200
CHANGES = 30  # of rows that are there: each writes its part of the table anew
classes, dim = int(sys.argv[1]), int(sys.argv[2])
vectors = np.random.default_rng(5).standard_normal((classes, dim), dtype=np.float32)
type_ = pa.list_(pa.float32(), dim)


def rows(first: int, values: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dim)
    return pa.table({"id": pa.array(range(first, first + len(values))), "vector": column.cast(type_)})


def rate(count: int, work) -> float:
    start = time.perf_counter()
    for i in range(count):
        work(i)
    return count / (time.perf_counter() - start)


def upsert(table, row: pa.Table) -> None:
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute(row)


with tempfile.TemporaryDirectory() as folder:
    database = lancedb.connect(folder)
    images = database.create_table("images", rows(0, vectors[:1000]))
    centroids = database.create_table("centroids", rows(0, vectors))
    report = {
        "append": rate(APPENDS, lambda i: images.add(rows(1000 + i, vectors[i : i + 1]))),
        "upsert": rate(CHANGES, lambda i: upsert(centroids, rows(i * 17 % 50, vectors[i : i + 1]))),
        "delete": rate(CHANGES, lambda i: images.delete(f"id = {1000 + i}")),
        "version": lancedb.__version__,
    }
print(json.dumps(report))
