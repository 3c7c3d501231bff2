from typing import Any

import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def centered(x: Array, wanted: tuple[int, ...], axes: tuple[int, ...] | None = None) -> Array:
    for axis, extent in zip(range(x.ndim) if axes is None else axes, wanted, strict=True):
        has = x.shape[axis]
        if has > extent:
            x = np.take(x, range((has - extent) // 2, (has - extent) // 2 + extent), axis)
        before = [(0, 0)] * x.ndim
        more = max(0, extent - has)
        before[axis] = (more // 2, more - more // 2)
        x = np.concatenate(
            [
                np.zeros([before[axis][0] if i == axis % x.ndim else n for i, n in enumerate(x.shape)], x.dtype),
                x,
                np.zeros([before[axis][1] if i == axis % x.ndim else n for i, n in enumerate(x.shape)], x.dtype),
            ],
            axis,
        )
    return x


def dims(*given: int) -> dict[str, Array]:
    return {"shape": np.array(given, np.int64)}


def cases() -> list[Case]:
    made = []
    x = values(np.random.default_rng(0), (5, 6, 7))
    for wanted in ((5, 6, 7), (2, 3, 3), (3, 2, 4), (8, 9, 9), (9, 3, 8), (1, 6, 12), (0, 6, 7), (5, 6, 1), (1, 1, 1)):
        # ONNX Runtime lacks empty results.
        known = 0 not in wanted
        name = "x".join(map(str, wanted))
        made.append(
            move_case(
                name, "CenterCropPad", x, centered(x, wanted), constants=dims(*wanted), opset=18, onnxruntime=known
            )
        )
        inputs = {"x": x, **dims(*wanted)}
        model = one_node("CenterCropPad", inputs, opset=18)
        made.append(Case(f"run-{name}", model, inputs, {"y": centered(x, wanted)}, exact=True, onnxruntime=known))
    for axes in ((2,), (-1, 0), (1, 2)):
        wanted = (3, 9)[: len(axes)]
        made.append(
            move_case(f"axes{axes}", "CenterCropPad", x, centered(x, wanted, axes), constants=dims(*wanted), axes=axes)
        )
    empty = np.zeros((0, 3), np.float32)
    made.append(
        move_case(
            "of-empty", "CenterCropPad", empty, np.zeros((2, 3), np.float32), constants=dims(2, 3), onnxruntime=False
        )
    )
    # ONNX Runtime has it for few types.
    both = {"constants": dims(3, 9), "onnxruntime": False}
    made += in_every_dtype("CenterCropPad", (6, 5), lambda a: centered(a, (3, 9)), **both)
    others = in_other_dtypes("CenterCropPad", (6, 5), lambda a: centered(a, (3, 9)), dims(3, 9))
    return made + [case for case in others if "e8m0" not in case.name]  # which has no zero


@pytest.mark.parametrize("case", cases(), ids=str)
def test_center_crop_pad(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(message: str, *given: int, **attributes: Any) -> None:
        x = {"x": np.zeros((3, 4), np.float32)}
        model = one_node("CenterCropPad", x, constants=dims(*given), **attributes)
        check_refused(model, x, ModelError, message, "CenterCropPad")

    refused("shape has 1 values, expected one for each of 2", 3)
    refused("negative extent", 3, -1)
    refused("exceeds the limit", 1 << 41, 1)
    refused("axis 0 is named twice", 1, 1, axes=[0, -2])
    refused("axis 5", 1, axes=[5])
