"""fast-reid's evaluation of two embedding files: cosine distances by torch, metrics by `rank_cy`."""

import json
import resource
import sys
import time

import numpy as np
import rank_cy
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file


def main(query, gallery, matrix=None):
    query, gallery = load_file(query), load_file(gallery)
    start = time.perf_counter()
    features = [F.normalize(torch.from_numpy(s["embeddings"]), dim=1) for s in (query, gallery)]
    distances = (1 - torch.mm(features[0], features[1].t())).numpy()
    half = time.perf_counter()
    labels = [s[name] for name in ("pids", "camids") for s in (query, gallery)]
    cmc, average_precision, inp = rank_cy.evaluate_cy(distances, *labels, 50)
    end = time.perf_counter()
    if matrix:
        distances.astype("<f4").tofile(matrix)
    found = {"mAP": average_precision.mean(dtype=float), "mINP": inp.mean(dtype=float)}
    found |= {"rank1": float(cmc[0]), "rank10": float(cmc[9])}
    seconds = {"seconds": end - start, "distance_seconds": half - start, "metrics_seconds": end - half}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found | seconds | {"peak_mib": peak}))


main(*sys.argv[1:])
