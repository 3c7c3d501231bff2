from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from samples import NUMBERS, SHAPES, name_of, values
from sanderling.errors import ModelError, UnsupportedError


def cases() -> list[Case]:
    made = []
    for dtype in NUMBERS:
        low, high = (dtype(20), dtype(90)) if dtype is not np.float32 else (dtype(-1.5), dtype(2.25))
        for shape in SHAPES:
            x = values(np.random.default_rng(len(shape)), shape, dtype)
            settings: dict[str, Any] = {"output_dtype": dtype, "opset": 13}
            bounds = {"low": np.array(low), "high": np.array(high)}
            name = name_of(dtype, shape)
            both = one_node("Clip", {"x": x}, constants=bounds, **settings)
            made.append(Case(f"both-{name}", both, {"x": x}, {"y": np.clip(x, low, high)}, exact=True))
        only_low = one_node("Clip", {"x": x}, constants={"low": np.array(low)}, **settings)
        made.append(Case(f"low-{name}", only_low, {"x": x}, {"y": np.maximum(x, low)}, exact=True))
        only_high = one_node("Clip", {"x": x}, constants={"high": np.array(high)}, order=["x", "", "high"], **settings)
        made.append(Case(f"high-{name}", only_high, {"x": x}, {"y": np.minimum(x, high)}, exact=True))
        computed = {"x": x, "low": np.array(low), "high": np.array(high)}
        model = one_node("Clip", computed, **settings)
        made.append(Case(f"computed-{name}", model, computed, {"y": np.clip(x, low, high)}, exact=True))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_clip(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("bounds", [{}, {"min": -1.0}, {"max": 0.5}, {"min": 0.0, "max": 6.0}], ids=str)
def test_bounds_as_attributes(bounds: dict[str, Any]) -> None:
    x = values(np.random.default_rng(3), (3, 7, 5))
    expected = np.clip(x, np.float32(bounds.get("min", -np.inf)), np.float32(bounds.get("max", np.inf)))
    name = "attributes" + "-".join(bounds)
    check(Case(name, one_node("Clip", {"x": x}, opset=7, **bounds), {"x": x}, {"y": expected}, exact=True))


def test_crossed_bounds_give_max() -> None:
    x = values(np.random.default_rng(3), (33,))
    constants = {"low": np.float32(2), "high": np.float32(-1)}
    model = one_node("Clip", {"x": x}, constants=constants)
    check(Case("crossed", model, {"x": x}, {"y": np.full(33, -1.0)}, exact=True))


def test_nan_stays_and_an_absent_bound_is_the_end_of_float32() -> None:
    x = np.array([np.inf, -np.inf, 1.0, -1.0, 0.0] * 7, np.float32)
    nodes = [helper.make_node("Sub", ["x", "x"], ["d"]), helper.make_node("Clip", ["d", "low"], ["nan"])]
    nodes.append(helper.make_node("Clip", ["x", "low"], ["y"]))
    specs = {"y": np.float32, "nan": np.float32}
    model = model_of(nodes, {"x": (np.float32, x.shape)}, specs, {"low": np.array(-0.5, np.float32)})
    expected = {"y": np.clip(x, -0.5, np.finfo(np.float32).max), "nan": np.where(np.isinf(x), np.nan, 0.0)}
    check(Case("nan", model, {"x": x}, expected, exact=True))


def test_bad_bounds() -> None:
    x = {"x": np.zeros(3, np.float32)}
    two = one_node("Clip", x, constants={"low": np.zeros(2, np.float32)})
    check_refused(two, x, ModelError, r"min has shape \[2\], expected a single value", "Clip")
    other = one_node("Clip", x, constants={"low": np.array(0, np.int32)})
    check_refused(other, x, ModelError, "int32.*float32", "Clip")
    both = one_node("Clip", x, constants={"low": np.float32(0)}, opset=10)
    check_refused(both, x, ModelError, "as attributes, the node has 2 inputs", "Clip")


def test_integers_before_opset_11() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Clip", x, output_dtype=np.int32, opset=7), x, UnsupportedError, "int32", "Clip")
