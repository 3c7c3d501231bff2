import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check


@pytest.mark.parametrize("shape", [(), (1,), (2, 0, 3), (2, 3, 5)], ids=str)
def test_size(shape: tuple[int, ...]) -> None:
    x = {"x": np.zeros(shape, np.float32)}
    model = one_node("Size", x, output_dtype=np.int64)
    check(Case("size", model, x, {"y": np.array(np.prod(shape, dtype=np.int64))}))
