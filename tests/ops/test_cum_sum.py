import pytest

from runner import Case, check
from running_cases import check_an_axis_that_is_an_input, check_refused_running, running_cases


@pytest.mark.parametrize("case", running_cases("CumSum", (11, 14)), ids=str)
def test_cum_sum(case: Case) -> None:
    check(case)


def test_an_axis_that_is_an_input() -> None:
    check_an_axis_that_is_an_input("CumSum", 14)


def test_refused() -> None:
    check_refused_running("CumSum", 14)
