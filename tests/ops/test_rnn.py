from __future__ import annotations

from collections.abc import Iterator

import pytest

from recurrent_cases import recurrent, shared_cases
from runner import Case, check


def cases() -> Iterator[Case]:
    yield from shared_cases("RNN")
    yield recurrent("RNN", "two-names", activations=["Tanh", "Tanh"], onnxruntime=False)
    yield recurrent("RNN", "any-case", activations=["relu"], onnxruntime=False)
    yield recurrent("RNN", "empty", batch=0, given=("b", "h"), onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_rnn(case: Case) -> None:
    check(case)
