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
    x = values(np.random.default_rng(0), (1, 3, 1, 5))
    made = [
        move_case("all", "Squeeze", x, x.reshape(3, 5)),
        move_case("all-7", "Squeeze", x, x.reshape(3, 5), opset=7),
        move_case("one", "Squeeze", x, x.reshape(3, 1, 5), constants=axes(0)),
        move_case("two", "Squeeze", x, x.reshape(3, 5), constants=axes(-2, 0)),
        # An empty list names no axis; ONNX Runtime takes it for an absent one, ONNX's own reference does not.
        move_case("none", "Squeeze", x, x, constants=axes(), onnxruntime=False),
        move_case("attribute", "Squeeze", x, x.reshape(1, 3, 5), opset=7, axes=[2]),
        move_case("negative-attribute", "Squeeze", x, x.reshape(1, 3, 5), opset=11, axes=[-2]),
        move_case("to-scalar", "Squeeze", x[:, :1, :, :1], np.asarray(x[0, 0, 0, 0])),
    ]
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 7, 1))
        made.append(
            move_case(f"batch{batch}", "Squeeze", x, x.reshape(batch, 7), constants=axes(2), symbolic_batch=True)
        )
    made += in_other_dtypes("Squeeze", (3, 1, 7), lambda a: a.reshape(3, 7), constants=axes(1), opset=25)
    made += in_every_dtype("Squeeze", (3, 1, 7), lambda a: a.reshape(3, 7), constants=axes(1))
    return made + on_codes("Squeeze", (3, 1, 7), lambda a: a.reshape(3, 7), plain=axes(1))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_squeeze(case: Case) -> None:
    check(case)


def test_bad_axes() -> None:
    x = {"x": np.zeros((1, 3, 1), np.float32)}
    check_refused(one_node("Squeeze", x, constants=axes(1)), x, ModelError, r"axis 1 .*extent 3", "Squeeze")
    check_refused(one_node("Squeeze", x, constants=axes(3)), x, ModelError, "axis 3 is outside", "Squeeze")
    check_refused(one_node("Squeeze", x, constants=axes(0, -3)), x, ModelError, "axis 0 is named twice", "Squeeze")
    check_refused(one_node("Squeeze", x, axes=[0]), x, ModelError, "as input 1, not as an attribute", "Squeeze")
    late = one_node("Squeeze", x, constants=axes(0), opset=11)
    check_refused(late, x, ModelError, "as an attribute, not as an input", "Squeeze")
