"""What PyTorch is timed on: a training step, a forward pass, a large matrix product."""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

import model


class Training:
    """Forward, cross entropy, backward, Adam: our training step without its triplet terms."""

    def __init__(self, backbone: str, variant: str, folder: Path):
        images, self.labels = model.load_inputs(folder)
        layout = layout_of(variant)
        self.images = images.contiguous(memory_format=layout)
        self.network = model.load_network(backbone, folder).train().to(memory_format=layout)
        trainable = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trainable, lr=3.5e-4, weight_decay=5e-4, fused=True)

    def run(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(self.network(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        loss.item()  # the trainer reads it too

    def outputs(self) -> dict[str, torch.Tensor]:
        """First moments of Adam: after one step, a tenth of the gradients."""
        state = self.optimizer.state
        named = self.network.named_parameters()
        return {f"adam.m.{k}": state[p]["exp_avg"].contiguous() for k, p in named if p in state}


class Embedding:
    """Forward in evaluation mode."""

    def __init__(self, backbone: str, variant: str, folder: Path):
        layout = layout_of(variant)
        self.images = model.load_inputs(folder)[0].contiguous(memory_format=layout)
        network = model.load_network(backbone, folder).eval()
        if "folded" in variant:
            from torch.fx.experimental.optimization import fuse

            network = fuse(network)
        network = network.to(memory_format=layout)
        if "compiled" in variant:
            from torch._inductor import config

            config.freezing = True
            network = torch.compile(network)
        self.network = network

    def run(self) -> None:
        with torch.no_grad():
            self.embeddings = self.network(self.images)

    def outputs(self) -> dict[str, torch.Tensor]:
        """The embeddings."""
        return {"embeddings": self.embeddings.contiguous()}


class Matmul:
    """A square product in single precision: `mm`, which is MKL's, or as a 1x1 convolution, oneDNN's."""

    def __init__(self, variant: str, side: int):
        layout = layout_of(variant)
        factors = torch.randn(1, side, side // 32, 32), torch.randn(side, side, 1, 1)
        self.factors = [factor.contiguous(memory_format=layout) for factor in factors]
        self.product = torch.conv2d
        if layout == torch.contiguous_format:
            self.factors = [factor.view(side, side) for factor in self.factors]
            self.product = torch.mm

    def run(self) -> None:
        self.product(*self.factors)


def layout_of(variant: str) -> torch.memory_format:
    """The memory format that a variant names."""
    return torch.channels_last if "channels_last" in variant else torch.contiguous_format


def task(arguments: argparse.Namespace):
    """The task of worker.py's arguments, ready to run."""
    torch.set_num_threads(arguments.threads)
    if arguments.task == "matmul":
        return Matmul(arguments.variant, arguments.side)
    kind = {"train": Training, "embed": Embedding}[arguments.task]
    return kind(arguments.backbone, arguments.variant, arguments.data)


def save(outputs: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file."""
    save_file(outputs, path)
