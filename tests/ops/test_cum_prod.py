import pytest

from runner import Case, check
from running_cases import check_an_axis_that_is_an_input, check_refused_running, running_cases


@pytest.mark.parametrize("case", running_cases("CumProd", (26,)), ids=str)
def test_cum_prod(case: Case) -> None:
    check(case)


def test_an_axis_that_is_an_input() -> None:
    check_an_axis_that_is_an_input("CumProd", 26)


def test_refused() -> None:
    check_refused_running("CumProd", 26)
