from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from code_node_cases import BYTES, centred, codes
from onnx_models import Array
from recurrent_cases import expected
from runner import Case, check, check_refused
from sanderling.errors import ModelError
from sequence_models import MICROSOFT, node_case

ORDER = ("x", "w", "r", "b", "lengths", "h", "c", "p", "ws", "wz", "rs", "rz")
OUTPUTS = ("y", "last_h", "last_c")


def lstm(
    name: str,
    dtype: Any,
    *,
    batch: int = 2,
    hidden: int = 9,
    each: bool = False,
    given: tuple[str, ...] = (),
    constant: bool = True,
    **attributes: Any,
) -> Case:
    """`each`: a scale and zero point per column; `given`: which optional inputs there are."""
    rng = np.random.default_rng(hidden)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    steps, width, columns = 6, 5, 4 * hidden

    def drawn(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    p: dict[str, Array] = {}
    real = {}
    for weights, depth in (("w", width), ("r", hidden)):
        along = (directions, columns) if each else (directions,)
        p[weights] = codes(rng, (directions, depth, columns), dtype)
        p[f"{weights}s"] = rng.uniform(0.002, 0.01, along).astype(np.float32)
        p[f"{weights}z"] = codes(rng, along, dtype)
        zero, scale = (p[weights + part].reshape(directions, 1, -1) for part in "zs")
        real[weights] = (centred(p[weights], zero).astype(np.float32) * scale).swapaxes(1, 2)
    more = {
        "b": drawn(directions, 2 * columns),
        "lengths": np.array([steps, 3], np.int32)[:batch],
        "h": drawn(directions, batch, hidden),
        "c": drawn(directions, batch, hidden),
        "p": drawn(directions, 3 * hidden),
    }
    tensors = {"x": drawn(steps, batch, width), **p, **{n: more[n] for n in given}}
    wanted = expected("LSTM", {**tensors, **real}, **attributes)
    return node_case(
        "DynamicQuantizeLSTM",
        name,
        {n: tensors.get(n) for n in ORDER},
        {n: wanted[n] for n in OUTPUTS},
        domain=MICROSOFT,
        constants=list(p) if constant else (),
        settings={"onnxruntime": False},  # it quantizes x and h too: see below
        hidden_size=hidden,
        **attributes,
    )


@pytest.mark.parametrize("dtype", BYTES)
def test_dynamic_quantize_lstm(dtype: Any) -> None:
    check(lstm("plain", dtype))
    check(lstm("each-column", dtype, each=True, given=("b",)))
    check(lstm("both-directions", dtype, direction="bidirectional", given=("b", "h", "c")))
    check(lstm("reverse", dtype, direction="reverse", given=("lengths",)))
    check(lstm("all", dtype, given=("b", "lengths", "h", "c", "p"), clip=0.7, input_forget=1))
    check(lstm("blocks", dtype, hidden=70, each=True))
    check(lstm("inputs", dtype, constant=False, direction="bidirectional", each=True))


@pytest.mark.parametrize("dtype", BYTES)
def test_onnxruntime_is_as_near_as_its_codes_allow(dtype: Any) -> None:
    case = lstm("near", dtype, batch=1, direction="bidirectional", given=("b",))
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = case.expected(case.inputs) if callable(case.expected) else case.expected
    for name, theirs in zip(OUTPUTS, session.run(list(OUTPUTS), dict(case.inputs)), strict=True):
        np.testing.assert_allclose(theirs, wanted[name], rtol=0, atol=0.02, err_msg=name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"w": np.zeros((1, 5), np.int8)}, "w has shape .*expected rank 3"),
        ({"w": np.zeros((1, 5, 20), np.int8)}, "w has shape"),
        ({"ws": np.zeros(3, np.float32)}, r"the scale \(input 8\) has shape \[3\], expected \[1\] or \[1, 36\]"),
        ({"rz": np.zeros((1, 35), np.int8)}, r"the zero point \(input 11\) has shape \[1, 35\]"),
        ({"rz": np.zeros(1, np.uint8)}, "input 11 is uint8"),
        ({"x": np.zeros((6, 2, 4), np.float32)}, "w has shape"),
        ({"wz": None}, "input 9 is required and missing"),
    ],
)
def test_refused(changed: dict[str, Array | None], message: str) -> None:
    tensors: dict[str, Array | None] = dict.fromkeys(ORDER)
    tensors |= {"x": np.zeros((6, 2, 5), np.float32), "w": np.zeros((1, 5, 36), np.int8)}
    tensors |= {"r": np.zeros((1, 9, 36), np.int8), "ws": np.ones(1, np.float32), "rs": np.ones(1, np.float32)}
    tensors |= {"wz": np.zeros(1, np.int8), "rz": np.zeros(1, np.int8)} | changed
    wanted = {n: np.zeros(1, np.float32) for n in OUTPUTS}
    case = node_case("DynamicQuantizeLSTM", "bad", tensors, wanted, domain=MICROSOFT, hidden_size=9)
    check_refused(case.model, case.inputs, ModelError, message, "com.microsoft.DynamicQuantizeLSTM")
