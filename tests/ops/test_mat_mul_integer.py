import numpy as np
import pytest

from code_node_cases import BYTES, centred, codes
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError


def product(a, b, a_zero=0, b_zero=0):
    return (centred(a, a_zero) @ centred(b, b_zero)).astype(np.int32)


@pytest.mark.parametrize("b_type", BYTES)
@pytest.mark.parametrize("a_type", BYTES)
def test_mat_mul_integer(a_type, b_type):
    rng = np.random.default_rng(0)
    shapes = [((5, 7), (7, 3)), ((7,), (7, 3)), ((5, 7), (7,)), ((1, 1), (1, 1)), ((49, 64), (64, 300))]
    for a_shape, b_shape in [*shapes, ((2, 3, 5, 7), (7, 4)), ((2, 1, 5, 7), (3, 7, 4)), ((0, 3), (3, 2))]:
        a, b = codes(rng, a_shape, a_type), codes(rng, b_shape, b_type)
        zeros = {"az": codes(rng, (), a_type), "bz": codes(rng, (), b_type)}
        expected = {"y": product(a, b, *zeros.values())}
        # ONNX Runtime takes no int8 by uint8, and its kernel of uint8 by int8 saturates sums without VNNI.
        theirs = a_type == np.uint8 and b_type == np.uint8
        settings = {"onnxruntime": theirs, "optimized": "always"}
        inputs = {"a": a}
        model = one_node("MatMulInteger", inputs, constants={"b": b, **zeros}, output_dtype=np.int32)
        check(Case(f"constant-{a_shape}", model, inputs, expected, **settings))
        inputs = {"a": a, "b": b}
        model = one_node("MatMulInteger", inputs, constants=zeros, output_dtype=np.int32)
        check(Case(f"computed-{a_shape}", model, inputs, expected, **settings))
        model = one_node("MatMulInteger", {"a": a}, constants={"b": b}, output_dtype=np.int32, opset=10)
        check(Case(f"no-zeros-{a_shape}", model, {"a": a}, {"y": product(a, b)}, **settings))


def test_zero_points_per_row_and_column():
    rng = np.random.default_rng(1)
    a, b = codes(rng, (2, 5, 7)), codes(rng, (2, 7, 4), np.int8)
    for a_zero, b_zero in (((5,), (4,)), ((2, 5, 1), (2, 1, 4)), ((1, 5, 1), (1, 4)), ((1,), (4,))):
        inputs = {"a": a, "b": b, "az": codes(rng, a_zero), "bz": codes(rng, b_zero, np.int8)}
        az = inputs["az"][:, None] if len(a_zero) == 1 else inputs["az"]
        expected = {"y": product(a, b, az, inputs["bz"])}
        model = one_node("MatMulInteger", inputs, output_dtype=np.int32)
        check(Case(f"{a_zero}-{b_zero}", model, inputs, expected, onnxruntime=False))
    constants = {"b": b[0], "az": codes(rng, ()), "bz": codes(rng, (4,), np.int8)}
    expected = {"y": product(a, b[0], constants["az"], constants["bz"])}
    model = one_node("MatMulInteger", {"a": a}, constants=constants, output_dtype=np.int32)
    check(Case("columns", model, {"a": a}, expected, onnxruntime=False))


def test_sums_wrap_around():
    a, b = np.full((1, 40000), 255, np.uint8), np.full((40000, 1), 255, np.uint8)
    expected = {"y": np.array([[40000 * 255 * 255 - 2**32]], np.int64).astype(np.int32)}
    model = one_node("MatMulInteger", {"a": a}, constants={"b": b}, output_dtype=np.int32)
    check(Case("deep", model, {"a": a}, expected, onnxruntime=False))


def test_what_is_refused():
    def refused(message, error=ModelError, **inputs):
        model = one_node("MatMulInteger", inputs, output_dtype=np.int32)
        check_refused(model, inputs, error, message, "MatMulInteger")

    a, b = np.zeros((2, 3), np.uint8), np.zeros((3, 4), np.uint8)
    refused("columns of a must be as many", a=a, b=b.T)
    refused("input 0 is int32", UnsupportedError, a=a.astype(np.int32), b=b)
    refused("input 2 is int8, input 0 is uint8", a=a, b=b, az=np.int8(0))
    refused(r"input 2 has shape \[3\], expected one value or one per row", a=a, b=b, az=np.zeros(3, np.uint8))
    refused(r"input 3 has shape \[2, 4\]", a=a, b=b, az=np.zeros((), np.uint8), bz=np.zeros((2, 4), np.uint8))
