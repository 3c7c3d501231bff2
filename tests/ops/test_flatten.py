import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case, on_codes
from onnx_models import one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def cases() -> list[Case]:
    x = values(np.random.default_rng(0), (2, 3, 4, 5))
    made = [
        move_case(f"axis{axis}", "Flatten", x, x.reshape(int(np.prod(x.shape[:axis])), -1), axis=axis)
        for axis in (-4, -3, -2, -1, 0, 1, 2, 3)
    ]
    made.append(move_case("axis4", "Flatten", x, x.reshape(-1, 1), axis=4))
    scalar = values(np.random.default_rng(0), ())
    made.append(move_case("scalar", "Flatten", scalar, scalar.reshape(1, 1), axis=0))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 3, 5))
        made.append(move_case(f"batch{batch}", "Flatten", x, x.reshape(batch, 15), symbolic_batch=True, opset=7))
    made += in_other_dtypes("Flatten", (3, 5, 7), lambda a: a.reshape(3, 35), opset=25)
    made += in_every_dtype("Flatten", (3, 5, 7), lambda a: a.reshape(3, 35), onnxruntime=False)
    return made + on_codes("Flatten", (3, 5, 7), lambda a: a.reshape(3, 35))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_flatten(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("axis", [-4, 4])
def test_axis_out_of_range(axis: int) -> None:
    x = {"x": np.zeros((2, 3, 4), np.float32)}
    check_refused(one_node("Flatten", x, axis=axis), x, ModelError, f"axis {axis} .*-3, 3", "Flatten")
