#!/usr/bin/env python3
"""Compares exported models with our own embeddings, by ONNX Runtime on the CPU.

    check.py FOLDER...

A folder holds `model.onnx` and `case.safetensors`: `images` [n, 3, h, w] and `embeddings` [n, d]. The
file must pass ONNX's own checker; then all images as one batch and the first one alone must give
the embeddings. An error is the largest difference in a row over the row's largest value. Prints a
line of JSON for each folder; `cargo test --release --workspace --test cli export` makes them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

LIMIT = 1e-4


def shape(value: onnx.ValueInfoProto) -> list[int | str]:
    """Sizes; an open one is its name."""
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def check(folder: Path) -> dict:
    """Versions, sizes and errors of one folder."""
    path, case = folder / "model.onnx", load_file(folder / "case.safetensors")
    images, expected = case["images"], case["embeddings"]
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    graph, entries = model.graph, {entry.key: entry.value for entry in model.metadata_props}
    assert shape(graph.input[0]) == ["batch", 3, *json.loads(entries["input_size"])], "input"
    assert shape(graph.output[0]) == ["batch", expected.shape[1]], "output"
    assert tuple(shape(graph.input[0])[1:]) == images.shape[1:], "images of another size"
    opset = model.opset_import[0].version
    oldest = onnx.helper.OP_SET_ID_VERSION_MAP[("ai.onnx", opset)]
    assert model.ir_version == oldest, f"IR {model.ir_version}, opset {opset} needs {oldest}"

    scale = np.abs(expected).max(axis=1)
    spread = np.abs(expected[0] - expected[-1]).max() / scale.max()
    assert spread > 100 * LIMIT, f"all images give the same ({spread:.1e}): a case that cannot fail"

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    errors = {}
    for batch in (1, len(images)):
        (found,) = session.run(["embedding"], {"input": images[:batch]})
        assert found.shape == (batch, expected.shape[1]), found.shape
        difference = np.abs(found - expected[:batch]).max(axis=1)
        errors[batch] = float((difference / scale[:batch]).max())
    operators = sorted({node.op_type for node in graph.node})
    return {
        "case": folder.name, "model": entries["model"], "input": shape(graph.input[0]),
        "opset": opset, "operators": operators, "errors": errors, "spread": float(spread),
        "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__,
    }


def main() -> None:
    if not sys.argv[1:]:
        sys.exit(__doc__)
    failed = False
    for folder in map(Path, sys.argv[1:]):
        result = check(folder)
        print(json.dumps(result))
        # Not `error > LIMIT`: NaN is no match.
        failed |= not all(error <= LIMIT for error in result["errors"].values())
    if failed:
        sys.exit(f"error: a difference above {LIMIT}")


if __name__ == "__main__":
    main()
