from __future__ import annotations

import pytest

from cosine_window_cases import check_window_refusals, window_cases
from runner import Case, check


@pytest.mark.parametrize("case", list(window_cases("BlackmanWindow", 0.42, 0.5, 0.08)), ids=str)
def test_blackman_window(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    check_window_refusals("BlackmanWindow")
