import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case, on_codes
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def axes(*given: int) -> dict[str, Array]:
    return {"axes": np.array(given, np.int64)}


def cases() -> list[Case]:
    x = values(np.random.default_rng(0), (3, 5))
    made = [
        move_case("first", "Unsqueeze", x, x.reshape(1, 3, 5), constants=axes(0)),
        move_case("last", "Unsqueeze", x, x.reshape(3, 5, 1), constants=axes(-1)),
        move_case("several", "Unsqueeze", x, x.reshape(1, 3, 1, 5, 1), constants=axes(4, 0, 2)),
        move_case("negative", "Unsqueeze", x, x.reshape(1, 3, 1, 5), constants=axes(-4, -2)),
        move_case("none", "Unsqueeze", x, x, constants=axes()),
        move_case("attribute", "Unsqueeze", x, x.reshape(3, 1, 5), opset=7, axes=[1]),
        move_case("negative-attribute", "Unsqueeze", x, x.reshape(3, 5, 1), opset=11, axes=[-1]),
        move_case("scalar", "Unsqueeze", np.asarray(x[0, 0]), x[0, :1], constants=axes(0)),
    ]
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 7))
        made.append(
            move_case(f"batch{batch}", "Unsqueeze", x, x.reshape(batch, 1, 7), constants=axes(1), symbolic_batch=True)
        )
    made += in_other_dtypes("Unsqueeze", (3, 7), lambda a: a.reshape(3, 1, 7), constants=axes(1), opset=25)
    made += in_every_dtype("Unsqueeze", (3, 7), lambda a: a.reshape(3, 1, 7), constants=axes(1))
    return made + on_codes("Unsqueeze", (3, 7), lambda a: a.reshape(3, 1, 7), plain=axes(1))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_unsqueeze(case: Case) -> None:
    check(case)


def test_bad_axes() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("Unsqueeze", x, constants=axes(3)), x, ModelError, "axis 3 is outside", "Unsqueeze")
    check_refused(one_node("Unsqueeze", x, constants=axes(1, -3)), x, ModelError, "axis 1 is named twice", "Unsqueeze")
    check_refused(one_node("Unsqueeze", x), x, ModelError, "has no axes", "Unsqueeze")
    check_refused(one_node("Unsqueeze", x, opset=7), x, ModelError, "has no axes", "Unsqueeze")
    many = one_node("Unsqueeze", x, constants=axes(0, 1, 2, 3, 4, 5, 6))
    check_refused(many, x, ModelError, "rank 9", "Unsqueeze")
