from typing import Any

import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx_models import element_type, one_node
from runner import Case, check, check_refused
from samples import DTYPES
from sanderling.errors import ModelError, UnsupportedError


def eye(
    name: str,
    shape: tuple[int, int],
    x_dtype: Any = np.float32,
    dtype: Any = None,
    known: bool = True,
    **attributes: int,
) -> Case:
    x = np.ones(shape, x_dtype)
    to = np.dtype(x_dtype if dtype is None else dtype)
    if dtype is not None:
        attributes["dtype"] = element_type(dtype)
    model = one_node("EyeLike", {"x": x}, output_dtype=to, more=attributes, opset=9)
    wanted = np.eye(*shape, attributes.get("k", 0))
    # Of a power of two there is no 0: what is nearest.
    expected = wanted.astype(to)
    return Case(name, model, {"x": x}, {"y": expected}, exact=True, onnxruntime=known)


def cases() -> list[Case]:
    made = [eye(f"k{k}", (4, 6), k=k) for k in (-4, -3, -1, 0, 1, 5, 6)]
    made += [eye("tall", (6, 3), k=-2), eye("one", (1, 1)), eye("empty", (0, 3), known=False)]
    made += [eye("far", (3, 3), k=k, known=False) for k in (2**63 - 1, -(2**63))]
    for dtype in DTYPES:
        few = dtype in (np.float32, np.float64, np.int32, np.int64, np.uint64)
        made.append(eye(f"of-{np.dtype(dtype).name}", (3, 4), dtype, known=few))
        made.append(eye(f"to-{np.dtype(dtype).name}", (3, 4), np.float32, dtype, known=few))
    for dtype in OTHER_DTYPES:
        if np.dtype(dtype).name != "float8_e8m0fnu":
            made.append(eye(f"to-{np.dtype(dtype).name}", (3, 4), np.float32, dtype, known=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_eye_like(case: Case) -> None:
    check(case)


def test_the_input_is_not_looked_at() -> None:
    x = np.full((2, 2), np.nan, np.float32)
    model = one_node("EyeLike", {"x": x})
    check(Case("nan", model, {"x": x}, {"y": np.eye(2, dtype=np.float32)}, exact=True))


def test_refused() -> None:
    vector = {"x": np.zeros(3, np.float32)}
    check_refused(one_node("EyeLike", vector), vector, ModelError, r"shape \[3\], expected rows", "EyeLike")
    x = {"x": np.zeros((3, 3), np.float32)}
    strings = one_node("EyeLike", x, more={"dtype": 8})
    check_refused(strings, x, UnsupportedError, "DataType 8", "EyeLike")
