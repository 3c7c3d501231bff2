import pytest

from arg_cases import arg_cases, check_nan_wins, check_refused_arg
from runner import Case, check


@pytest.mark.parametrize("case", arg_cases("ArgMin"), ids=str)
def test_arg_min(case: Case) -> None:
    check(case)


def test_a_nan_wins() -> None:
    check_nan_wins("ArgMin")


def test_refused() -> None:
    check_refused_arg("ArgMin")
