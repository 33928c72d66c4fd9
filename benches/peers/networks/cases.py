"""What is compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A network, what it does, on how many images of which size."""

    backbone: str
    task: str
    batch: int
    size: str

    def __str__(self) -> str:
        return f"{self.backbone} {self.size} {self.task} {self.batch}"

    @property
    def variants(self) -> dict[str, list[str]]:
        """Peers, each with the settings of which the faster one counts."""
        eager = {"PyTorch": ["eager", "channels_last"]}
        if self.task == "train":
            return eager
        return eager | {
            "PyTorch, norms folded": ["folded", "folded+channels_last"],
            "torch.compile, freezing": ["compiled", "compiled+channels_last"],
            "ONNX Runtime": ["onnxruntime"],
        }


CASES = [
    Case("resnet50", "train", 16, "256x128"),
    Case("resnet50", "train", 64, "256x128"),
    Case("resnet50", "embed", 1, "256x128"),
    Case("resnet50", "embed", 32, "256x128"),
    Case("resnet18", "train", 64, "64x64"),
    Case("resnet18", "train", 64, "256x128"),
    Case("resnet18", "embed", 32, "64x64"),
    Case("resnet18", "embed", 32, "256x128"),
    Case("mobilenet_v2", "train", 32, "256x128"),
    Case("mobilenet_v2", "embed", 32, "256x128"),
]
