from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def parts(rng: np.random.Generator, channels: int, dtype: type[np.floating[Any]] = np.float32) -> dict[str, Array]:
    drawn = {"scale": rng.normal(1, 0.5, channels), "bias": rng.normal(0, 1, channels)}
    drawn |= {"mean": rng.normal(0, 1, channels), "variance": rng.uniform(0.01, 3, channels)}
    return {name: array.astype(dtype) for name, array in drawn.items()}


def normalised(x: Array, p: dict[str, Array], epsilon: float) -> Array:
    along = (-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else (-1,)
    scale, bias, mean, variance = (
        p[n].astype(np.float64).reshape(along) for n in ("scale", "bias", "mean", "variance")
    )
    centred = x.astype(np.float64) - mean
    return np.asarray(centred / np.sqrt(variance + np.float64(np.float32(epsilon))) * scale + bias)


def case(name: str, shape: tuple[int, ...], *, known: bool = True, epsilon: float = 1e-5, **settings: Any) -> Case:
    rng = np.random.default_rng(len(name))
    dtype = settings.pop("dtype", np.float32)
    x = values(rng, shape, dtype)
    p = parts(rng, shape[1] if len(shape) > 1 else 1, dtype)
    inputs = {"x": x} | ({} if known else p)
    constants = p if known else {}
    model = one_node("BatchNormalization", inputs, constants=constants, output_dtype=dtype, epsilon=epsilon, **settings)
    sizes = p | {"scale": abs(p["scale"]), "bias": abs(p["bias"]), "mean": -abs(p["mean"])}
    # ONNX Runtime rounds factor, product with the mean and both sums; ours rounds once.
    return Case(
        name,
        model,
        inputs,
        {"y": normalised(x, p, epsilon)},
        length=3,
        magnitude=float(normalised(abs(x), sizes, epsilon).max()),
        onnxruntime=len(shape) > 1,
    )


def cases() -> Iterator[Case]:
    for channels in (1, 3, 5, 17, 31, 33, 65):
        yield case(f"channels{channels}", (3, channels, 5, 7), known=channels % 2 == 1)
    for batch in (1, 3, 8):
        yield case(f"batch{batch}", (batch, 13, 6), symbolic_batch=True)
    yield case("rank1", (9,))
    yield case("rank2", (5, 17))
    yield case("rank5", (3, 5, 2, 3, 4))
    yield case("computed", (3, 17, 5, 5), known=False)
    yield case("many-tasks", (8, 33, 41, 43))
    yield case("epsilon", (3, 5, 4), epsilon=0.5)
    for opset in (7, 9, 14, 15):
        yield case(f"opset{opset}", (3, 5, 4, 3), opset=opset)
    yield case("spatial", (3, 5, 4, 3), opset=7, spatial=1)
    yield case("momentum", (3, 5, 4, 3), momentum=0.5)
    yield case("float64", (3, 5, 4, 3), dtype=np.float64)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_batch_normalization(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("before", ["Conv", "Gemm"])
def test_it_is_merged_into_what_stands_before_it(before: str) -> None:
    rng = np.random.default_rng(1)
    p = parts(rng, 7)
    if before == "Conv":
        x, weights = values(rng, (3, 4, 5, 6)), values(rng, (7, 4, 1, 1))
        product = np.einsum("ncij,oc->noij", x.astype(np.float64), weights[:, :, 0, 0].astype(np.float64))
        attributes: dict[str, Any] = {}
    else:
        x, weights = values(rng, (3, 4)), values(rng, (7, 4))
        product = x.astype(np.float64) @ weights.T.astype(np.float64)
        attributes = {"transB": 1}
    nodes = [
        helper.make_node(before, ["x", "w"], ["p"], **attributes),
        helper.make_node("BatchNormalization", ["p", *p], ["y"], name="node"),
    ]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32}, {"w": weights} | p)
    expected = normalised(product, p, 1e-5)
    check(Case(f"after-{before}", model, {"x": x}, {"y": expected}, length=None, operators={before}))


def refused(error: type[Exception], message: str, p: dict[str, Array], **settings: Any) -> None:
    inputs = {"x": np.zeros((2, 5, 3), np.float32)}
    model = one_node("BatchNormalization", inputs, constants=p, **settings)
    check_refused(model, inputs, error, message, "BatchNormalization")


@pytest.mark.parametrize("shape", [(3, 5, 7, 2), (4, 1, 3), (6, 2)], ids=str)
def test_training_mode_normalises_by_the_batch(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, given = values(rng, shape), parts(rng, shape[1])
    node = helper.make_node(
        "BatchNormalization", ["x", *given], ["y", "m", "v"], name="node", training_mode=1, momentum=0.7, epsilon=1e-3
    )
    model = model_of([node], {"x": (x.dtype, x.shape)}, dict.fromkeys("ymv", np.float32), given, opset=15)
    scale, bias, mean, variance = (np.asarray(a, np.float64) for a in given.values())
    axes, along = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    m, v = x.mean(axes, dtype=np.float64), x.astype(np.float64).var(axes)
    y = (x - m.reshape(along)) / np.sqrt(v + 1e-3).reshape(along) * scale.reshape(along) + bias.reshape(along)
    expected = {"y": y, "m": mean * 0.7 + m * 0.3, "v": variance * 0.7 + v * 0.3}
    check(Case("training", model, {"x": x}, expected, length=x.size // shape[1]))


def test_statistics_of_each_element() -> None:
    refused(UnsupportedError, "spatial is 0", parts(np.random.default_rng(0), 5), spatial=0, opset=7)


def test_outputs_of_training() -> None:
    p = parts(np.random.default_rng(0), 5)
    nodes = [helper.make_node("BatchNormalization", ["x", *p], ["y", "m"], name="node")]
    model = model_of(nodes, {"x": (np.float32, (2, 5, 3))}, {"y": np.float32, "m": np.float32}, p, opset=9)
    inputs = {"x": np.zeros((2, 5, 3), np.float32)}
    check_refused(model, inputs, UnsupportedError, "output 1 is wanted", "BatchNormalization")


def test_channels_that_do_not_match() -> None:
    p = parts(np.random.default_rng(0), 5)
    message = r"mean has shape \[4\], expected \[5\]"
    refused(ModelError, message, p | {"mean": np.zeros(4, np.float32)})
