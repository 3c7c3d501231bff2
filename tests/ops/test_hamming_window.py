from __future__ import annotations

import pytest

from cosine_window_cases import check_window_refusals, window_cases
from runner import Case, check


@pytest.mark.parametrize("case", list(window_cases("HammingWindow", 25 / 46, 21 / 46, 0.0)), ids=str)
def test_hamming_window(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    check_window_refusals("HammingWindow")
