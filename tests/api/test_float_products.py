"""Session(float_products="bfloat16"): what it rounds, how far, where it is refused, and that nothing else changes.

bfloat16 has 8 significant bits, so rounding to nearest moves a factor by at most 2^-8 of itself. A product of two such
factors is off by at most 2 * 2^-8 + 2^-16 of itself, and a sum of products by at most that share of the sum of their
absolute values. To this the float32 sums add what they always may (float_bound of tests/ops/tolerances.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import FLOAT, affine, onnx_bytes, quantized_mlp, relu

import sanderling
from sanderling import InputError, Session, UnsupportedError, _core

UNIT = "avx512_bf16"
PRODUCT = 2 * 2.0**-8 + 2.0**-16
FLOAT32_ROUNDING = 2.0**-24

Array = np.ndarray

needs_unit = pytest.mark.skipif(UNIT not in _core.runnable_isas(), reason=f"this CPU has no {UNIT}")


@pytest.fixture(autouse=True)
def of_no_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fastest instruction set, and a cache of this test's own."""
    monkeypatch.delenv("SANDERLING_ISA", raising=False)
    monkeypatch.setenv("SANDERLING_CACHE", str(tmp_path / "cache"))


def random(*shape: int) -> Array:
    return np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape).astype(np.float32)


def rounded(x: Array) -> Array:
    """Float32 to bfloat16, half to even, in float64."""
    bits = x.view(np.uint32).astype(np.uint64)
    bits += 0x7FFF + (bits >> 16 & 1)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def convolution(size: int, group: int, channels: int = 24, outputs: int = 40) -> tuple[bytes, Array, Array]:
    """A model of one Conv with "same" padding; its weights; its input."""
    weights, x = random(outputs, channels // group, size, size), random(2, channels, 9, 7)
    attributes = {"pads": [size // 2] * 4, "group": group}
    model = onnx_bytes(
        [("Conv", ["x", "w"], "y", attributes)],
        {"x": (FLOAT, ("N", channels, 9, 7))},
        {"y": (FLOAT, ("N", outputs, 9, 7))},
        {"w": weights},
    )
    return model, weights, x


def convolve(x: Array, weights: Array, group: int) -> Array:
    """In float64, tap by tap."""
    outputs, depth, size, _ = weights.shape
    padded = np.pad(x, ((0, 0), (0, 0), *[(size // 2, size // 2)] * 2))
    y = np.zeros((len(x), outputs, *x.shape[2:]))
    for row in range(size):
        for column in range(size):
            window = padded[:, :, row : row + x.shape[2], column : column + x.shape[3]]
            for g in range(group):
                mine = slice(g * outputs // group, (g + 1) * outputs // group)
                taps = weights[mine, :, row, column]
                y[:, mine] += np.einsum("nchw,oc->nohw", window[:, g * depth : (g + 1) * depth], taps)
    return y


def check_bounds(y: Array, x: Array, weights: Array, product: object, depth: int) -> None:
    """`product` multiplies two arrays in float64: y is near it with these factors, and nearer with rounded ones."""
    wide_x, wide_weights = x.astype(np.float64), weights.astype(np.float64)
    magnitude = product(np.abs(wide_x), np.abs(wide_weights))
    of_sums = (depth + 3) * FLOAT32_ROUNDING * magnitude * (1 + PRODUCT)
    exact, nearer = product(wide_x, wide_weights), product(rounded(x), rounded(weights))
    assert (np.abs(y - exact) <= PRODUCT * magnitude + of_sums).all()
    assert (np.abs(y - nearer) <= of_sums).all()
    assert np.abs(y - exact).max() > of_sums.max(), "nothing was rounded"


@needs_unit
@pytest.mark.parametrize(("size", "group"), [(1, 1), (3, 1), (3, 2)])
def test_convolutions_round_both_factors(size: int, group: int):
    model, weights, x = convolution(size, group)
    session = Session(model, float_products="bfloat16")
    assert session.info()["float_products"] == "bfloat16"
    assert session.info()["isa"] == UNIT
    depth = weights[0].size
    check_bounds(session.run(x), x, weights, lambda a, b: convolve(a, b, group), depth)


@needs_unit
@pytest.mark.parametrize("depth", [1, 2, 129, 300])
def test_matrix_products_round_both_factors(depth: int):
    weights, x = random(depth, 70), random(13, depth)
    model = onnx_bytes(
        [("MatMul", ["x", "w"], "y", {})], {"x": (FLOAT, ("N", depth))}, {"y": (FLOAT, ("N", 70))}, {"w": weights}
    )
    check_bounds(Session(model, float_products="bfloat16").run(x), x, weights, np.matmul, depth)


@needs_unit
def test_products_of_two_activations_round_too():
    a, b = random(3, 17, 33), random(3, 33, 21)
    dims = {"a": ("B", "N", 33), "b": ("B", 33, "M")}
    model = onnx_bytes(
        [("MatMul", ["a", "b"], "y", {})],
        {name: (FLOAT, shape) for name, shape in dims.items()},
        {"y": (FLOAT, ("B", "N", "M"))},
    )
    y = Session(model, float_products="bfloat16").run({"a": a, "b": b})["y"]
    check_bounds(y, a, b, np.matmul, 33)


@needs_unit
def test_a_batch_gives_the_bits_of_single_rows_with_any_number_of_threads():
    model, _, _ = convolution(3, 1)
    x = random(5, 24, 9, 7)
    expected = [Session(model, float_products="bfloat16").run(x[i : i + 1])[0] for i in range(len(x))]
    for threads in (1, 2, 3):
        session = Session(model, float_products="bfloat16", threads=threads)
        np.testing.assert_array_equal(session.run(x), expected)


@needs_unit
def test_codes_depthwise_convolutions_and_sums_are_as_ever():
    depthwise, _, x = convolution(3, 24, outputs=24)
    for model, inputs in ((quantized_mlp(), random(9, 37)), (depthwise, x), (relu(), random(4, 6))):
        expected = Session(model).run(inputs)
        np.testing.assert_array_equal(Session(model, float_products="bfloat16").run(inputs), expected)


@needs_unit
def test_what_is_not_asked_for_stays_float32_to_the_bit():
    for model, x in ((affine(), random(9, 6)), convolution(3, 1)[::2], convolution(1, 1)[::2]):
        session = Session(model)
        assert session.info()["float_products"] == "float32"
        expected = _core.Session(model, isa="avx512_vnni").run([x])[0]
        np.testing.assert_array_equal(session.run(x), expected)
        np.testing.assert_array_equal(_core.Session(model, isa=UNIT).run([x])[0], expected)
        np.testing.assert_array_equal(Session(model, float_products="float32").run(x), expected)


@needs_unit
def test_both_kinds_of_session_share_a_model_and_the_cache(tmp_path: Path):
    model, _, x = convolution(3, 1)
    loaded = sanderling.load(model)
    both = ("float32", "bfloat16")
    first = {kind: Session(loaded, float_products=kind) for kind in both}
    expected = {kind: session.run(x) for kind, session in first.items()}
    assert (expected["float32"] != expected["bfloat16"]).any()
    assert len(list((tmp_path / "cache").iterdir())) == 2
    for kind in both:
        session = Session(model, float_products=kind)
        assert (session.info()["plan"], session.info()["float_products"]) == ("cache", kind)
        np.testing.assert_array_equal(session.run(x), expected[kind])


@pytest.mark.parametrize("isa", [isa for isa in _core.runnable_isas() if isa != UNIT])
def test_an_instruction_set_without_them_is_refused(isa: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SANDERLING_ISA", isa)
    assert _core.float_products(isa) == ["float32"]
    Session(affine())
    reason = f"{isa} has no bfloat16 products. Leave float_products at 'float32'"
    for backend in ("native", "auto"):
        with pytest.raises(UnsupportedError, match=reason) as raised:
            Session(affine(), backend=backend, float_products="bfloat16")
        assert (UNIT if UNIT in _core.runnable_isas() else ", ".join(_core.runnable_isas())) in str(raised.value)


def test_only_native_has_them():
    with pytest.raises(UnsupportedError, match="backend 'onnxruntime' keeps no float_products, 'native' does"):
        Session(affine(), backend="onnxruntime", float_products="bfloat16")


@pytest.mark.parametrize("products", ["float16", "", None, 16])
def test_others_are_no_float_products(products: object):
    with pytest.raises(InputError, match="expected 'float32' or 'bfloat16'"):
        Session(affine(), float_products=products)  # type: ignore[arg-type]
