from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused, isas
from samples import values
from sanderling import _core
from sanderling.errors import ModelError
from window_references import Sliding, convolve

SAME = (1, 1, 1, 1)


def conv(
    name: str,
    x_shape: tuple[int, ...],
    outputs: int,
    sliding: Sliding,
    *,
    group: int = 1,
    bias: bool = True,
    onnxruntime: bool = True,
    dtype: type[np.floating[Any]] = np.float32,
    computed: bool = False,
    **settings: Any,
) -> Case:
    """A Conv of random constant weights, or of weights that are an input of the model."""
    rng = np.random.default_rng(len(name) + outputs)
    x = values(rng, x_shape, dtype)
    weights = values(rng, (outputs, x_shape[1] // group, *sliding.kernel), dtype)
    b = values(rng, (outputs,), dtype) if bias else None
    inputs = {"x": x} | ({"w": weights} if computed else {})
    constants = ({} if computed else {"w": weights}) | ({"b": b} if b is not None else {})
    attributes = sliding.attributes() | ({"group": group} if group > 1 else {})
    settings["order"] = ["x", "w", "b"] if bias else ["x", "w"]
    model = one_node("Conv", inputs, constants=constants, output_dtype=dtype, **attributes, **settings)
    return Case(
        name,
        model,
        inputs,
        {"y": convolve(x, weights, b, sliding, group)},
        length=weights[0].size,
        magnitude=float(convolve(abs(x), abs(weights), None if b is None else abs(b), sliding, group).max()),
        operators={"Conv"},
        onnxruntime=onnxruntime,
    )


def cases() -> Iterator[Case]:
    for channels in (1, 3, 5, 17, 31, 33, 65):
        yield conv(f"channels{channels}", (3, channels, 6, 7), 2 * channels + 1, Sliding((3, 3), pads=SAME))
        yield conv(f"pointwise{channels}", (3, channels, 5, 7), channels + 2, Sliding((1, 1)))
        yield conv(f"depthwise{channels}", (3, channels, 7, 6), channels, Sliding((3, 3), pads=SAME), group=channels)
        yield conv(f"line{channels}", (3, channels, 13), channels, Sliding((3,), pads=(1, 1)))
    for batch in (1, 3, 8):
        yield conv(f"batch{batch}", (batch, 5, 9, 8), 17, Sliding((3, 3), (2, 2)), symbolic_batch=True)
    yield conv("no-bias", (1, 3, 5, 5), 4, Sliding((3, 3)), bias=False)
    yield conv("pointwise-strided", (3, 17, 9, 8), 5, Sliding((1, 1), (2, 3)))
    yield conv("pointwise-padded", (3, 17, 4, 5), 5, Sliding((1, 1), pads=(1, 0, 2, 1)))
    yield conv("uneven-pads", (3, 3, 7, 8), 5, Sliding((4, 3), (2, 1), pads=(3, 0, 1, 2)))
    yield conv("pads-beyond-the-kernel", (1, 3, 3, 4), 5, Sliding((2, 2), pads=(4, 3, 3, 5)))
    yield conv("dilated", (3, 5, 11, 12), 7, Sliding((3, 3), dilations=(2, 3), pads=(2, 3, 2, 3)))
    yield conv("dilated-beyond-the-input", (1, 2, 3, 3), 3, Sliding((3, 3), dilations=(4, 4), pads=(4, 4, 4, 4)))
    yield conv("valid", (3, 5, 9, 8), 3, Sliding((3, 2), (2, 2), auto_pad="VALID"))
    yield conv("same-upper", (3, 5, 9, 8), 3, Sliding((3, 2), (2, 2), auto_pad="SAME_UPPER"))
    yield conv("same-lower", (3, 5, 9, 8), 3, Sliding((4, 2), (3, 1), auto_pad="SAME_LOWER"))
    yield conv("groups", (3, 15, 6, 7), 21, Sliding((3, 3), pads=SAME), group=3)
    yield conv("groups-pointwise", (3, 15, 6, 7), 25, Sliding((1, 1)), group=5)
    yield conv("groups-dilated", (3, 6, 9, 9), 4, Sliding((3, 3), dilations=(2, 2)), group=2)
    yield conv("multiplier", (3, 5, 7, 7), 15, Sliding((3, 3)), group=5)
    yield conv("depthwise-strided", (3, 33, 9, 8), 33, Sliding((5, 3), (2, 2), pads=(2, 1, 2, 1)), group=33)
    yield conv("depthwise-dilated", (3, 17, 9, 8), 17, Sliding((3, 3), (1, 2), (2, 3), (2, 3, 1, 2)), group=17)
    yield conv("depthwise-line", (3, 31, 17), 31, Sliding((5,), (2,), pads=(4, 0)), group=31)
    yield conv("volume", (3, 5, 4, 5, 6), 7, Sliding((2, 3, 2), (1, 2, 1), (2, 1, 1), (1, 1, 0, 1, 1, 1)))
    yield conv("volume-groups", (1, 6, 4, 4, 4), 4, Sliding((3, 3, 3), pads=(1,) * 6), group=2)
    uneven = Sliding((3, 2, 3), (1, 2, 2), (2, 1, 2), (2, 0, 1, 1, 1, 3))
    yield conv("volume-depthwise", (3, 17, 6, 5, 8), 17, uneven, group=17)
    yield conv("volume-pointwise", (3, 17, 3, 4, 5), 9, Sliding((1, 1, 1)))
    yield conv("many-tiles", (3, 31, 29, 30), 33, Sliding((3, 3), pads=SAME))
    yield conv("one-pixel", (1, 130, 1, 1), 70, Sliding((1, 1)))
    yield conv("float64", (3, 5, 6, 7), 4, Sliding((3, 3), pads=SAME), dtype=np.float64, onnxruntime=False)
    yield conv("opset7", (1, 3, 6, 6), 4, Sliding((3, 3)), opset=7)
    for seed in range(24):
        rng = np.random.default_rng(seed)
        axes = 1 + seed % 2
        group = int(rng.choice([1, 1, 2, 3]))
        shape = (int(rng.choice([1, 3, 8])), group * int(rng.choice([1, 3, 5, 17])))
        extents = tuple(int(e) for e in rng.integers(9, 14, axes))
        outputs = group * int(rng.integers(1, 40))
        yield conv(f"random{seed}", (*shape, *extents), outputs, Sliding.random(rng, axes), group=group)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_conv(case: Case) -> None:
    check(case)


def test_a_single_channel_is_a_product() -> None:
    """Depthwise kernels have a channel per lane: a filter of one channel, as of sound, would leave the others idle."""
    filtered = conv("filter", (1, 1, 1, 300), 1, Sliding((1, 64), (1, 2)))
    session = _core.Session(_core.Model(filtered.model.SerializeToString()))
    assert [step[2] for step in session.profile([filtered.inputs["x"]]) if step[0] == "Conv"] == ["gemm_f32"]
    check(filtered)


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (0.0, 6.0), (-1.0, 0.5)])
@pytest.mark.parametrize("group", [1, 5])
def test_a_clamp_after_it_is_part_of_it(low: float, high: float | None, group: int) -> None:
    rng = np.random.default_rng(group)
    x, weights = values(rng, (3, 5, 6, 7)), values(rng, (5, 5 // group, 3, 3))
    sliding = Sliding((3, 3), pads=SAME)
    bounds = [np.float32(low), np.float32(np.inf if high is None else high)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="node", group=group, pads=SAME),
        helper.make_node("Relu", ["c"], ["y"])
        if high is None
        else helper.make_node("Clip", ["c", "low", "high"], ["y"]),
    ]
    constants = {"w": weights} | ({} if high is None else {"low": bounds[0], "high": bounds[1]})
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32}, constants)
    y = np.clip(convolve(x, weights, None, sliding, group), *bounds)
    magnitude = float(convolve(abs(x), abs(weights), None, sliding, group).max())
    check(Case(f"clamp{low}-{high}-{group}", model, {"x": x}, {"y": y}, length=45 // group, magnitude=magnitude))
    operators = _core.Session(_core.Model(model.SerializeToString())).info()["operators"]
    assert not {"Relu", "Clip"} & set(operators)


def computed_cases() -> Iterator[Case]:
    """Weights that are packed in each run: fewer and more channels than a task takes, one tile of pixels and many."""
    for channels in (1, 5, 33, 65, 130):
        yield conv(f"plain{channels}", (3, 17, 6, 7), channels, Sliding((3, 3), pads=SAME), computed=True)
        yield conv(f"pointwise{channels}", (3, channels, 5, 7), channels + 2, Sliding((1, 1)), computed=True)
        sliding = Sliding((3, 3), (1, 2), (2, 1), SAME)
        yield conv(f"depthwise{channels}", (3, channels, 9, 8), channels, sliding, group=channels, computed=True)
    yield conv("groups", (3, 15, 6, 7), 3 * 70, Sliding((3, 2), (2, 1), pads=SAME), group=3, bias=False, computed=True)
    yield conv("groups-pointwise", (3, 15, 6, 7), 25, Sliding((1, 1)), group=5, computed=True)
    yield conv("line", (3, 7, 13), 9, Sliding((3,), pads=(1, 1)), computed=True)
    yield conv(
        "volume", (3, 5, 4, 5, 6), 7, Sliding((2, 3, 2), (1, 2, 1), (2, 1, 1), (1, 1, 0, 1, 1, 1)), computed=True
    )
    yield conv("many-tiles", (3, 31, 29, 30), 33, Sliding((3, 3), pads=SAME), computed=True)
    yield conv("depthwise-tiles", (3, 34, 29, 30), 34, Sliding((3, 3), pads=SAME), group=34, computed=True)
    # Correlation of one image's features with another's, as trackers do it.
    yield conv("template", (1, 64, 22, 22), 64, Sliding((6, 6)), group=64, bias=False, computed=True)
    yield conv("float64", (3, 5, 6, 7), 4, Sliding((3, 3)), dtype=np.float64, onnxruntime=False, computed=True)


@pytest.mark.parametrize("case", list(computed_cases()), ids=str)
def test_computed_weights(case: Case) -> None:
    check(case)
    model = _core.Model(case.model.SerializeToString())
    for isa in _core.runnable_isas():
        steps = _core.Session(model, isa=isa).profile(list(case.inputs.values()))
        kernels = [kernel for op, _, kernel, *_ in steps if op == "Conv"]
        assert (kernels == ["reference"]) == (case.name == "float64"), isa


def test_computed_weights_of_other_shapes() -> None:
    """One session, and weights whose extents are chosen at each run."""
    rng = np.random.default_rng(5)
    shapes = [("n", 6, "h", "w"), ("o", 3, "a", "b")]
    model = model_of(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="node", group=2)],
        {name: (np.float32, shape) for name, shape in zip("xw", shapes, strict=True)},
        {"y": np.float32},
        {},
    )
    session = _core.Session(_core.Model(model.SerializeToString()), threads=2)
    for outputs, kernel in ((4, (3, 3)), (140, (1, 2)), (2, (5, 4))):
        x, weights = values(rng, (2, 6, 11, 9)), values(rng, (outputs, 3, *kernel))
        wanted = convolve(x, weights, None, Sliding(kernel), 2)
        bound = 1e-4 * abs(wanted).max() + 1e-5
        np.testing.assert_allclose(session.run({"x": x, "w": weights})["y"], wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("weights_too", [False, True])
def test_what_is_computed_at_run_time(weights_too: bool) -> None:
    rng = np.random.default_rng(2)
    x, weights, bias = values(rng, (3, 4, 6, 5)), values(rng, (6, 2, 3, 3)), values(rng, (6,))
    inputs = {"x": x, "b": bias} | ({"w": weights} if weights_too else {})
    constants = {} if weights_too else {"w": weights}
    model = one_node("Conv", inputs, constants=constants, order=["x", "w", "b"], group=2)
    sliding = Sliding((3, 3))
    magnitude = float(convolve(abs(x), abs(weights), abs(bias), sliding, 2).max())
    check(
        Case("computed", model, inputs, {"y": convolve(x, weights, bias, sliding, 2)}, length=18, magnitude=magnitude)
    )


@pytest.mark.parametrize("group", [1, 3, 15])
def test_a_batch_equals_its_rows_bit_for_bit(group: int) -> None:
    rng = np.random.default_rng(group)
    x = values(rng, (8, 15, 11, 10))
    constants = {"w": values(rng, (15, 15 // group, 3, 3)), "b": values(rng, (15,))}
    model = one_node("Conv", {"x": x}, constants=constants, symbolic_batch=True, group=group, pads=SAME)
    for isa in isas():
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=2)
        whole = session.run({"x": x})["y"]
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(whole, np.concatenate(rows), err_msg=isa)


def refused(x_shape: tuple[int, ...], w_shape: tuple[int, ...], message: str, **settings: Any) -> None:
    constants: dict[str, Array] = {"w": np.zeros(w_shape, np.float32)} | settings.pop("constants", {})
    inputs = {"x": np.zeros(x_shape, np.float32)}
    check_refused(one_node("Conv", inputs, constants=constants, **settings), inputs, ModelError, message, "Conv")


def test_channels_that_do_not_match() -> None:
    refused((1, 4, 5, 5), (6, 3, 3, 3), r"\[6, 3, 3, 3\].*3 input channels.*\[1, 4, 5, 5\].*4 channels")


def test_groups_that_do_not_divide() -> None:
    refused((1, 4, 5, 5), (6, 1, 3, 3), "group is 4.*6 output channels", group=4)
    refused((1, 4, 5, 5), (6, 4, 3, 3), "group is 0", group=0)
    refused((1, 4, 5, 5), (6, 2, 3, 3), "3 groups.*4 channels", group=3)


def test_a_kernel_that_does_not_fit() -> None:
    refused((1, 2, 5, 3), (1, 2, 3, 3), "3 with dilation 2 reaches over 5, the input has 3", dilations=[1, 2])


def test_strides_that_are_no_strides() -> None:
    refused((1, 2, 5, 5), (1, 2, 3, 3), "strides has 0, expected 1", strides=[1, 0])
    refused((1, 2, 5, 5), (1, 2, 3, 3), "strides has 1 numbers, expected 2", strides=[1])
    refused((1, 2, 5, 5), (1, 2, 3, 3), "dilations has -1, expected 1", dilations=[1, -1])
    refused((1, 2, 5, 5), (1, 2, 3, 3), "pads has -1, expected 0", pads=[0, 0, -1, 0])
    refused((1, 2, 5, 5), (1, 2, 3, 3), "auto_pad is 'SAME'", auto_pad="SAME")


def test_shapes_that_are_no_convolution() -> None:
    refused((1, 2, 5), (1, 2, 3, 3), r"\[1, 2, 3, 3\], the input \[1, 2, 5\]")
    refused((1, 2), (1, 2), r"\[1, 2\], the input \[1, 2\].*rank of 3")
    refused((1, 2, 5, 5), (1, 2, 3, 3), r"kernel_shape is \[3, 2\], the weight has \[3, 3\]", kernel_shape=[3, 2])
    refused(
        (1, 2, 5, 5), (1, 2, 3, 3), r"bias has shape \[2\], expected \[1\]", constants={"b": np.zeros(2, np.float32)}
    )
