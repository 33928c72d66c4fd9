"""Writes an embedding file of random vectors: FILE ROWS DIMENSIONS CLASSES. Needs no NumPy."""

import array
import json
import random
import struct
import sys

file, rows, dim, classes = sys.argv[1], *map(int, sys.argv[2:])
random.seed(1)
metadata = {
    "format": "centroids.embeddings.v1",
    "paths": json.dumps([f"made-up/{row}.jpg" for row in range(rows)]),
    "model": "",
    "normalized": "false",
}
sizes = [("camids", "I64", [rows], 8 * rows), ("pids", "I64", [rows], 8 * rows)]
sizes.append(("embeddings", "F32", [rows, dim], 4 * rows * dim))
header, start = {"__metadata__": metadata}, 0
for name, kind, shape, size in sizes:
    header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, start + size]}
    start += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(file, "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    array.array("q", (row % 2 for row in range(rows))).tofile(out)
    array.array("q", (row % classes for row in range(rows))).tofile(out)
    for _ in range(rows):
        array.array("f", (random.random() for _ in range(dim))).tofile(out)
