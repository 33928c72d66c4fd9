"""What ONNX Runtime is timed on: the forward pass of the exported network. PyTorch is not loaded."""

import argparse
from pathlib import Path

import onnxruntime
from safetensors.numpy import load_file


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

    def outputs(self) -> list[float]:
        """The embeddings, row by row."""
        return self.embeddings.flatten().tolist()


def task(arguments: argparse.Namespace) -> Embedding:
    """The only task of worker.py's arguments that there is."""
    return Embedding(arguments.data, arguments.threads)
