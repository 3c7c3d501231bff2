"""The light_* models in the onnx package: whole architectures whose weights were replaced by constants.

Each runs as it is, and with random weights put in: constant ones give all channels the same values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.models.beside import Array, Theirs, assert_near, bound, check, ours

import onnx
from onnx import numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"
QUICK = ["shufflenet", "squeezenet"]
SLOW = ["bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "vgg19", "zfnet512"]
MODELS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def load(name: str) -> onnx.ModelProto:
    return onnx.load(FOLDER / f"light_{name}.onnx")


def input_name(model: onnx.ModelProto) -> str:
    stored = {tensor.name for tensor in model.graph.initializer}
    (name,) = [value.name for value in model.graph.input if value.name not in stored]
    return name


def images(seed: int) -> Array:
    """float32 [1, 3, 224, 224] about 0, smooth as pictures are."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (1, 3, 28, 28)).repeat(8, 2).repeat(8, 3)
    return (coarse + rng.normal(0, 0.2, coarse.shape)).astype(np.float32)


def weights(shape: tuple[int, ...], used_by: tuple[str, int], rng: np.random.Generator) -> Array:
    """What this input (operator, number) may be, so that values keep their size through the network."""
    if len(shape) > 1:
        return np.asarray(rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape))
    if used_by in [("BatchNormalization", 1), ("BatchNormalization", 4), ("Unsqueeze", 0)]:
        return rng.uniform(0.6, 1.2, shape)
    return rng.normal(0, 0.1, shape)


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Random initializers in place of the ConstantOfShape nodes."""
    rng = np.random.default_rng(0)
    users = {name: (node.op_type, i) for node in model.graph.node for i, name in enumerate(node.input)}
    shapes = {t.name: tuple(numpy_helper.to_array(t)) for t in model.graph.initializer if t.data_type == 7}
    replaced = [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    for node in replaced:
        output = node.output[0]
        array = weights(shapes[node.input[0]], users[output], rng).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, output))
        model.graph.node.remove(node)
    assert len(replaced) > 10
    return model


def with_logits(model: onnx.ModelProto) -> onnx.ModelProto:
    """The input of the last Softmax as an output too: random weights make probabilities of 0 and 1."""
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(last.input[0]))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_random_weights(name: str) -> None:
    model = with_logits(with_weights(load(name)))
    (wanted,) = check(model.SerializeToString(), [{input_name(model): images(0)}])
    logits = list(wanted.values())[-1]
    assert np.std(logits) > 100 * bound(logits), "the outputs are too alike to show a difference"


@pytest.mark.parametrize("name", MODELS)
def test_as_it_is(name: str) -> None:
    model = load(name)
    data, x = model.SerializeToString(), images(1)
    wanted = Theirs(data).run({input_name(model): x})
    where, session = list(ours(data))[-1]
    assert_near(session.run({input_name(model): x}), wanted, where)
