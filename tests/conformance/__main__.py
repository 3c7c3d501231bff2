"""Counts how many of onnx's inference cases the native engine passes, and ONNX Runtime beside it.

python -m tests.conformance [--only REGEX] [--failures]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

import onnxruntime
from tests.conformance.cases import Array, Run, check, inference_cases

import onnx
import sanderling


def run_sanderling(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Any]:
    session = sanderling.Session(model.SerializeToString(), backend="native")
    names = [value.name for value in model.graph.input][: len(inputs)]
    outputs = session.run(dict(zip(names, inputs, strict=True)))
    return [outputs[value.name] for value in model.graph.output]


def run_onnxruntime(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()][: len(inputs)]
    found: list[Any] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


def failure(case: Any, run: Run) -> str:
    """Why a case does not pass; "" if it does."""
    try:
        check(case, run)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name this regular expression is found in")
    parser.add_argument("--failures", action="store_true", help="list the cases that the native engine does not pass")
    options = parser.parse_args()
    cases = {name: case for name, case in inference_cases().items() if re.search(options.only, name)}
    ours = {name: failure(case, run_sanderling) for name, case in cases.items()}
    theirs = {name: failure(case, run_onnxruntime) for name, case in cases.items()}
    behind = [name for name in cases if ours[name] and not theirs[name]]
    for name in cases if options.failures else behind:
        if ours[name]:
            print(f"{name}{'' if theirs[name] else ' (ONNX Runtime passes it)'}: {ours[name]}")
    for title, failures in (("Sanderling", ours), (f"ONNX Runtime {onnxruntime.__version__}", theirs)):
        print(f"{title}: {sum(not why for why in failures.values()):,} of {len(cases):,} inference cases")
    sys.exit(1 if behind else 0)


if __name__ == "__main__":
    main()
