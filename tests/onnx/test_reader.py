"""The ONNX reader against the onnx package: it reads what onnx reads, and what it refuses it refuses by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from google.protobuf.message import DecodeError

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "onnx"
OPSET = 17
Info = tuple[str, int, list[int | str | None] | None]
Array = npt.NDArray[Any]

X: Info = ("x", TensorProto.FLOAT, ["n", 2])
Y: Info = ("y", TensorProto.FLOAT, ["n", 2])


def make(
    nodes: list[onnx.NodeProto],
    inputs: tuple[Info, ...] = (X,),
    outputs: tuple[Info, ...] = (Y,),
    initializers: list[onnx.TensorProto] | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*info) for info in inputs],
        [helper.make_tensor_value_info(*info) for info in outputs],
        initializers or [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def load(model: onnx.ModelProto) -> sanderling.Model:
    return sanderling.load(model.SerializeToString())


def relu(source: str = "x", target: str = "y", name: str = "n") -> onnx.NodeProto:
    return helper.make_node("Relu", [source], [target], name)


def damaged(model: onnx.ModelProto, *parts: str) -> None:
    """The model is refused as damaged, with these words."""
    with pytest.raises(sanderling.ModelError) as caught:
        load(model)
    for part in parts:
        assert part in str(caught.value)


def unsupported(model: onnx.ModelProto, *parts: str) -> None:
    """The model is refused as beyond the engine, with these words."""
    with pytest.raises(sanderling.UnsupportedError) as caught:
        load(model)
    for part in parts:
        assert part in str(caught.value)


# -- What tensors hold ------------------------------------------------------------------------------------------------

ELEMENT_TYPES = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT8: np.int8,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
}
SHAPES = [(), (1,), (7,), (0, 3), (2, 3, 4), (1, 1, 1, 1, 1, 1, 1, 2)]


def samples(dtype: npt.DTypeLike, shape: tuple[int, ...], seed: int) -> Array:
    """Any bits at all for numbers (NaNs with payloads too), 0 and 1 for bool, the extremes first."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    if dtype == np.bool_:
        return rng.integers(0, 2, size).astype(np.bool_).reshape(shape)
    values = np.frombuffer(rng.bytes(size * np.dtype(dtype).itemsize), dtype).copy()
    edges = (
        [np.inf, -np.inf, np.nan, -0.0]
        if np.issubdtype(dtype, np.floating)
        else [np.iinfo(dtype).min, np.iinfo(dtype).max, -1 if np.issubdtype(dtype, np.signedinteger) else 128]
    )
    values[: len(edges)] = edges[:size]
    return values.reshape(shape)


def stored(name: str, element_type: int, values: Array, *, raw: bool) -> onnx.TensorProto:
    if raw:
        return helper.make_tensor(name, element_type, values.shape, values.tobytes(), raw=True)
    tensor = TensorProto(name=name, data_type=element_type, dims=values.shape)
    field = {TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data", TensorProto.INT64: "int64_data"}
    getattr(tensor, field.get(element_type, "int32_data")).extend(
        (values.astype(np.uint8) if values.dtype == np.bool_ else values).flatten().tolist()
    )
    return tensor


def outputs_of(model: onnx.ModelProto) -> dict[str, Array]:
    with sanderling.Session(model.SerializeToString()) as session:
        return session.run({"x": np.zeros((1, 2), np.float32)})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("element_type", ELEMENT_TYPES, ids=TensorProto.DataType.Name)
def test_tensors_hold_what_onnx_reads(element_type: int, raw: bool, shape: tuple[int, ...]) -> None:
    for seed in range(3):
        tensor = stored("w", element_type, samples(ELEMENT_TYPES[element_type], shape, seed), raw=raw)
        expected = numpy_helper.to_array(tensor)
        model = make(
            [relu(), helper.make_node("Constant", [], ["c"], value=tensor), helper.make_node("Identity", ["w"], ["i"])],
            outputs=(Y, *((name, element_type, list(shape)) for name in ("w", "c", "i"))),
            initializers=[tensor],
        )
        outputs = outputs_of(model)
        for name in ("w", "c", "i"):  # an initializer handed out, a constant, an initializer through a node
            assert outputs[name].dtype == expected.dtype
            assert outputs[name].shape == expected.shape
            assert outputs[name].tobytes() == expected.tobytes(), name


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value_float": 0.5}, np.float32(0.5)),
        ({"value_int": -3}, np.int64(-3)),
        ({"value_int": 0}, np.int64(0)),
        ({"value_floats": [1.0, -2.0]}, np.array([1, -2], np.float32)),
        ({"value_ints": [1, -(2**62)]}, np.array([1, -(2**62)], np.int64)),
    ],
    ids=str,
)
def test_constants_of_every_attribute(attributes: dict[str, Any], expected: Array) -> None:
    element_type = helper.np_dtype_to_tensor_dtype(expected.dtype)
    model = make(
        [relu(), helper.make_node("Constant", [], ["c"], **attributes)],
        outputs=(Y, ("c", element_type, list(expected.shape))),
    )
    got = outputs_of(model)["c"]
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected, strict=True)


# -- What a model says of itself --------------------------------------------------------------------------------------


def test_inputs_and_outputs_are_described() -> None:
    model = make(
        [relu(), helper.make_node("Relu", ["z"], ["open"]), helper.make_node("Relu", ["y"], ["dead"])],
        inputs=(
            ("w", TensorProto.FLOAT, [1]),
            X,
            ("z", TensorProto.FLOAT, [None, 3, "k"]),
            ("s", TensorProto.INT64, []),
        ),
        outputs=(Y, ("open", TensorProto.FLOAT, None)),
        initializers=[numpy_helper.from_array(np.ones(1, np.float32), "w")],
    )
    model.producer_name, model.producer_version = "maker", "1.2"
    entry = model.metadata_props.add()
    entry.key, entry.value = "labels", "ä,b"
    loaded = load(model)
    assert [(spec.name, spec.dtype, spec.shape) for spec in loaded.inputs] == [
        ("x", "float32", ("n", 2)),
        ("z", "float32", (None, 3, "k")),
        ("s", "int64", ()),
    ]
    assert [(spec.name, spec.dtype, spec.shape) for spec in loaded.outputs] == [
        ("y", "float32", ("n", 2)),
        ("open", "float32", None),
    ]
    assert loaded.operators == {"Relu": 2}  # the dead node is gone
    assert loaded.info["opset"] == OPSET
    assert loaded.info["ir_version"] == 8
    assert loaded.info["metadata"] == {"labels": "ä,b"}
    assert "maker" in loaded.info["producer"]


def test_nodes_may_stand_in_any_order() -> None:
    nodes = [relu(f"v{i}" if i else "x", f"v{i + 1}" if i < 9 else "y", "") for i in range(10)]
    model = make(nodes[::-1])
    x = np.array([[-1, 2]], np.float32)
    with sanderling.Session(model.SerializeToString()) as session:
        np.testing.assert_array_equal(session.run(x), np.maximum(x, 0))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.onnx")), ids=lambda path: path.stem)
def test_the_fuzz_corpus_is_what_it_should_be(path: Path) -> None:
    if path.stem == "refused":
        with pytest.raises(sanderling.UnsupportedError):
            sanderling.load(path)
        return
    model = onnx.load(path)
    assert [spec.name for spec in sanderling.load(path).inputs] == [value.name for value in model.graph.input]


# -- Damage -----------------------------------------------------------------------------------------------------------


def rich_model() -> onnx.ModelProto:
    return make(
        [helper.make_node("Concat", ["x", "w", "b"], ["h"], "concat", axis=0), relu("h")],
        initializers=[
            numpy_helper.from_array(np.ones((2, 2), np.float32), "w"),
            helper.make_tensor("b", TensorProto.FLOAT, [1, 2], [0.5, 1.0]),
        ],
    )


def test_every_truncation_is_a_model_error() -> None:
    data = rich_model().SerializeToString()
    sanderling.load(data)
    for kept in range(len(data)):
        try:
            onnx.ModelProto.FromString(data[:kept])
            readable = True
        except DecodeError:
            readable = False
        # The opset comes last, so that no proper prefix is a whole model, even where protobuf can read it.
        with pytest.raises(sanderling.ModelError) as caught:
            sanderling.load(data[:kept])
        if readable:
            assert "no graph" in str(caught.value) or "no opset" in str(caught.value)


def test_damaged_bytes_never_raise_anything_else() -> None:
    rng = np.random.default_rng(7)
    for path in sorted(CORPUS.glob("*.onnx")):
        data = path.read_bytes()
        for _ in range(300):
            mutant = bytearray(data)
            for _ in range(rng.integers(1, 6)):
                mutant[rng.integers(len(mutant))] = rng.integers(256)
            try:
                model = sanderling.load(bytes(mutant))
            except (sanderling.ModelError, sanderling.UnsupportedError):
                continue
            assert model.outputs  # names reach Python as str
            assert model.info["opset"] <= 28


@pytest.mark.parametrize("size", [1, 2, 3, 10, 100, 10_000])
def test_random_bytes_are_a_model_error(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(200):
        with pytest.raises(sanderling.ModelError):
            sanderling.load(rng.bytes(size))


def test_empty_bytes_are_a_model_error() -> None:
    with pytest.raises(sanderling.ModelError, match="no graph"):
        sanderling.load(b"")


def test_a_claimed_length_is_not_believed() -> None:
    graph_of_three_gigabytes = bytes([7 << 3 | 2, 0x80, 0x80, 0x80, 0x80, 0x0C])
    with pytest.raises(sanderling.ModelError, match="states 3221225472 bytes, of which 1 are there"):
        sanderling.load(graph_of_three_gigabytes + b"x")


def test_a_claimed_shape_is_not_believed() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 8], raw_data=b"abcd")
    damaged(make([relu()], initializers=[tensor]), "'w'", "needs 1073741824 bytes", "has 4")
    tensor.dims[0] = 1 << 60
    damaged(make([relu()], initializers=[tensor]), "'w'", "exceeds the limit")


def length_delimited(field: int, payload: bytes) -> bytes:
    length, size = len(payload), b""
    while length >= 0x80:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([field << 3 | 2]) + size + bytes([length]) + payload


def test_deep_nesting_exhausts_no_stack() -> None:
    # Graphs within nodes within graphs: GraphProto.node, NodeProto.attribute, AttributeProto.g.
    graph = b""
    for _ in range(20_000):
        attribute = (
            length_delimited(1, b"then_branch") + bytes([20 << 3 & 0xFF | 0x80, 1, 5]) + length_delimited(6, graph)
        )
        node = length_delimited(4, b"If") + length_delimited(5, attribute)
        graph = length_delimited(1, node)
    opset = length_delimited(8, bytes([2 << 3, OPSET]))
    value = length_delimited(12, length_delimited(1, b"y"))
    with pytest.raises(sanderling.ModelError, match="nest deeper than 100"):
        sanderling.load(length_delimited(7, graph + value) + opset)


def test_element_count_and_bytes_must_agree() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], raw_data=b"12345678")
    damaged(make([relu()], initializers=[tensor]), "initializer 'w'", "float32[3]", "12", "8")
    tensor = TensorProto(name="w", data_type=TensorProto.INT64, dims=[3], int64_data=[1, 2])
    damaged(make([relu()], initializers=[tensor]), "initializer 'w'", "3 elements", "2 in int64_data")


# -- Inconsistent graphs ----------------------------------------------------------------------------------------------


def test_cycle() -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], "one"), relu("a", "b", "two"), relu("b", "y", "three")]
    damaged(make(nodes), "depends on its own output")


def test_a_value_defined_twice() -> None:
    damaged(make([relu(name="first"), relu(name="second")]), "'y'", "twice", "'second'")
    damaged(make([relu(target="x"), relu()]), "'x'", "twice")


def test_an_input_that_nothing_defines() -> None:
    damaged(make([relu("ghost")]), "[Relu] node 'n' reads 'ghost'")


def test_an_output_that_nothing_produces() -> None:
    damaged(make([relu(target="z")]), "output 'y'", "produced by no node")


def test_no_outputs() -> None:
    damaged(make([relu()], outputs=()), "no outputs")


def test_no_graph() -> None:
    model = make([relu()])
    model.ClearField("graph")
    damaged(model, "no graph")


def test_wrong_number_of_inputs() -> None:
    damaged(make([helper.make_node("Relu", ["x", "x"], ["y"], "n")]), "[Relu] node 'n' has 2 inputs", "1 to 1")
    damaged(make([helper.make_node("Relu", [], ["y"], "n")]), "[Relu] node 'n' has 0 inputs")


# -- Beyond the engine ------------------------------------------------------------------------------------------------


def test_all_unknown_operators_are_named_at_once() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["a"], "first"),
        relu("x", "b"),
        helper.make_node("SplitToSequence", ["b"], ["c"], "second"),
        helper.make_node("Multinomial", ["b"], ["d"]),
        helper.make_node("Relu", ["b"], ["y"], "foreign", domain="com.example"),
    ]
    unsupported(
        make(nodes),
        "3 operators",
        f"opset {OPSET}",
        "SplitToSequence (2 nodes, the first is 'first')",
        "Multinomial (1 node, 'd')",
        "Relu of domain 'com.example' (1 node, 'foreign')",
        "backend='onnxruntime' or backend='auto'",
    )


def test_the_engines_own_operators_are_not_for_files() -> None:
    unsupported(make([helper.make_node("QConv", ["x"], ["y"], "n")]), "QConv (1 node, 'n')")


def test_the_default_domain_has_two_names() -> None:
    node = relu()
    node.domain = "ai.onnx"
    assert load(make([node])).operators == {"Relu": 1}


@pytest.mark.parametrize(
    ("element_type", "name"),
    [
        (TensorProto.STRING, "string"),
        (TensorProto.COMPLEX64, "complex64"),
        (28, "float6e3m2"),
    ],
)
def test_element_types_beyond_the_engine(element_type: int, name: str) -> None:
    tensor = TensorProto(name="w", data_type=element_type, dims=[0])
    unsupported(make([relu()], initializers=[tensor]), "initializer 'w'", f"ONNX type {name} ")
    unsupported(make([relu()], inputs=(("x", element_type, [1]),)), "input 'x'", f"ONNX type {name} ")
    constant = helper.make_node("Constant", [], ["c"], "constant", value=tensor)
    unsupported(make([relu(), constant]), "attribute 'value' of node 'constant'", f"ONNX type {name} ")


def test_external_data() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../weights.bin"
    unsupported(make([relu()], initializers=[tensor]), "'w'", "'../weights.bin'", "save_as_external_data=False")


def test_sequence_input() -> None:
    model = make([relu()])
    model.graph.input.append(helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, [1]))
    unsupported(model, "input 'q'", "sequence")


def test_input_of_unknown_rank() -> None:
    unsupported(make([relu()], inputs=(("x", TensorProto.FLOAT, None),)), "input 'x'", "no shape")


@pytest.mark.parametrize(
    ("opset", "words"), [(1, "from opset 7"), (6, "from opset 7"), (29, "1 to 28"), (1000, "1 to 28")]
)
def test_opsets_beyond_the_engine(opset: int, words: str) -> None:
    unsupported(make([relu()], opset=opset), f"opset {opset}", words)


@pytest.mark.parametrize("opset", [14, 21, 28])
def test_opsets_of_the_engine(opset: int) -> None:
    assert load(make([relu()], opset=opset)).info["opset"] == opset


# -- Paths ------------------------------------------------------------------------------------------------------------


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(sanderling.InputError, match=r"missing\.onnx"):
        sanderling.load(tmp_path / "missing.onnx")
    with pytest.raises(sanderling.InputError):
        sanderling.load(tmp_path)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(sanderling.ModelError):
        sanderling.load(tmp_path / "empty.onnx")
    (tmp_path / "model.onnx").write_bytes(make([relu()]).SerializeToString())
    assert sanderling.load(str(tmp_path / "model.onnx")).operators == {"Relu": 1}
