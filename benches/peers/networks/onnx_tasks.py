"""What ONNX Runtime is timed on: the forward pass of the exported network. PyTorch is not loaded."""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save_file


class Embedding:
    """Forward of `network.onnx`."""

    def __init__(self, folder: Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            folder / "network.onnx", options, providers=["CPUExecutionProvider"]
        )
        self.images = load_file(folder / "inputs.safetensors")["images"]

    def run(self) -> None:
        (self.embeddings,) = self.session.run(None, {"images": self.images})

    def outputs(self) -> dict[str, np.ndarray]:
        """The embeddings."""
        return {"embeddings": self.embeddings}


def task(arguments: argparse.Namespace) -> Embedding:
    """The only task of worker.py's arguments that there is."""
    return Embedding(arguments.data, arguments.threads)


def save(outputs: dict[str, np.ndarray], path: Path) -> None:
    """Writes a safetensors file."""
    save_file(outputs, path)
