"""The arrows between rooms: who may include or import whom (docs/architecture.md draws them)."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"

# room -> rooms that it may include, itself aside.
MAY_INCLUDE = {
    "core": set(),
    "kernels": {"core"},
    "graph": {"core"},
    "drift": {"core"},
    "onnx": {"core", "graph"},
    "ops": {"core", "graph", "kernels"},
    "quantize": {"core", "graph", "kernels"},
    "plan": {"core", "graph", "kernels"},
    "exec": {"core", "graph", "kernels", "plan", "drift"},
    "batch": {"core", "graph", "plan", "exec"},
    "capi": {"core", "graph", "kernels", "onnx", "plan", "exec"},
    "bind": {"core", "graph", "kernels", "drift", "onnx", "ops", "quantize", "plan", "exec", "batch"},
}

# package -> packages of ours that it may import, itself aside.
MAY_IMPORT = {
    "sanderling": set(),
    "sanderling_fleet": {"sanderling"},
    "sanderling_devices": {"sanderling"},
}
PACKAGES = {
    "sanderling": ROOT / "python" / "sanderling",
    "sanderling_fleet": ROOT / "fleet" / "sanderling_fleet",
    "sanderling_devices": ROOT / "devices" / "sanderling_devices",
}


def test_every_room_is_listed():
    assert {p.name for p in CSRC.iterdir() if p.is_dir()} == set(MAY_INCLUDE)


def test_cpp_rooms_include_only_what_they_may():
    wrong = []
    for source in sorted(CSRC.rglob("*")):
        if source.suffix not in {".h", ".cc", ".cu"}:
            continue
        room = source.relative_to(CSRC).parts[0]
        for included in re.findall(r'^#include "([a-z]+)/', source.read_text(), re.MULTILINE):
            if included in MAY_INCLUDE and included != room and included not in MAY_INCLUDE[room]:
                wrong.append(f"{source.relative_to(ROOT)} includes {included}/")
    assert wrong == []


def test_python_packages_import_only_what_they_may():
    wrong = []
    for package, folder in PACKAGES.items():
        for source in sorted(folder.rglob("*.py")):
            for module in _imports(ast.parse(source.read_text())):
                top = module.split(".")[0]
                if top in PACKAGES and top != package and top not in MAY_IMPORT[package]:
                    wrong.append(f"{source.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_the_fleet_never_imports_the_agent():
    wrong = [
        f"{source.relative_to(ROOT)} imports {module}"
        for source in sorted(PACKAGES["sanderling_fleet"].rglob("*.py"))
        for module in _imports(ast.parse(source.read_text()))
        if module.startswith("sanderling.agent")
    ]
    assert wrong == []


def test_cli_knows_only_click():
    """cli.py finds commands through entry points, so that a missing extra breaks one command, not all."""
    tree = ast.parse((PACKAGES["sanderling"] / "cli.py").read_text())
    ours = {m for m in _imports(tree) if m.startswith("sanderling") and m not in {"sanderling", "sanderling.errors"}}
    assert ours == set()


def _imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append(node.module)
    return found
