from typing import Any

import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError

INTEGERS = (np.int16, np.int32, np.int64)
LIMITS = np.iinfo(np.int64)


def number_cases(
    name: str, start: Any, limit: Any, delta: Any, dtype: Any, expected: Any, known: bool = True
) -> list[Case]:
    """The three as initializers and as inputs."""
    given = {"start": np.array(start, dtype), "limit": np.array(limit, dtype), "delta": np.array(delta, dtype)}
    wanted = {"y": np.asarray(expected, dtype)}
    x = {"start": given["start"]}
    rest = {"limit": given["limit"], "delta": given["delta"]}
    return [
        Case(
            f"{name}-run",
            one_node("Range", given, output_dtype=dtype, opset=11),
            given,
            wanted,
            onnxruntime=known,
            exact=True,
        ),
        Case(
            f"{name}-mixed",
            one_node("Range", x, constants=rest, output_dtype=dtype, opset=11),
            x,
            wanted,
            onnxruntime=known,
            exact=True,
        ),
    ]


def cases() -> list[Case]:
    made = []
    for dtype in (*INTEGERS, np.float32, np.float64):
        for start, limit, delta in (
            (0, 10, 1),
            (3, 10, 3),
            (10, -5, -4),
            (5, 5, 1),
            (5, 0, 1),
            (0, 5, -1),
            (-3, 9, 12),
        ):
            made += number_cases(
                f"{dtype.__name__}-{start}-{limit}-{delta}", start, limit, delta, dtype, np.arange(start, limit, delta)
            )
    made += number_cases("halves", 0.5, 4.75, 0.25, np.float32, np.arange(0.5, 4.75, 0.25))
    made += number_cases("large", 0, 100_000, 1, np.int64, np.arange(100_000))
    made += number_cases("large-float", 0, 100_000, 1, np.float32, np.arange(100_000))
    # ONNX Runtime subtracts and counts in the type, which overflows.
    ends = (LIMITS.min, LIMITS.max)
    made += number_cases("extremes", *ends, 1 << 62, np.int64, [LIMITS.min + i * (1 << 62) for i in range(4)], False)
    made += number_cases("backwards", LIMITS.max, LIMITS.min, LIMITS.min, np.int64, [LIMITS.max, -1], False)
    # The spec's start + i * delta; ONNX Runtime adds delta again and again, and its error grows.
    tenth = np.float32(0.1)
    made += number_cases("tenths", 0, 1000, tenth, np.float32, np.arange(10_000) * np.float64(tenth), False)
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_range(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.uint32, np.uint64])
def test_other_integers(dtype: Any) -> None:
    """ONNX's Range has fewer types; these cost nothing."""
    for case in number_cases("other", 3, 100, 7, dtype, np.arange(3, 100, 7), False):
        check(case)


def test_a_list_of_one_is_a_number() -> None:
    given = {"start": np.array([1], np.int64), "limit": np.array([4], np.int64), "delta": np.array([1], np.int64)}
    check(
        Case("lists", one_node("Range", given, output_dtype=np.int64), given, {"y": np.arange(1, 4)}, onnxruntime=False)
    )


def test_refused() -> None:
    def refused(message: str, start: Any, limit: Any, delta: Any, dtype: Any = np.int64) -> None:
        for case in number_cases("bad", start, limit, delta, dtype, [], False):
            check_refused(case.model, case.inputs, ModelError, message, "Range")

    refused("delta is 0", 0, 5, 0)
    refused("delta is 0", 0, 5, 0, np.float32)
    refused("the limit is", LIMITS.min, LIMITS.max, 1)
    refused("more than the limit", 0, 1 << 30, 1)
    refused("the limit is", 0, 3e38, 1e-30, np.float32)
    refused("the limit is", 0, np.inf, 1, np.float32)
    mixed = {"start": np.array(0), "limit": np.array(3.0), "delta": np.array(1)}
    check_refused(one_node("Range", mixed), mixed, ModelError, "input 1 is float64", "Range")
    lists = {"start": np.arange(2), "limit": np.array(3), "delta": np.array(1)}
    check_refused(one_node("Range", lists), lists, ModelError, r"start has shape \[2\]", "Range")
