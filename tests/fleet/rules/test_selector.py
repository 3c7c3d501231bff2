import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanderling.errors import InputError
from sanderling_fleet.selector import Operator, Requirement, Selector, parse

LABELS = {"device_id": "cam-7", "site": "hall-2", "profile": "pi-5", "tier": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("   ", True),
        ("site=hall-2", True),
        ("site == hall-2", True),
        ("site=hall-3", False),
        ("site!=hall-3", True),
        ("site!=hall-2", False),
        ("region!=eu", True),
        ("region=eu", False),
        ("profile in (orin, pi-5)", True),
        ("profile in (orin)", False),
        ("profile notin (orin,x86)", True),
        ("profile notin (pi-5)", False),
        ("region notin (eu)", True),
        ("retired", False),
        ("!retired", True),
        ("!site", False),
        ("tier", True),
        ("tier=", True),
        ("tier!=", False),
        ("site=hall-2,profile in (orin, pi-5),tier!=test,!retired", True),
        ("site=hall-2,profile in (orin, pi-5),tier!=test,!retired,retired", False),
        ("device_id=cam-7", True),
        ("in=out", False),
        ("in", False),
    ],
)
def test_matches(text, matches):
    assert parse(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "column", "wanted"),
    [
        (",", 1, "a label"),
        ("site=hall-2,", 13, "a label"),
        ("site=hall-2 tier", 13, "','"),
        ("site in hall-2", 9, "'('"),
        ("site in ()", 10, "a value"),
        ("site in (a", 11, "','"),
        ("site in (a,", 12, "a value"),
        ("site within (a)", 6, "'in'"),
        ("site=hall 2", 11, "','"),
        ("site>3", 5, "one of"),
        ("!!site", 2, "a label"),
        ("site=a/b", 6, "a value"),
        ("site=" + "a" * 64, 6, "63"),
        ("-site", 1, "one of"),
        ("site=a,ü", 8, "one of"),
    ],
)
def test_points_at_the_column(text, column, wanted):
    with pytest.raises(InputError, match=rf"column {column}: ") as caught:
        parse(text)
    assert wanted in str(caught.value)
    assert str(caught.value).splitlines()[-1] == " " * (column + 1) + "^"


def test_long_text_is_refused():
    with pytest.raises(InputError, match="at most 4096"):
        parse("a," * 3000)


WORDS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
VALUES = st.lists(WORDS, min_size=1, max_size=3, unique=True).map(lambda words: tuple(sorted(words)))
REQUIREMENTS = st.one_of(
    st.builds(Requirement, WORDS, st.sampled_from([Operator.EXISTS, Operator.ABSENT])),
    st.builds(Requirement, WORDS, st.sampled_from([Operator.IN, Operator.NOT_IN]), VALUES),
)


@given(st.lists(REQUIREMENTS, max_size=5).map(tuple))
def test_text_of_a_selector_parses_to_it(requirements):
    assert parse(str(Selector(requirements))) == Selector(requirements)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused_with_a_column(text):
    error = None
    try:
        parse(text)
    except InputError as refused:
        error = str(refused)
    assert error is None or "column" in error
