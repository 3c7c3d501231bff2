"""One operator, one file, one test."""

import re
from pathlib import Path

import pytest

from sanderling import _core

ROOT = Path(__file__).resolve().parents[2]
REGISTRATION = re.compile(r'SANDERLING_OPERATOR\((\w+)\)\(\s*\{\s*\.name = "([\w.]+)"')
DOMAINS = {"com_microsoft": "com.microsoft.", "ai_onnx_ml": "ai.onnx.ml."}
"""Folders of operators that are not ONNX's own."""


def plain(name: str) -> str:
    return name.replace("_", "").lower()


def registrations() -> dict[str, list[tuple[str, str]]]:
    """(variable, operator) of each registration by file; files without one hold what several operators share."""
    files = (ROOT / "csrc/ops").rglob("*.cc")
    found = {str(path.relative_to(ROOT / "csrc/ops")): REGISTRATION.findall(path.read_text()) for path in files}
    return {name: registered for name, registered in found.items() if registered}


def operator_of(file: str) -> str:
    """What the operator of a file is called, but for its capitals."""
    folder, _, name = file.removesuffix(".cc").rpartition("/")
    return plain(DOMAINS.get(folder, "") + name)


def test_registry_names_are_the_file_names() -> None:
    files = registrations()
    assert {operator_of(file) for file in files} == {plain(name) for name in _core.operator_names()}
    for file, registered in files.items():
        ((variable, name),) = registered
        assert plain(name) == operator_of(file)
        assert plain(name).endswith(plain(variable))


@pytest.mark.parametrize("file", sorted(registrations()))
def test_each_operator_has_its_test(file: str) -> None:
    folder, _, name = file.removesuffix(".cc").rpartition("/")
    assert (ROOT / "tests/ops" / folder / f"test_{name}.py").is_file()
