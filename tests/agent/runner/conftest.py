"""Lets the tests of this folder say `from runner_harness import ...`; gives them processes that end with the test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from runner_harness import Runners


@pytest.fixture
def runners(tmp_path: Path) -> Iterator[Runners]:
    with Runners(tmp_path) as started:
        yield started
