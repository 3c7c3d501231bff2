"""Writes docs/operators.md from the built core's registry: `python csrc/bind/generate_operators_page.py [--check]`.

The core must be importable; `--check` writes nothing and exits 1 if the file would change.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from sanderling import _core

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"
ONNX = "ai.onnx"
TEXT = """# Operators

What the native engine runs, read from its registry (`make docs`; not edited by hand). A model with another operator
runs on another backend, where the caller allows one (`backend="auto"`); `backend="native"` names all that are missing
at once.

Tier 1 has kernels for every instruction set, is a loop that the compiler vectorizes, or only gives memory another
shape. Tier 2 runs by the operator's reference function: right, and slower. Opsets {oldest} to {newest} of the default
domain are read; "since" is the first version of the domain whose meaning is known. Local functions of a model stand in
place of their calls. Inside a model float16 and bfloat16 are computed as float32. How to add an operator:
[add-an-operator.md](add-an-operator.md); which of onnx's own test cases pass: `make conformance`.
"""


def domain_of(name: str) -> str:
    """The domain in a registry name."""
    return name.rpartition(".")[0] or ONNX


def generate() -> str:
    """The page."""
    oldest, newest = _core.opsets()
    lines = [TEXT.format(oldest=oldest, newest=newest)]
    rows = sorted(_core.operators(), key=lambda row: (domain_of(row[0]) != ONNX, domain_of(row[0]), row[0]))
    for domain, group in groupby(rows, key=lambda row: domain_of(row[0])):
        listed = list(group)
        fast = sum(tier == 1 for _, _, tier in listed)
        lines += [f"## {domain}: {len(listed)} operators, {fast} of tier 1", "", "| operator | since | tier |"]
        lines.append("| --- | --- | --- |")
        lines += [f"| {name.rpartition('.')[2]} | {since} | {tier} |" for name, since, tier in listed]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Writes or checks the page."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(generate())
    elif not PAGE.exists() or PAGE.read_text() != generate():
        sys.exit("docs/operators.md is not what the registry says. Run make docs")


if __name__ == "__main__":
    main()
