"""Cases that LSTM, GRU and RNN share, with their meaning in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnx import helper
from onnx_models import Array, model_of
from runner import Case

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
ORDER = {
    "LSTM": ["x", "w", "r", "b", "lengths", "h", "c", "p"],
    "GRU": ["x", "w", "r", "b", "lengths", "h"],
    "RNN": ["x", "w", "r", "b", "lengths", "h"],
}

# By name: the function of x, alpha and beta, and the default alpha and beta (None: it has none).
FUNCTIONS: dict[str, tuple[Callable[[Array, Any, Any], Array], float | None, float | None]] = {
    "Sigmoid": (lambda x, a, b: 1 / (1 + np.exp(-x)), None, None),
    "Tanh": (lambda x, a, b: np.tanh(x), None, None),
    "Relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "Affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "LeakyRelu": (lambda x, a, b: np.where(x < 0, a * x, x), 0.01, None),
    "ThresholdedRelu": (lambda x, a, b: np.where(x < a, 0, x), 1.0, None),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "Elu": (lambda x, a, b: np.where(x < 0, a * np.expm1(x), x), 1.0, None),
    "Softsign": (lambda x, a, b: x / (1 + abs(x)), None, None),
    "Softplus": (lambda x, a, b: np.logaddexp(0, x), None, None),
}


def functions_of(op: str, directions: int, attributes: Mapping[str, Any]) -> list[Callable[[Array], Array]]:
    names = attributes.get("activations", DEFAULTS[op] * directions)
    alphas, betas = (list(attributes.get(f"activation_{name}", [])) for name in ("alpha", "beta"))
    made = []
    for i, name in enumerate(names):
        function, alpha, beta = next(f for known, f in FUNCTIONS.items() if known.lower() == name.lower())
        a = alphas.pop(0) if alpha is not None and alphas else alpha
        b = betas.pop(0) if beta is not None and betas else beta
        # As ONNX Runtime has it, the cell state of LSTM is not clipped on its way to the third function.
        clip = float(np.float32(attributes.get("clip", np.inf))) if op != "LSTM" or i % 3 < 2 else np.inf
        rounded = [v if v is None else float(np.float32(v)) for v in (a, b)]
        made.append(lambda x, f=function, v=rounded, c=clip: np.asarray(f(np.clip(x, -c, c), *v), np.float64))
    return made


def one_direction(
    op: str, t: Mapping[str, Array], d: int, functions: Sequence[Callable[[Array], Array]], backwards: bool, **a: Any
) -> tuple[Array, Array, Array]:
    """All hidden states [steps, batch, hidden], the last h and the last c, of layout 0."""
    steps, batch, _ = t["x"].shape
    hidden, gates = t["r"].shape[2], GATES[op]
    w, r = t["w"][d].T, t["r"][d].T
    wb, rb = np.split(t["b"][d], 2) if "b" in t else (np.zeros(gates * hidden),) * 2
    lengths = t.get("lengths", np.full(batch, steps))
    h = t["h"][d].copy() if "h" in t else np.zeros((batch, hidden))
    c = t["c"][d].copy() if "c" in t else np.zeros((batch, hidden))
    p = np.split(t["p"][d], 3) if "p" in t else [np.zeros(hidden)] * 3
    y = np.zeros((steps, batch, hidden))
    for row, length in enumerate(lengths):
        for i in range(length):
            at = length - 1 - i if backwards else i
            x = t["x"][at, row] @ w + wb
            s, v = h[row], c[row]
            z = np.split(x + s @ r + rb, gates)
            if op == "LSTM":
                enter = functions[0](z[0] + p[0] * v)
                forget = 1 - enter if a.get("input_forget") else functions[0](z[2] + p[2] * v)
                c[row] = forget * v + enter * functions[1](z[3])
                h[row] = functions[0](z[1] + p[1] * c[row]) * functions[2](c[row])
            elif op == "GRU":
                update, reset = functions[0](z[0]), functions[0](z[1])
                n = slice(2 * hidden, None)
                if a.get("linear_before_reset"):
                    fresh = functions[1](x[n] + reset * (s @ r[:, n] + rb[n]))
                else:
                    fresh = functions[1](x[n] + (reset * s) @ r[:, n] + rb[n])
                h[row] = (1 - update) * fresh + update * s
            else:
                h[row] = functions[0](z[0])
            y[at, row] = h[row]
    return y, h, c


def expected(op: str, tensors: Mapping[str, Array], **attributes: Any) -> dict[str, Array]:
    """Every output in float64."""
    t = {name: array if name == "lengths" else array.astype(np.float64) for name, array in tensors.items()}
    turned = attributes.get("layout", 0) == 1
    for name in ("x", "h", "c"):
        if turned and name in t:
            t[name] = t[name].swapaxes(0, 1)
    directions = t["w"].shape[0]
    functions = functions_of(op, directions, attributes)
    each = len(functions) // directions
    found = [
        one_direction(
            op,
            t,
            d,
            functions[d * each : (d + 1) * each],
            d == 1 or attributes.get("direction") == "reverse",
            **attributes,
        )
        for d in range(directions)
    ]
    y, h, c = (np.stack([part[i] for part in found], 1 if i == 0 else 0) for i in range(3))
    if turned:
        y, h, c = y.transpose(2, 0, 1, 3), h.swapaxes(0, 1), c.swapaxes(0, 1)
    outputs = {"y": y, "last_h": h, "last_c": c}
    return outputs if op == "LSTM" else {name: outputs[name] for name in ("y", "last_h")}


def recurrent(
    op: str,
    name: str,
    *,
    steps: int = 5,
    batch: int = 3,
    size: int = 7,
    hidden: int = 9,
    given: Sequence[str] = (),
    lengths: Sequence[int] | None = None,
    computed: Sequence[str] = ("x", "lengths", "h", "c"),
    outputs: Sequence[str] | None = None,
    dtype: Any = np.float32,
    opset: int = 21,
    onnxruntime: bool = True,
    **attributes: Any,
) -> Case:
    """A case; `given` are the optional inputs, `computed` those that are no initializers."""
    rng = np.random.default_rng(steps * 100 + hidden)
    gates, directions = GATES[op], 2 if attributes.get("direction") == "bidirectional" else 1
    turned = attributes.get("layout", 0) == 1
    state = (batch, directions, hidden) if turned else (directions, batch, hidden)
    shapes = {
        "x": (batch, steps, size) if turned else (steps, batch, size),
        "w": (directions, gates * hidden, size),
        "r": (directions, gates * hidden, hidden),
        "b": (directions, 2 * gates * hidden),
        "h": state,
        "c": state,
        "p": (directions, 3 * hidden),
    }
    wanted = [part for part in ORDER[op] if part in ("x", "w", "r", *given) and part != "lengths"]
    tensors = {}
    for part in wanted:
        spread = 1.0 if part == "x" else 1.0 / np.sqrt(max(1, size if part == "w" else hidden))
        tensors[part] = np.asarray(rng.normal(0, spread, shapes[part]), dtype)
    if lengths is not None:
        tensors["lengths"] = np.asarray(lengths, np.int32)
    order = [part if part in tensors else "" for part in ORDER[op]]
    while not order[-1]:
        order.pop()
    all_outputs = expected(op, tensors, **attributes)
    kept = list(all_outputs) if outputs is None else list(outputs)
    node = helper.make_node(
        op, order, [n if n in kept else "" for n in all_outputs], name="node", hidden_size=hidden, **attributes
    )
    inputs = {part: tensors[part] for part in tensors if part in computed}
    model = model_of(
        [node],
        {part: (a.dtype, a.shape) for part, a in inputs.items()},
        dict.fromkeys(kept, dtype),
        {part: a for part, a in tensors.items() if part not in computed},
        opset=opset,
    )
    return Case(
        name,
        model,
        inputs,
        {n: all_outputs[n] for n in kept},
        length=None,
        # It has neither layout 1 nor double.
        onnxruntime=onnxruntime and not turned and dtype is np.float32,
    )


def shared_cases(op: str) -> Iterator[Case]:
    """Shapes, directions, layouts, lengths, functions: what all three have."""
    yield recurrent(op, "plain")
    yield recurrent(op, "one", steps=1, batch=1, size=1, hidden=1, given=("b", "h", "c"))
    yield recurrent(op, "opset7", opset=7, given=("b", "h", "c"))
    yield recurrent(op, "opset14", opset=14, given=("b",))
    yield recurrent(op, "float64", given=("b", "h", "c", "p"), dtype=np.float64, direction="bidirectional")
    for direction in ("forward", "reverse", "bidirectional"):
        for layout in (0, 1):
            extra = {"layout": 1} if layout else {}
            for lengths in (None, (5, 2, 1), (3, 5, 4)):
                name = f"{direction}-{layout}-{lengths}"
                settings: dict[str, Any] = {"given": ("b", "h", "c"), "direction": direction}
                yield recurrent(op, name, lengths=lengths, **settings, **extra)
    # ONNX Runtime does not carry the initial state over a sequence of no steps.
    yield recurrent(op, "length0", lengths=(0, 5, 2), given=("b", "h", "c"), onnxruntime=False)
    yield recurrent(op, "constant-lengths", lengths=(2, 5, 2), given=("b",), computed=("x",))
    yield recurrent(op, "computed-weights", given=("b",), computed=("x", "w", "r", "b"))
    for hidden in (1, 16, 63, 64, 65, 130):
        yield recurrent(op, f"hidden{hidden}", hidden=hidden, given=("b",), direction="bidirectional")
    yield recurrent(op, "long", steps=300, batch=2, given=("b",))
    yield recurrent(op, "batch", steps=3, batch=100, given=("b",), direction="bidirectional")
    # So large that threads share every step.
    yield recurrent(op, "large", steps=3, batch=1, size=20, hidden=730 if op == "RNN" else 420, given=("b", "h", "c"))
    for kept in (["y"], ["last_h"], ["y", "last_h"]):
        yield recurrent(op, "-".join(kept), outputs=kept, direction="bidirectional", lengths=(5, 2, 1))
    yield recurrent(op, "clip", given=("b", "h", "c"), clip=0.2)
    count = len(DEFAULTS[op])
    for name, (_, alpha, beta) in FUNCTIONS.items():
        settings = {"given": ("b",), "activations": [name] * count, "steps": 3}
        # Where a default is meant, ONNX Runtime demands that it is written out.
        plain = alpha is None and beta is None
        yield recurrent(op, f"{name}-default", **settings, onnxruntime=plain)
        numbers: dict[str, Any] = {}
        if alpha is not None:
            numbers["activation_alpha"] = [0.3 + 0.1 * i for i in range(count)]
        if beta is not None:
            numbers["activation_beta"] = [0.6 - 0.1 * i for i in range(count)]
        yield recurrent(op, f"{name}-given", **settings, **numbers)
