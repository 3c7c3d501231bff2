"""Writes the fuzz corpus of operators: for each the smallest model among the cases of its test.

`SANDERLING_WRITE_CASES=DIR pytest tests/ops` writes the cases, `python tests/fuzz/corpus/generate_operators.py DIR`
copies models of one node from there into corpus/operators/, which are committed.
"""

import sys
from pathlib import Path

import onnx

MOST_BYTES = 1500


def main() -> None:
    """Copies the smallest case of each operator."""
    best: dict[str, Path] = {}
    for path in sorted(Path(sys.argv[1]).glob("*/model.onnx")):
        if path.stat().st_size > MOST_BYTES:
            continue
        nodes = onnx.load(path).graph.node
        if len(nodes) != 1:
            continue
        name = f"{nodes[0].domain}.{nodes[0].op_type}".lstrip(".")
        if name not in best or path.stat().st_size < best[name].stat().st_size:
            best[name] = path
    folder = Path(__file__).parent / "operators"
    folder.mkdir(exist_ok=True)
    for name, path in best.items():
        (folder / f"{name}.onnx").write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
