import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx_models import Array, Codes, one_node, qdq_node
from runner import Case, check, check_refused, qdq_case
from samples import DTYPES, values
from sanderling.errors import ModelError


def concat(name: str, arrays: list[Array], axis: int, *, known: bool = True, **settings: object) -> Case:
    inputs = {f"x{i}": array for i, array in enumerate(arrays)}
    model = one_node("Concat", inputs, output_dtype=arrays[0].dtype, axis=axis, **settings)  # type: ignore[arg-type]
    return Case(name, model, inputs, {"y": np.concatenate(arrays, axis)}, exact=True, onnxruntime=known)


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    made = []
    for axis in (-3, -2, -1, 0, 1, 2):
        arrays = []
        for extent in (1, 4, 7):
            shape = [3, 5, 6]
            shape[axis] = extent
            arrays.append(values(rng, shape))
        made.append(concat(f"axis{axis}", arrays, axis, opset=11 if axis < 0 else 7))
    for dtype in DTYPES:
        parts = [values(rng, (3, extent, 5), dtype) for extent in (2, 1, 3)]
        made.append(concat(np.dtype(dtype).name, parts, 1))
    for dtype in OTHER_DTYPES:
        parts = [rng.integers(1, 3, (3, extent, 5)).astype(dtype) for extent in (2, 1, 3)]
        made.append(concat(np.dtype(dtype).name, parts, 1, known=False))
    for axis, shape in ((0, (7, 5000)), (0, (90_001,)), (1, (5, 90_001))):  # threads share a row
        parts = [values(rng, shape), values(rng, shape)]
        made.append(concat(f"long{axis}-{len(shape)}", parts, axis))
    made.append(concat("one", [values(rng, (3, 5))], 1))
    made.append(concat("many", [values(rng, (3, 1 + i % 3)) for i in range(40)], 1))
    made.append(concat("large", [values(rng, (300, 97)), values(rng, (300, 61))], 1))
    made.append(concat("twice", [arrays[0], arrays[0]], 0))
    for batch in (1, 3, 8):
        parts = [values(rng, (batch, extent, 3)) for extent in (2, 5)]
        made.append(concat(f"batch{batch}", parts, 1, symbolic_batch=True))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_concat(case: Case) -> None:
    check(case)


def test_an_empty_part() -> None:
    x = {"x": values(np.random.default_rng(0), (3, 4))}
    model = one_node("Concat", x, constants={"e": np.zeros((3, 0), np.float32)}, axis=1)
    check(Case("empty", model, x, {"y": x["x"]}, exact=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("same", [True, False])
def test_codes(dtype: type[np.integer], same: bool) -> None:
    """Of one scale they are moved as they are; of several each input goes through a table first."""
    rng = np.random.default_rng(4)
    zero = int(np.iinfo(dtype).min) + 100
    tensors = {
        f"x{i}": Codes.random(rng, (3, 2 + i, 5, 7), dtype, 0.03 if same else 0.01 + 0.02 * i, zero) for i in range(3)
    }
    tensors["c"] = Codes.random(rng, (3, 1, 5, 7), dtype, 0.03, zero)
    qdq = qdq_node(
        "Concat", tensors, lambda *reals: np.concatenate(reals, 1), 0.03, zero, y_dtype=dtype, constants=["c"], axis=1
    )
    check(
        qdq_case(
            f"codes-{dtype.__name__}-{same}", qdq, operators={"Concat", "Quantize", *([] if same else ["QLookup"])}
        )
    )


def test_inputs_that_do_not_fit() -> None:
    def refused(b: Array, message: str, **attributes: int) -> None:
        inputs = {"a": np.zeros((2, 3), np.float32), "b": b}
        check_refused(one_node("Concat", inputs, **attributes), inputs, ModelError, message, "Concat")  # type: ignore[arg-type]

    refused(np.zeros((3, 4), np.float32), r"\[3, 4\], input 0 has shape \[2, 3\].*axis 1", axis=1)
    refused(np.zeros((2, 3, 1), np.float32), r"\[2, 3, 1\]", axis=1)
    refused(np.zeros((2, 4), np.int32), "int32.*float32", axis=1)
    refused(np.zeros((2, 4), np.float32), "axis 2 is outside", axis=2)
    refused(np.zeros((2, 4), np.float32), "has no axis")
