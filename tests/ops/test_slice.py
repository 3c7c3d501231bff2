from typing import Any

import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError

I64 = np.iinfo(np.int64)


def ranges(*given: tuple[int, int, int, int], dtype: Any = np.int64) -> dict[str, Array]:
    """(axis, start, end, step) each, as the node's inputs."""
    axes, starts, ends, steps = zip(*given, strict=True) if given else ((),) * 4
    lists = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    return {name: np.array(values, dtype) for name, values in lists.items()}


def sliced(x: Array, *given: tuple[int, int, int, int]) -> Array:
    index = [slice(None)] * x.ndim
    for axis, start, end, step in given:
        # Python takes an end of -1 for the last element, and so does ONNX: what is before the first is far below.
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


GIVEN = {
    "outermost": [(0, 1, 3, 1)],
    "last": [(2, 1, 4, 1)],
    "middle": [(1, 1, 5, 1)],
    "negative-axis": [(-1, -3, -1, 1)],
    "two": [(0, 1, 9, 1), (2, 0, 2, 1)],
    "unordered": [(2, 0, 5, 2), (0, 1, 3, 1)],
    "step": [(1, 0, 7, 2)],
    "step-last": [(2, 1, 8, 3)],
    "reversed": [(2, -1, I64.min, -1)],
    "reversed-all": [(0, -1, I64.min, -1), (1, -1, I64.min, -1), (2, -1, I64.min, -1)],
    "backwards": [(1, 5, 1, -2)],
    "beyond": [(1, -100, 100, 1), (2, 100, -100, -1)],
    "extremes": [(1, I64.min, I64.max, 1), (2, I64.max, I64.min, -1)],
    "huge-step": [(1, 2, I64.max, I64.max), (2, -1, I64.min, I64.min)],
    "nothing": [(1, 4, 2, 1)],
    "nothing-backwards": [(1, 2, 4, -1)],
    "all": [(0, 0, 4, 1), (2, 0, I64.max, 1)],
}


def cases() -> list[Case]:
    x = values(np.random.default_rng(0), (4, 7, 8))
    made = []
    for name, given in GIVEN.items():
        # ONNX Runtime negates the smallest step, which overflows.
        known = name != "huge-step"
        made.append(
            move_case(name, "Slice", x, sliced(x, *given), constants=ranges(*given), onnxruntime=known, opset=13)
        )
    for name in ("two", "reversed", "backwards"):  # the ranges are known only when the model runs
        given = GIVEN[name]
        inputs = {"x": x, **ranges(*given)}
        made.append(Case(f"run-{name}", one_node("Slice", inputs), inputs, {"y": sliced(x, *given)}, exact=True))
    narrow = ranges((1, 1, 6, 2), dtype=np.int32)
    made.append(move_case("int32", "Slice", x, x[:, 1:6:2], constants=narrow))
    plain = {"starts": np.array([1, 2], np.int64), "ends": np.array([3, -1], np.int64)}
    # Unlike Python's, a start before the first element is the first, also of what goes backwards.
    before = ranges((1, -100, I64.min, -1))
    made.append(move_case("backwards-from-before", "Slice", x, x[:, :1], constants=before))
    made.append(move_case("no-axes", "Slice", x, x[1:3, 2:-1], constants=plain))
    made.append(move_case("attributes", "Slice", x, x[1:3, 2:-1], opset=9, starts=[1, 2], ends=[3, -1]))
    made.append(
        move_case("attribute-axes", "Slice", x, x[:, 2:, :-1], opset=7, starts=[2, 0], ends=[99, -1], axes=[1, 2])
    )
    empty = np.zeros((3, 0, 5), np.float32)
    made.append(
        move_case("empty", "Slice", empty, empty[1:, :, ::-1], constants=ranges((0, 1, 3, 1), (2, 9, I64.min, -1)))
    )
    made.append(move_case("of-empty", "Slice", empty, empty[:, ::-1], constants=ranges((1, 0, I64.min, -1))))
    large = values(np.random.default_rng(1), (70, 50, 33))
    for given in ([(0, 2, 69, 1)], [(2, 0, 31, 2)], [(1, 48, 0, -1)], [(2, -1, I64.min, -1)]):
        made.append(move_case(f"large-{given}", "Slice", large, sliced(large, *given), constants=ranges(*given)))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 5, 3))
        constants = ranges((1, 1, 4, 1))
        made.append(move_case(f"batch{batch}", "Slice", x, x[:, 1:4], constants=constants, symbolic_batch=True))
    both = {"constants": ranges((0, 2, I64.min, -1), (1, 1, 5, 3))}
    made += in_every_dtype("Slice", (3, 5, 7), lambda a: a[2::-1, 1:5:3], **both)
    return made + in_other_dtypes("Slice", (3, 5, 7), lambda a: a[2::-1, 1:5:3], **both)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_slice(case: Case) -> None:
    check(case)


def test_bad_ranges() -> None:
    x = {"x": np.zeros((3, 4), np.float32)}

    def refused(message: str, *given: tuple[int, int, int, int]) -> None:
        check_refused(one_node("Slice", x, constants=ranges(*given)), x, ModelError, message, "Slice")
        inputs = {**x, **ranges(*given)}
        check_refused(one_node("Slice", inputs), inputs, ModelError, message, "Slice")

    refused("steps has a 0", (0, 0, 1, 0))
    refused("axis 2 is outside", (2, 0, 1, 1))
    refused("axis 1 is named twice", (1, 0, 1, 1), (-1, 0, 1, 1))
    uneven = ranges((0, 0, 1, 1)) | {"ends": np.array([1, 2], np.int64)}
    check_refused(one_node("Slice", x, constants=uneven), x, ModelError, "ends has 2 values, starts has 1", "Slice")
    floats = ranges((0, 0, 1, 1), dtype=np.float32)
    check_refused(one_node("Slice", x, constants=floats), x, ModelError, "input 1 is float32", "Slice")
    check_refused(one_node("Slice", x, opset=9, starts=[0]), x, ModelError, "has no ends", "Slice")
    late = one_node("Slice", x, constants=ranges((0, 0, 1, 1)), opset=9)
    check_refused(late, x, ModelError, "takes starts and ends as attributes", "Slice")
