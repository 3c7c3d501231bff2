"""Operators that the native engine lacks on purpose: the message says what to do."""

import re
from pathlib import Path

import numpy as np
import pytest

import onnx
from onnx import helper
from sanderling import _core
from sanderling.errors import UnsupportedError

HEADER = Path(__file__).resolve().parents[2] / "csrc/onnx/declined.h"
NAMES = re.findall(r'^    \{"([\w.]+)", k\w+\},$', HEADER.read_text(), re.MULTILINE)


def model_of(*names: str) -> bytes:
    nodes = []
    for i, name in enumerate(names):
        domain, _, op = name.rpartition(".")
        nodes.append(helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain=domain))
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in ("v0", f"v{len(names)}")]
    domains = {node.domain for node in nodes} | {""}
    opsets = [helper.make_opsetid(domain, 1 if domain else 21) for domain in sorted(domains)]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def test_the_table_names_operators_of_onnx() -> None:
    assert len(NAMES) > 30
    known = {f"{s.domain}.{s.name}".lstrip(".") for s in onnx.defs.get_all_schemas_with_history()}
    assert {name for name in NAMES if not name.startswith("com.microsoft.nchwc.")} <= known


@pytest.mark.parametrize("name", NAMES)
def test_each_is_lacking_and_says_what_to_do(name: str) -> None:
    op = name.rpartition(".")[2]
    with pytest.raises(UnsupportedError, match=rf"lacks 1 operator .*\. {op}: it .*\. Use backend='onnxruntime'"):
        _core.Model(model_of(name))


def test_zip_map() -> None:
    with pytest.raises(UnsupportedError, match=r"options=\{'zipmap': False\}"):
        _core.Model(model_of("ai.onnx.ml.ZipMap"))


def test_each_hint_stands_once() -> None:
    with pytest.raises(UnsupportedError, match="lacks 4 operators") as raised:
        _core.Model(model_of("SequenceAt", "StringSplit", "SequenceEmpty", "Unheard"))
    text = str(raised.value)
    assert "SequenceAt, SequenceEmpty: it works on lists" in text
    assert text.count("it works on lists") == text.count("it works on strings") == 1
    assert "Unheard:" not in text


def test_a_model_of_scikit_learn_with_its_zip_map() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    skl2onnx = pytest.importorskip("skl2onnx")
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    model = linear_model.LogisticRegression().fit(x, x[:, 0] > 0)
    converted = skl2onnx.to_onnx(model, x[:1], target_opset={"": 21, "ai.onnx.ml": 3})
    with pytest.raises(UnsupportedError, match=r"ZipMap: it makes dictionaries of probabilities\. Export without it"):
        _core.Model(converted.SerializeToString())
