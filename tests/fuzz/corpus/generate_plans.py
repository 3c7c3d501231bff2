"""Writes the plans' corpus, to be run in this folder when their format changes: `python generate_plans.py`.

The models of corpus/onnx (small ones) and two of tests/api/small_models.py, for the scalar kernels and a key of zeros.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sanderling import _core
from sanderling.errors import UnsupportedError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "api"))
import small_models

from onnx import TensorProto, helper

KEY = bytes(32)
LARGEST = 16384  # what the fuzzer keeps of an input


def branches() -> bytes:
    """Subgraphs that capture: y = relu(x) if c else x + x."""
    value = helper.make_tensor_value_info
    then_branch = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "t", [], [value("t", 1, None)])
    else_branch = helper.make_graph([helper.make_node("Add", ["x", "x"], ["e"])], "e", [], [value("e", 1, None)])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then_branch, else_branch=else_branch)
    inputs = [value("c", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, ["N", 3])]
    graph = helper.make_graph([node], "g", inputs, [value("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def main() -> None:
    """Writes corpus/plans."""
    models = {path.stem: path.read_bytes() for path in sorted(Path("onnx").glob("*.onnx"))}
    models |= {"affine": small_models.affine(), "mlp": small_models.quantized_mlp(0, 7, 5, 3), "branches": branches()}
    folder = Path("plans")
    folder.mkdir(exist_ok=True)
    for name, data in models.items():
        try:
            plan = _core.Model(data).compile("scalar")
        except UnsupportedError:
            continue
        arrays = [
            np.ones([d if isinstance(d, int) else 2 for d in dims], dtype) for _, dtype, dims in plan.inputs
        ]  # packs the weights
        _core.Session(plan).run(arrays)
        path = folder / f"{name}.plan"
        with path.open("wb") as file:
            plan.write(file.fileno(), KEY)
        if path.stat().st_size > LARGEST:
            path.unlink()


if __name__ == "__main__":
    main()
