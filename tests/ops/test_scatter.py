import numpy as np
import pytest

from index_cases import check_bad_indices
from runner import Case, check
from samples import DTYPES, values
from scatter_cases import scattered_elements, some_indices


def cases() -> list[Case]:
    """What ScatterElements was called before opset 11."""
    rng = np.random.default_rng(0)
    made = []
    for axis in (0, 1):
        data = values(rng, (5, 6))
        indices = some_indices(axis, data.shape, (3, 4), axis, twice=False) % data.shape[axis]
        made += scattered_elements("Scatter", f"axis{axis}", data, indices, values(rng, (3, 4)), axis, opset=9)
    for dtype in DTYPES:
        x, updates = values(rng, (5, 3), dtype), values(rng, (2, 3), dtype)
        indices = some_indices(5, x.shape, (2, 3), 0, twice=False) % 5
        made += scattered_elements("Scatter", dtype.__name__, x, indices, updates, 0, opset=10)
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_scatter(case: Case) -> None:
    check(case)


def test_an_index_outside() -> None:
    inputs = {
        "x": np.zeros((2, 4), np.float32),
        "indices": np.array([[0, 4]], np.int64),
        "updates": np.zeros((1, 2), np.float32),
    }
    check_bad_indices("Scatter", inputs, r"index 4, .*\[-4, 4\)", axis=1, opset=9)
