import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def shape_of(*dims: int) -> dict[str, Array]:
    return {"shape": np.array(dims, np.int64)}


PAIRS = [
    ((), ()),
    ((), (3, 4)),
    ((1,), (5,)),
    ((3, 1), (3, 4)),
    ((3, 1), (2, 1, 1)),
    ((3, 1), (2, 1, 6)),
    ((1, 4), (3, 1)),
    ((3, 4), (1,)),
    ((3, 4), ()),
    ((3, 4), (1, 1, 3, 4)),
    ((2, 1, 3, 1, 2), (2, 4, 1, 5, 1)),
    ((3, 1), (3, 0)),
    ((0, 1), (0, 4)),
    ((1, 1, 97), (4, 350, 97)),
    ((300, 1, 1), (300, 7, 31)),
    ((1, 1), (300, 301)),
]


def cases() -> list[Case]:
    made = []
    for shape, wanted in PAIRS:
        x = values(np.random.default_rng(0), shape)
        expected = x + np.zeros(wanted, np.float32)
        name = f"{shape}-{wanted}"
        made.append(move_case(name, "Expand", x, expected, constants=shape_of(*wanted), opset=13))
        inputs = {"x": x, **shape_of(*wanted)}
        made.append(Case(f"run-{name}", one_node("Expand", inputs, opset=8), inputs, {"y": expected}, exact=True))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 1, 3))
        expected = np.repeat(x, 5, 1)
        made.append(move_case(f"batch{batch}", "Expand", x, expected, constants=shape_of(1, 5, 3), symbolic_batch=True))
    made += in_every_dtype("Expand", (3, 1, 5), lambda a: np.repeat(a, 4, 1), constants=shape_of(4, 1))
    return made + in_other_dtypes("Expand", (3, 1, 5), lambda a: np.repeat(a, 4, 1), constants=shape_of(4, 1))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_expand(case: Case) -> None:
    check(case)


def test_bad_shapes() -> None:
    x = {"x": np.zeros((3, 2), np.float32)}

    def refused(message: str, *wanted: int) -> None:
        check_refused(one_node("Expand", x, constants=shape_of(*wanted)), x, ModelError, message, "Expand")

    refused("2 against 4", 3, 4)
    refused("negative extent", 3, -1)
    refused("exceeds the limit", 1 << 40, 1, 1)
    refused("more than the limit", 1 << 31, 1, 1)
    refused("rank 9", *[1] * 9)
