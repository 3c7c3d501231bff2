from __future__ import annotations

from collections.abc import Iterator

import pytest

from recurrent_cases import recurrent, shared_cases
from runner import Case, check


def cases() -> Iterator[Case]:
    yield from shared_cases("GRU")
    for case in (
        {"given": ("b", "h")},
        {"given": ("b", "h"), "direction": "bidirectional", "lengths": (5, 1, 3)},
        {"given": ("b",), "clip": 0.3, "direction": "reverse"},
        {"hidden": 130, "layout": 1},
        {"steps": 3, "batch": 1, "hidden": 420, "given": ("b", "h")},
    ):
        name = "-".join(f"{key}{value}" for key, value in case.items())
        yield recurrent("GRU", f"linear-{name}", linear_before_reset=1, **case)  # type: ignore[arg-type]
    yield recurrent("GRU", "empty", steps=0, given=("b", "h"), onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_gru(case: Case) -> None:
    check(case)
