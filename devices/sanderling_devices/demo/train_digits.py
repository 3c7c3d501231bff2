"""Trains the digits network and writes `digits_cnn.onnx` beside this file; the demo needs no torch.

    python -m sanderling_devices.demo.train_digits [--output FILE]

Tried with torch 2.13.0, which is all it needs besides onnx and scikit-learn. The 514 rows of
`digits.is_training_row` train it, and nothing else: no row that any seed of the demo holds out or
streams. There is no augmentation by shifts or turns either: the demo is about a model that meets a
world it was not trained for.

The network takes float32 [N, 1, 8, 8] in the scanner's own counts 0..16 and gives float32 [N, 10],
one probability per digit. The division by 16 is folded into the first convolution, where it is
exact (a power of two); batch normalization stays a node of its own, as exporters leave it, for the
importer's passes to fold.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sanderling_devices.demo import digits

if TYPE_CHECKING:
    import torch

    import onnx

MODEL_PATH = Path(__file__).with_name("digits_cnn.onnx")

# (node name, input channels, output channels, kernel size, groups, followed by MaxPool): 3x3 first,
# one depthwise-separable pair, 3x3 last. 8x8 images leave room for two halvings.
LAYERS = (
    ("conv1", 1, 16, 3, 1, False),
    ("depthwise", 16, 16, 3, 16, False),
    ("pointwise", 16, 32, 1, 1, True),
    ("conv2", 32, 48, 3, 1, True),
)
EPOCHS = 60
BATCH = 32
SEED = 20


def train() -> torch.nn.Sequential:
    """Trains on the fixed rows, on one thread and from one seed: a machine repeats its weights."""
    import torch
    from torch import nn

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    modules: list[tuple[str, nn.Module]] = []
    for name, inputs, outputs, kernel, groups, pooled in LAYERS:
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
        modules += [
            (name, convolution),
            (f"{name}_bn", nn.BatchNorm2d(outputs)),
            (f"{name}_relu", nn.ReLU()),
        ]
        if pooled:
            modules.append((f"{name}_pool", nn.MaxPool2d(2)))
    modules += [
        ("flatten", nn.Flatten()),
        ("dropout", nn.Dropout(0.3)),
        ("logits", nn.Linear(48 * 2 * 2, 10)),
    ]
    network = nn.Sequential()
    for name, module in modules:
        network.add_module(name, module)

    rows = digits.training_rows()
    frames, labels = torch.from_numpy(rows.frames / digits.BRIGHTEST), torch.from_numpy(rows.labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    network.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(frames[batch]), labels[batch], label_smoothing=0.05).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def to_onnx(network: torch.nn.Sequential) -> onnx.ModelProto:
    """Writes the trained network as ONNX, opset 17, its batch dimension free at run time."""
    from onnx import TensorProto, checker, helper, numpy_helper

    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    state["conv1.weight"] = state["conv1.weight"] / np.float32(digits.BRIGHTEST)
    nodes, weights, value = [], [], "image"

    def weight(name: str) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(state[name]), name))
        return name

    for name, _, _, kernel, groups, pooled in LAYERS:
        pad = kernel // 2
        nodes += [
            helper.make_node(
                "Conv",
                [value, weight(f"{name}.weight")],
                [name],
                name,
                kernel_shape=[kernel, kernel],
                pads=[pad] * 4,
                group=groups,
            ),
            helper.make_node(
                "BatchNormalization",
                [
                    name,
                    *(weight(f"{name}_bn.{part}") for part in ("weight", "bias", "running_mean", "running_var")),
                ],
                [f"{name}_bn"],
                f"{name}_bn",
                epsilon=1e-5,
            ),
            helper.make_node("Relu", [f"{name}_bn"], [f"{name}_relu"], f"{name}_relu"),
        ]
        value = f"{name}_relu"
        if pooled:
            nodes.append(
                helper.make_node(
                    "MaxPool",
                    [value],
                    [f"{name}_pool"],
                    f"{name}_pool",
                    kernel_shape=[2, 2],
                    strides=[2, 2],
                )
            )
            value = f"{name}_pool"
    nodes += [
        helper.make_node("Flatten", [value], ["features"], "flatten", axis=1),
        helper.make_node(
            "Gemm",
            ["features", weight("logits.weight"), weight("logits.bias")],
            ["logits"],
            "logits",
            transB=1,
        ),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, digits.SIDE, digits.SIDE])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "digits_cnn", [image], [probabilities], weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="sanderling"
    )
    checker.check_model(model, full_check=True)
    return model


def main(arguments: list[str] | None = None) -> None:
    """Trains and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=MODEL_PATH, help="default: %(default)s")
    output: Path = parser.parse_args(arguments).output
    data: bytes = to_onnx(train()).SerializeToString()
    output.write_bytes(data)
    print(f"{output}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
