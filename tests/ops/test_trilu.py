from typing import Any

import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def part(x: Array, k: int, upper: int) -> Array:
    return np.triu(x, k) if upper else np.tril(x, k)


def cases() -> list[Case]:
    made = []
    x = values(np.random.default_rng(0), (2, 4, 6))
    for upper in (0, 1):
        for k in (-5, -4, -1, 0, 1, 3, 6, 7):
            expected = part(x, k, upper)
            made.append(
                move_case(f"{upper}-{k}", "Trilu", x, expected, constants={"k": np.int64(k)}, upper=upper, opset=14)
            )
        inputs = {"x": x, "k": np.array([2], np.int64)}
        model = one_node("Trilu", inputs, upper=upper)
        made.append(Case(f"run-{upper}", model, inputs, {"y": part(x, 2, upper)}, exact=True))
        for k in (2**63 - 1, -(2**63)):
            # ONNX Runtime adds to it.
            far = {"constants": {"k": np.int64(k)}, "upper": upper, "onnxruntime": False}
            expected = x if (k < 0) == bool(upper) else np.zeros_like(x)
            made.append(move_case(f"far{upper}-{k}", "Trilu", x, expected, **far))
    made.append(move_case("default", "Trilu", x, np.triu(x)))
    made.append(move_case("default-lower", "Trilu", x, np.tril(x), upper=0))
    tall = values(np.random.default_rng(1), (9, 3))
    made.append(move_case("tall", "Trilu", tall, np.tril(tall), upper=0))
    large = values(np.random.default_rng(2), (3, 211, 307))
    made.append(move_case("large", "Trilu", large, np.triu(large, 5), constants={"k": np.int64(5)}))
    empty = np.zeros((2, 0, 3), np.float32)
    made.append(move_case("empty", "Trilu", empty, empty))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 5, 5))
        made.append(move_case(f"batch{batch}", "Trilu", x, np.triu(x), symbolic_batch=True))
    # ONNX Runtime has it for few types.
    made += in_every_dtype("Trilu", (5, 7), np.triu, onnxruntime=False)
    return made + [case for case in in_other_dtypes("Trilu", (5, 7), upper_of) if "e8m0" not in case.name]


def upper_of(x: Array) -> Array:
    return np.where(np.triu(np.ones(x.shape, bool)), x, np.zeros((), x.dtype))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_trilu(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(message: str, shape: tuple[int, ...], **constants: Any) -> None:
        x = {"x": np.zeros(shape, np.float32)}
        check_refused(one_node("Trilu", x, constants=constants), x, ModelError, message, "Trilu")

    refused("expected matrices", (3,))
    refused(r"k has shape \[2\]", (3, 3), k=np.zeros(2, np.int64))
    refused("k is int32", (3, 3), k=np.int32(0))
