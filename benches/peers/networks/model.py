"""The networks in PyTorch, equal to ours, and the files that every side reads.

A network is a torchvision backbone with the reference's two changes (stride 1 in ResNet's last
stage, no ReLU after its stem), the mean over the map, a BNNeck and a classifier. The state dict has
our names, so that one safetensors file feeds both sides.
"""

import argparse
import json
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

CLASSES = 751  # Market-1501's training identities
SEED = 20210928


class Backbone(nn.Module):
    """Images `[n, 3, h, w]` -> feature map `[n, c, h', w']`."""

    def __init__(self, name: str):
        super().__init__()
        network = torchvision.models.get_model(name, weights=None)
        if name.startswith("resnet"):
            block = network.layer4[0]
            for convolution in (block.conv1, block.conv2, block.downsample[0]):
                convolution.stride = (1, 1)
            self.channels = network.fc.in_features
            # without the stem's "relu"
            parts = ["conv1", "bn1", "maxpool", "layer1", "layer2", "layer3", "layer4"]
        else:
            self.channels = network.last_channel
            parts = ["features"]
        self.base = nn.Sequential()
        for part in parts:
            self.base.add_module(part, getattr(network, part))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.base(images)


class Network(nn.Module):
    """Images `[n, 3, h, w]` -> logits `[n, CLASSES]` in training, else embeddings `[n, c]`."""

    def __init__(self, name: str):
        super().__init__()
        self.backbone = Backbone(name)
        channels = self.backbone.channels
        self.bn = nn.BatchNorm1d(channels)
        self.bn.bias.requires_grad_(False)
        self.fc_query = nn.Linear(channels, CLASSES, bias=False)
        nn.init.normal_(self.fc_query.weight, std=0.001)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        embeddings = self.bn(self.backbone(images).mean((2, 3)))
        return self.fc_query(embeddings) if self.training else embeddings


def random_images(count: int, size: tuple[int, int]) -> torch.Tensor:
    """Coarse colours under noise, so that the images differ by more than chance."""
    coarse = nn.functional.interpolate(torch.randn(count, 3, 8, 4), size, mode="bilinear")
    return coarse + 0.3 * torch.randn(count, 3, *size)


def write_case(name: str, task: str, batch: int, size: tuple[int, int], folder: Path) -> None:
    """Fills the folder of a case.

    `weights.safetensors` and `inputs.safetensors` (`images`, `labels`) are read by every side,
    `network.onnx` by ONNX Runtime; `reference.safetensors` has the embeddings, computed in double
    precision, and `case.json` the work of one image in `flop` (a multiplication and an addition
    count 2, convolutions directly, not by a faster algorithm).

    The weights are random, with the running statistics of a few batches: with untouched ones the
    activations of a deep network grow until a comparison says nothing.
    """
    torch.manual_seed(SEED)
    network = Network(name)
    settle(network, size)
    tensors = {k: v for k, v in network.state_dict().items() if not k.endswith("batches_tracked")}
    tensors["center_loss.centers"] = torch.randn(CLASSES, network.backbone.channels)
    save_file(tensors, folder / "weights.safetensors")

    images = random_images(batch, size)
    labels = torch.arange(batch) // 4 * 7 % CLASSES  # 4 images of an identity
    save_file({"images": images, "labels": labels}, folder / "inputs.safetensors")

    (folder / "case.json").write_text(json.dumps({"flop": flop_per_image(name, task, size)}))
    if task == "embed":
        network.eval()
        file = folder / "network.onnx"
        torch.onnx.export(network, (images,), file, input_names=["images"], dynamo=False)
        with torch.no_grad():
            embeddings = network.double()(images.double())
        save_file({"embeddings": embeddings}, folder / "reference.safetensors")


def settle(network: Network, size: tuple[int, int]) -> None:
    """Sets the running statistics to the mean over a few batches."""
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms:
        norm.momentum = None  # a plain mean
    with torch.no_grad():
        for _ in range(4):
            network.train()(random_images(8, size))


def flop_per_image(name: str, task: str, size: tuple[int, int]) -> float:
    """Floating-point operations of convolutions and matrix products, counted without computing.

    A training step counts as three forward passes: the gradient of the weights and that of the
    input are a product of the same size each.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        Network(name).eval()(torch.empty(1, 3, *size))
    return counter.get_total_flops() * (3 if task == "train" else 1)


def load_network(name: str, folder: Path) -> Network:
    """The network that `write_case` wrote."""
    network = Network(name)
    tensors = load_file(folder / "weights.safetensors")
    del tensors["center_loss.centers"]
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    if unexpected or not all(key.endswith("batches_tracked") for key in missing):
        raise SystemExit(f"{folder}: tensors {unexpected} are unknown or {missing} are missing")
    return network


def load_inputs(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels that `write_case` wrote."""
    inputs = load_file(folder / "inputs.safetensors")
    return inputs["images"], inputs["labels"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fills the folder of a case.")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--task", choices=["train", "embed"], required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--size", required=True, help="HEIGHTxWIDTH")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    write_case(
        arguments.backbone, arguments.task, arguments.batch, (height, width), arguments.folder
    )
