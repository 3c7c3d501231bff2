from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def scatter(
    x: Array,
    weights: Array,
    bias: Array | None,
    outputs: Sequence[int],
    begins: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """Float64, one kernel tap at a time, into a canvas that is then cut to the outputs."""
    spatial = x.shape[2:]
    reach = [
        (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(spatial, strides, weights.shape[2:], dilations, strict=True)
    ]
    canvas_shape = [max(r, b + o) for r, b, o in zip(reach, begins, outputs, strict=True)]
    made = []
    parts = zip(np.split(x.astype(np.float64), group, 1), np.split(weights.astype(np.float64), group, 0), strict=True)
    for part, those in parts:
        canvas = np.zeros((x.shape[0], weights.shape[1], *canvas_shape))
        for tap in np.ndindex(*weights.shape[2:]):
            where = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, spatial, strides, strict=True)
            )
            canvas[(..., *where)] += np.moveaxis(np.tensordot(part, those[(..., *tap)], axes=([1], [0])), -1, 1)
        made.append(canvas[(..., *(slice(b, b + o) for b, o in zip(begins, outputs, strict=True)))])
    y = np.concatenate(made, axis=1)
    return y if bias is None else y + bias.astype(np.float64).reshape(-1, *[1] * len(spatial))


def case(
    name: str,
    shape: tuple[int, ...],
    filters: int,
    kernel: tuple[int, ...],
    *,
    group: int = 1,
    bias: bool = True,
    known: bool = True,
    strides: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    auto_pad: str | None = None,
    onnxruntime: bool = True,
    dtype: Any = np.float32,
    **settings: Any,
) -> Case:
    rng = np.random.default_rng(len(name))
    x, w = values(rng, shape, dtype), values(rng, (shape[1], filters // group, *kernel), dtype)
    count = len(kernel)
    ones = (1,) * count
    given = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": output_padding}
    given |= {"output_shape": output_shape, "auto_pad": auto_pad}
    attributes = {key: value for key, value in given.items() if value is not None}
    steps, gaps, more = strides or ones, dilations or ones, output_padding or (0,) * count
    covered = [
        (n - 1) * s + (k - 1) * d + 1 + m for n, s, k, d, m in zip(shape[2:], steps, kernel, gaps, more, strict=True)
    ]
    if output_shape is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        outputs = list(output_shape or [n * s for n, s in zip(shape[2:], steps, strict=True)])[-count:]
        total = [max(c - o, 0) for c, o in zip(covered, outputs, strict=True)]
        begins = [t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in total]
    else:
        begins = list((pads or (0,) * 2 * count)[:count])
        ends = (pads or (0,) * 2 * count)[count:]
        outputs = [c - b - e for c, b, e in zip(covered, begins, ends, strict=True)]
    constants = {"w": w} | ({"b": values(rng, (filters,), dtype)} if bias else {})
    inputs = {"x": x} | ({} if known else constants)
    model = one_node(
        "ConvTranspose",
        inputs,
        constants=constants if known else {},
        output_dtype=dtype,
        **attributes,
        **({"group": group} if group > 1 else {}),
        **settings,
    )
    y = scatter(x, w, constants.get("b"), outputs, begins, steps, gaps, group)
    sizes = scatter(abs(x), abs(w), None, outputs, begins, steps, gaps, group)
    length = shape[1] // group * int(np.prod(kernel)) + 1
    return Case(
        name,
        model,
        inputs,
        {"y": y},
        length=length,
        magnitude=float(sizes.max(initial=0)) + 10,
        onnxruntime=onnxruntime,
    )


def cases() -> Iterator[Case]:
    two, four = (2, 2), (1, 1, 1, 1)
    yield case("twice", (1, 5, 7, 9), 3, two, strides=two)
    yield case("dcgan", (3, 17, 9, 8), 31, (4, 4), strides=two, pads=four)
    yield case("large", (1, 33, 40, 37), 65, (4, 4), strides=two, pads=four)
    yield case("many-taps", (1, 3, 9, 8), 5, (17, 18), strides=(8, 8))
    yield case("stride1", (3, 5, 7, 9), 4, (3, 3), pads=four)
    yield case("no-bias", (3, 5, 7, 9), 4, (3, 3), bias=False)
    yield case("uneven", (3, 5, 7, 9), 4, (3, 4), strides=(3, 2), pads=(2, 0, 1, 3))
    yield case("gaps-between", (1, 2, 5, 6), 3, (2, 1), strides=(4, 3))
    yield case("dilated", (3, 5, 7, 9), 4, (3, 2), dilations=(2, 3), strides=two)
    yield case("output-padding", (3, 5, 7, 9), 4, (3, 3), strides=two, pads=four, output_padding=(1, 1))
    yield case("line", (3, 5, 17), 7, (4,), strides=(3,), pads=(1, 2))
    yield case("long-line", (1, 5, 1700), 7, (4,), strides=(2,), pads=(1, 1))
    yield case("volume", (1, 3, 4, 5, 3), 5, (2, 3, 2), strides=(2, 1, 2), pads=(0, 1, 0, 1, 0, 1))
    yield case("four-axes", (1, 2, 3, 2, 3, 2), 3, (2, 2, 1, 2), strides=(1, 2, 2, 1))
    yield case("groups", (3, 6, 7, 9), 9, (3, 3), group=3, strides=two)
    yield case("depthwise", (3, 17, 7, 9), 17, (4, 4), group=17, strides=two, pads=four)
    yield case("output-shape", (1, 2, 3, 4), 3, (3, 3), strides=(3, 2), output_shape=(10, 8))
    yield case("output-shape-whole", (1, 2, 3, 4), 3, (3, 3), strides=two, output_shape=(1, 3, 6, 8), onnxruntime=False)
    for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"):
        yield case(f"auto-{auto_pad}", (1, 2, 5, 4), 3, (3, 4), strides=two, auto_pad=auto_pad)
        yield case(f"small-{auto_pad}", (1, 2, 5, 4), 3, (3, 4), strides=two, auto_pad=auto_pad, output_shape=(8, 7))
    for batch in (1, 3, 8):
        yield case(f"batch{batch}", (batch, 5, 7, 7), 3, (3, 3), strides=two, symbolic_batch=True)
    yield case("computed-weights", (1, 5, 7, 9), 3, (3, 3), known=False)
    yield case("float64", (1, 5, 7, 9), 3, (3, 3), strides=two, dtype=np.float64, onnxruntime=False)
    yield case("empty", (0, 5, 7, 9), 3, (3, 3), strides=two)
    yield case("no-channels", (1, 0, 7, 9), 3, (3, 3), strides=two)
    yield case("opset7", (1, 5, 7, 9), 3, (3, 3), strides=two, opset=7)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        axes = 1 + seed % 3
        kernel = tuple(int(k) for k in rng.integers(1, 5, axes))
        strides, dilations = (tuple(int(s) for s in rng.integers(1, 4, axes)) for _ in range(2))
        pads = tuple(int(p) for p in rng.integers(0, 2, 2 * axes))
        extents = (int(e) for e in rng.integers(4, 9, axes))
        shape = (int(rng.choice([1, 3])), int(rng.choice([1, 5, 17])), *extents)
        yield case(f"random{seed}", shape, 7, kernel, strides=strides, dilations=dilations, pads=pads)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_conv_transpose(case: Case) -> None:
    check(case)


def refused(message: str, shape: tuple[int, ...] = (2, 3, 2, 2), **settings: Any) -> None:
    x = {"x": np.zeros((1, 2, 4, 4), settings.pop("dtype", np.float32))}
    error = settings.pop("error", ModelError)
    constants = {"w": np.zeros(shape, x["x"].dtype)} | settings.pop("more_inputs", {})
    check_refused(one_node("ConvTranspose", x, constants=constants, **settings), x, error, message, "ConvTranspose")


def test_what_is_refused() -> None:
    refused("both need the same rank", (2, 3, 2))
    refused("has 3 input channels", (3, 3, 2, 2))
    refused("group is 0", group=0)
    refused("group is 3, which does not divide the 2", group=3)
    refused("kernel_shape is not", kernel_shape=[3, 3])
    refused("pads of 5 and 5 cut more than the 5", pads=[5, 0, 5, 0])
    refused("strides has 0", strides=[0, 1])
    refused("strides has 1 numbers", strides=[1])
    refused("output_padding has -1", output_padding=[-1, 0])
    refused("output_shape has 3 numbers", output_shape=[1, 2, 3])
    refused("output_shape has -1", output_shape=[-1, 3])
    refused("auto_pad is 'SAME'", auto_pad="SAME")
    refused(r"bias has shape \[2\], expected \[3\]", more_inputs={"b": np.zeros(2, np.float32)})
    refused("input 0 is int32", dtype=np.int32, error=UnsupportedError, output_dtype=np.int32)
    refused("kernel extent 0", (2, 3, 0, 2))
