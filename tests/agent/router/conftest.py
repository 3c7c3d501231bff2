"""Lets the tests of this folder say `from runner_harness import ...`; gives them processes that end with the test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "runner")]

from router_harness import Router  # noqa: E402  (found by the line above)
from runner_harness import Runners  # noqa: E402


@pytest.fixture
def runners(tmp_path: Path) -> Iterator[Runners]:
    with Runners(tmp_path) as started:
        yield started


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    with Router(tmp_path / "router") as started:
        yield started
