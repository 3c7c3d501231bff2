import numpy as np
import pytest

from code_node_cases import node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def packed(codes, bits):
    """[rows, count] codes as bytes, from the low bits up."""
    per_byte = 8 // bits
    padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % per_byte)))
    parts = padded.reshape(len(codes), -1, per_byte).astype(np.uint8)
    return sum(parts[..., i] << (i * bits) for i in range(per_byte)).astype(np.uint8)


def weights(rng, columns, depth, block, bits, zeros):
    """(inputs of the node, real weights [columns, depth])."""
    blocks = -(-depth // block)
    codes = rng.integers(0, 1 << bits, (columns, blocks, block))
    scales = np.asarray(np.exp2(rng.uniform(-5, -2, (columns, blocks))), np.float32)
    constants = {"b": packed(codes.reshape(-1, block), bits).reshape(columns, blocks, -1), "scales": scales}
    zero = np.full((columns, blocks), 1 << (bits - 1), np.float64)
    if zeros == "codes":
        zero = rng.integers(0, 1 << bits, (columns, blocks))
        constants["zeros"] = packed(zero, bits)
    if zeros == "float":
        zero = constants["zeros"] = values(rng, (columns, blocks)) + np.float32(3)
    real = (codes - zero[..., None]).astype(np.float32) * scales[..., None]
    return constants, real.reshape(columns, -1)[:, :depth]


@pytest.mark.parametrize("zeros", ["none", "codes", "float"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_mat_mul_nbits(bits, zeros):
    rng = np.random.default_rng(0)
    for shape, columns, block, biased in [((1, 32), 5, 16, False), ((2, 3, 100), 67, 32, True), ((0, 64), 3, 64, True)]:
        depth = shape[-1]
        a = values(rng, shape)
        constants, real = weights(rng, columns, depth, block, bits, zeros)
        order = ["a", "b", "scales", "zeros" if "zeros" in constants else "", ""]
        expected = a.astype(np.float64) @ real.T.astype(np.float64)
        if biased:
            constants["bias"] = values(rng, (columns,))
            expected = expected + constants["bias"]
            order.append("bias")
        attributes = {"K": depth, "N": columns, "bits": bits, "block_size": block}
        theirs = bits == 4 and zeros != "float" and a.size > 0  # ONNX Runtime lacks the others on CPUs
        for given in ({"a": a}, {"a": a, **constants}):
            rest = {name: value for name, value in constants.items() if name not in given}
            model = node("MatMulNBits", given, rest, order=order, **attributes)
            settings = {"length": None, "magnitude": None, "onnxruntime": theirs}
            check(Case(f"{shape}-{len(rest)}", model, given, {"y": expected}, **settings))


def test_groups():
    rng = np.random.default_rng(1)
    constants, _ = weights(rng, 5, 32, 16, 4, "none")
    groups = rng.permutation(np.repeat(np.arange(2), 16)).astype(np.int32)
    a = values(rng, (3, 32))
    low, high = constants["b"].reshape(5, -1) & 15, constants["b"].reshape(5, -1) >> 4
    codes = np.stack([low, high], -1).reshape(5, 32).astype(np.float64)
    expected = a.astype(np.float64) @ ((codes - 8) * constants["scales"][:, groups]).T
    inputs = {"a": a, "groups": groups}
    attributes = {"K": 32, "N": 5, "bits": 4, "block_size": 16, "order": ["a", "b", "scales", "", "groups"]}
    model = node("MatMulNBits", inputs, constants, **attributes)
    check(Case("groups", model, inputs, {"y": expected}, length=None, onnxruntime=False))
    inputs["groups"] = groups + 1
    check_refused(model, inputs, ModelError, "g_idx holds 2, expected 0 to 1", "com.microsoft.MatMulNBits")


def test_weights_that_are_left_out():
    a = np.ones((2, 32), np.float32)
    constants = {
        "b": np.zeros((0, 2, 8), np.uint8),
        "scales": np.zeros(0, np.float32),
        "bias": np.arange(3.0).astype(np.float32),
    }
    order = ["a", "b", "scales", "", "", "bias"]
    model = node("MatMulNBits", {"a": a}, constants, order=order, K=32, N=3, block_size=16)
    check(Case("empty", model, {"a": a}, {"y": np.tile(np.arange(3.0), (2, 1))}, onnxruntime=False))


def test_what_is_refused():
    rng = np.random.default_rng(2)
    constants, _ = weights(rng, 5, 32, 16, 4, "none")
    inputs = {"a": np.zeros((2, 32), np.float32), **constants}

    def refused(message, error=ModelError, **attributes):
        model = node("MatMulNBits", inputs, more={"K": 32, "N": 5, "block_size": 16} | attributes)
        check_refused(model, inputs, error, message, "com.microsoft.MatMulNBits")

    refused("expected 33 .K. columns", K=33)
    refused("the weight .* expected 48 elements", N=3)
    refused("expected a power of two", block_size=24)
    refused("expected 1 to", N=2**40)
    refused("bits is 3", UnsupportedError, bits=3)
    refused("weight_prepacked 0", UnsupportedError, weight_prepacked=1)
