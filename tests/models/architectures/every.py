"""Every architecture of this folder: how to make it, and inputs for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from tests.models.architectures.autoencoder import Autoencoder
from tests.models.architectures.conformer import ConformerBlock
from tests.models.architectures.convnext import ConvNeXtFemto
from tests.models.architectures.densenet import DenseNet121
from tests.models.architectures.distilbert import DistilBert
from tests.models.architectures.efficientnet import EfficientNetB0
from tests.models.architectures.layers import settle
from tests.models.architectures.mobilenet_v3 import MobileNetV3Small
from tests.models.architectures.pointnet import PointNet
from tests.models.architectures.shufflenet_v2 import ShuffleNetV2
from tests.models.architectures.squeezenet import SqueezeNet
from tests.models.architectures.tcn import TCN
from tests.models.architectures.unet import UNet
from tests.models.architectures.vit import VisionTransformerTiny
from tests.models.architectures.whisper import WhisperTinyEncoder
from tests.models.architectures.yolox import YoloxCandidates, YoloxNano
from tests.models.beside import Array
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Architecture:
    """One network and what goes in.

    Attributes:
        make: The module, with torch's own initial weights.
        inputs: Inputs for a batch, by batch size and a generator of their values.
        dynamic: By input name, in the order of `forward`: names of the leading dimensions that are chosen at run time,
            None among them for one that is not.
        outputs: Names of the outputs.
        longer: Inputs for another value of the dynamic dimensions besides the batch, if there are such.
        convolutional: Whether its int8 form is tested too.
        oldest_opset: Where the TorchScript exporter is tried besides its default.
    """

    make: Callable[[], nn.Module]
    inputs: Callable[[int, torch.Generator], Inputs]
    dynamic: Mapping[str, Sequence[str | None]] = field(default_factory=lambda: {"x": ["batch"]})
    outputs: Sequence[str] = ("y",)
    longer: Callable[[int, torch.Generator], Inputs] | None = None
    convolutional: bool = False
    oldest_opset: int = 11

    def settled(self) -> nn.Module:
        """The module in eval mode, with random weights of sane scales; always the same."""
        torch.manual_seed(0)
        return settle(self.make(), self.inputs(8, torch.Generator().manual_seed(1)))

    def feed(self, batch: int, seed: int) -> dict[str, Array]:
        """Inputs by name."""
        return self.named(self.inputs(batch, torch.Generator().manual_seed(seed)))

    def named(self, inputs: Inputs) -> dict[str, Array]:
        """The same by name."""
        return {name: tensor.numpy() for name, tensor in zip(self.dynamic, inputs, strict=True)}


def images(height: int, width: int) -> Callable[[int, torch.Generator], Inputs]:
    """Normalized pictures: smooth shapes with some noise."""

    def inputs(batch: int, generator: torch.Generator) -> Inputs:
        coarse = torch.randn(batch, 3, 8, 8, generator=generator)
        smooth = nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
        return (smooth + 0.2 * torch.randn(batch, 3, height, width, generator=generator),)

    return inputs


def signals(*shape: int) -> Callable[[int, torch.Generator], Inputs]:
    """White noise of unit variance."""
    return lambda batch, generator: (torch.randn(batch, *shape, generator=generator),)


def sentences(length: int) -> Callable[[int, torch.Generator], Inputs]:
    """Token ids and masks of rows that end at different places."""

    def inputs(batch: int, generator: torch.Generator) -> Inputs:
        ids = torch.randint(1, 30522, (batch, length), generator=generator)
        ends = torch.tensor([max(1, length - 3 * row) for row in range(batch)])
        mask = (torch.arange(length) < ends[:, None]).long()
        return ids * mask, mask

    return inputs


BATCH_AND_TIME = ("batch", "time")

ARCHITECTURES: dict[str, Architecture] = {
    "yolox-nano": Architecture(YoloxNano, images(416, 416), convolutional=True),
    "yolox-nano-candidates": Architecture(
        lambda: YoloxCandidates(YoloxNano()), images(256, 320), outputs=("boxes", "scores")
    ),
    "unet": Architecture(
        UNet,
        images(96, 128),
        {"x": ["batch", None, "height", "width"]},
        longer=images(64, 176),
        convolutional=True,
    ),
    "unet-bilinear": Architecture(lambda: UNet(bilinear=True), images(96, 128), convolutional=True),
    "vit-tiny": Architecture(VisionTransformerTiny, images(224, 224), oldest_opset=14),
    "mobilenet-v3-small": Architecture(MobileNetV3Small, images(224, 224), convolutional=True),
    "efficientnet-b0": Architecture(EfficientNetB0, images(224, 224), convolutional=True),
    "shufflenet-v2": Architecture(ShuffleNetV2, images(224, 224), convolutional=True),
    "squeezenet": Architecture(SqueezeNet, images(224, 224), convolutional=True),
    "densenet-121": Architecture(DenseNet121, images(224, 224), convolutional=True),
    "convnext-femto": Architecture(ConvNeXtFemto, images(224, 224), convolutional=True),
    "tcn": Architecture(TCN, signals(8, 200), convolutional=True),
    "conformer": Architecture(ConformerBlock, signals(120, 144), {"x": BATCH_AND_TIME}, longer=signals(77, 144)),
    "distilbert": Architecture(
        DistilBert,
        sentences(48),
        {"input_ids": BATCH_AND_TIME, "attention_mask": BATCH_AND_TIME},
        outputs=("classes", "states"),
        longer=sentences(17),
    ),
    "whisper-tiny-encoder": Architecture(WhisperTinyEncoder, signals(80, 3000), {"mel": ["batch"]}, oldest_opset=14),
    "autoencoder": Architecture(
        Autoencoder, images(64, 64), outputs=("picture", "code"), convolutional=True, oldest_opset=13
    ),
    "pointnet": Architecture(PointNet, signals(3, 1024), {"x": ["batch", None, "points"]}, longer=signals(3, 300)),
}
