from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from onnx_models import Array, one_node
from recurrent_cases import recurrent, shared_cases
from runner import Case, check, isas
from sanderling import _core


def cases() -> Iterator[Case]:
    yield from shared_cases("RNN")
    yield recurrent("RNN", "two-names", activations=["Tanh", "Tanh"], onnxruntime=False)
    yield recurrent("RNN", "any-case", activations=["relu"], onnxruntime=False)
    yield recurrent("RNN", "empty", batch=0, given=("b", "h"), onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_rnn(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("name", "function", "bound"),
    [("Tanh", np.tanh, 4 * 2.0**-24), ("Sigmoid", lambda x: 1 / (1 + np.exp(-x)), 4 * 2.0**-24)],
)
def test_functions_over_their_whole_range(name: str, function: Callable[[Array], Array], bound: float) -> None:
    """The plan's own sigmoid and tanh, which are kernels: see csrc/kernels/cpu/functions.h."""
    sizes = np.geomspace(1e-6, 200, 50_000)
    x = np.concatenate([-sizes, [0.0], sizes]).astype(np.float32)
    one, none = np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    inputs = {"x": x.reshape(1, -1, 1)}
    model = one_node("RNN", inputs, constants={"w": one, "r": none}, activations=[name])
    for isa in isas():
        y = _core.Session(_core.Model(model.SerializeToString()), isa=isa).run(inputs)["y"].reshape(-1)
        wanted = function(np.clip(x, -80, 80).astype(np.float64))
        assert float(np.abs(y - wanted).max()) <= bound
        if name == "Tanh":  # near 0 too
            assert float(np.max(np.abs(y - wanted) / np.maximum(np.abs(wanted), 1e-30))) <= 4 * 2.0**-23
