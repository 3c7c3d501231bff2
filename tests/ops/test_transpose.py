from itertools import permutations

import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case, on_codes
from onnx_models import one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def cases() -> list[Case]:
    made = []
    for shape in ((3, 5, 7, 2), (2, 1, 33, 34)):
        x = values(np.random.default_rng(0), shape)
        for perm in permutations(range(4)):
            name = f"{'x'.join(map(str, shape))}-{''.join(map(str, perm))}"
            made.append(move_case(name, "Transpose", x, x.transpose(perm), perm=perm, opset=7))
    made.append(move_case("default", "Transpose", x, x.transpose()))
    scalar = values(np.random.default_rng(1), ())
    made.append(move_case("scalar", "Transpose", scalar, scalar))
    # Layout changes of one channel, of one pixel, and of images that threads share.
    for shape in ((3, 1, 9, 9), (3, 17, 1, 1), (3, 3, 131, 97), (1, 67, 40, 41)):
        x = values(np.random.default_rng(2), shape)
        name = "x".join(map(str, shape))
        made.append(move_case(f"last-{name}", "Transpose", x, x.transpose(0, 2, 3, 1), perm=(0, 2, 3, 1)))
        made.append(move_case(f"first-{name}", "Transpose", x, x.transpose(0, 3, 1, 2), perm=(0, 3, 1, 2)))
    rng = np.random.default_rng(3)
    for seed in range(30):
        shape = tuple(rng.integers(1, 5, rng.integers(1, 9)).tolist())
        perm = rng.permutation(len(shape)).tolist()
        x = values(rng, shape, np.int32)
        made.append(
            move_case(f"random{seed}", "Transpose", x, x.transpose(perm), perm=perm, onnxruntime=len(shape) < 8)
        )
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 3, 5))
        made.append(
            move_case(f"batch{batch}", "Transpose", x, x.transpose(0, 2, 1), perm=(0, 2, 1), symbolic_batch=True)
        )
    made += in_other_dtypes("Transpose", (3, 37, 41), lambda a: a.transpose(0, 2, 1), perm=(0, 2, 1), opset=25)
    made += in_every_dtype("Transpose", (3, 37, 41), lambda a: a.transpose(0, 2, 1), perm=(0, 2, 1))
    return made + on_codes("Transpose", (3, 5, 7), lambda a: a.transpose(1, 2, 0), perm=(1, 2, 0))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_transpose(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("perm", "message"),
    [
        ((0, 1), r"perm has 2 axes.*\[2, 3, 4\]"),
        ((0, 1, 1), "axis 1 is named twice"),
        ((0, 1, 3), "axis 3"),
        ((0, 1, -1), "axis -1"),
    ],
    ids=str,
)
def test_bad_permutations(perm: tuple[int, ...], message: str) -> None:
    x = {"x": np.zeros((2, 3, 4), np.float32)}
    check_refused(one_node("Transpose", x, perm=perm), x, ModelError, message, "Transpose")
