"""One operator, one file, one test."""

import re
from pathlib import Path

import pytest

from sanderling import _core

ROOT = Path(__file__).resolve().parents[2]
REGISTRATION = re.compile(r'SANDERLING_OPERATOR\((\w+)\)\(\s*\{\s*\.name = "(\w+)"')


def plain(name: str) -> str:
    return name.replace("_", "").lower()


def registrations() -> dict[str, list[tuple[str, str]]]:
    """(variable, operator) of each registration by file stem; files without one hold what several operators share."""
    found = {path.stem: REGISTRATION.findall(path.read_text()) for path in (ROOT / "csrc/ops").glob("*.cc")}
    return {stem: registered for stem, registered in found.items() if registered}


def test_registry_names_are_the_file_names() -> None:
    files = registrations()
    assert {plain(stem) for stem in files} == {plain(name) for name in _core.operator_names()}
    for stem, registered in files.items():
        assert [(plain(variable), plain(name)) for variable, name in registered] == [(plain(stem), plain(stem))]


@pytest.mark.parametrize("stem", sorted(registrations()))
def test_each_operator_has_its_test(stem: str) -> None:
    assert (ROOT / "tests/ops" / f"test_{stem}.py").is_file()
