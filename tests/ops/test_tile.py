import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def repeats(*given: int) -> dict[str, Array]:
    return {"repeats": np.array(given, np.int64)}


PAIRS = [
    ((5,), (3,)),
    ((3, 4), (2, 3)),
    ((3, 4), (1, 1)),
    ((3, 4), (2, 1)),
    ((3, 4), (1, 2)),
    ((2, 3, 4), (2, 1, 3)),
    ((2, 1, 3, 1), (1, 5, 1, 4)),
    ((2, 3), (0, 2)),
    ((0, 3), (2, 2)),
    ((2, 1, 2, 1, 2, 1, 2, 2), (2, 2, 1, 2, 2, 2, 2, 2)),
    ((7, 31), (50, 60)),
    ((1, 333), (300, 1)),
]


def cases() -> list[Case]:
    scalar = values(np.random.default_rng(1), ())
    # ONNX Runtime does not take a scalar.
    made = [move_case("scalar", "Tile", scalar, scalar, constants=repeats(), onnxruntime=False)]
    for shape, times in PAIRS:
        x = values(np.random.default_rng(0), shape)
        name, expected = f"{shape}-{times}", np.tile(x, times)
        made.append(move_case(name, "Tile", x, expected, constants=repeats(*times), opset=13))
        inputs = {"x": x, **repeats(*times)}
        made.append(Case(f"run-{name}", one_node("Tile", inputs, opset=7), inputs, {"y": expected}, exact=True))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 3))
        made.append(
            move_case(f"batch{batch}", "Tile", x, np.tile(x, (1, 4)), constants=repeats(1, 4), symbolic_batch=True)
        )
    made += in_every_dtype("Tile", (3, 5), lambda a: np.tile(a, (2, 3)), constants=repeats(2, 3))
    return made + in_other_dtypes("Tile", (3, 5), lambda a: np.tile(a, (2, 3)), constants=repeats(2, 3))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_tile(case: Case) -> None:
    check(case)


def test_bad_repeats() -> None:
    x = {"x": np.zeros((3, 2), np.float32)}

    def refused(message: str, *times: int) -> None:
        check_refused(one_node("Tile", x, constants=repeats(*times)), x, ModelError, message, "Tile")

    refused("repeats has 1 values", 2)
    refused("repeats has the value -1", 1, -1)
    refused(f"repeats has the value {1 << 62}", 1, 1 << 62)
    refused("more than the limit", 1 << 29, 1)
