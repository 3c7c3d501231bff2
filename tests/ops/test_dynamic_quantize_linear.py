import numpy as np

from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from samples import SHAPES, values
from sanderling.errors import UnsupportedError


def dynamically(x):
    """The formula in float32; zeros alone have scale 1, as in ONNX Runtime."""
    low, high = np.float32(min(0, x.min(initial=0))), np.float32(max(0, x.max(initial=0)))
    scale = np.float32(1) if low == high else (high - low) / np.float32(255)
    zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    codes = np.clip(np.rint(x / scale) + np.float64(zero), 0, 255).astype(np.uint8)
    return {"y": codes, "scale": np.float64(scale).reshape(()), "zero": np.asarray(zero)}


def model(x, outputs=("y", "scale", "zero"), batch=False):
    made = helper.make_node("DynamicQuantizeLinear", ["x"], list(outputs), name="node")
    dtypes = {"y": np.uint8, "scale": np.float32, "zero": np.uint8}
    shape = ("n", *x.shape[1:]) if batch else x.shape
    return model_of([made], {"x": (x.dtype, shape)}, {o: dtypes[o] for o in outputs if o}, opset=11)


def test_dynamic_quantize_linear():
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        for shift in (0, 5, -5):
            x = np.asarray(values(rng, shape) + np.float32(shift))
            check(Case(f"{shape}{shift}", model(x), {"x": x}, dynamically(x), exact=True))
    for x in (np.zeros((3, 4), np.float32), np.zeros((0, 4), np.float32), np.full((2,), 1e-30, np.float32)):
        check(Case("zeros", model(x), {"x": x}, dynamically(x), exact=True, onnxruntime=False))
    for batch in (1, 3):
        x = values(rng, (batch, 7))
        check(Case(f"batch{batch}", model(x, batch=True), {"x": x}, dynamically(x), exact=True))


def test_outputs_that_nobody_wants():
    x = values(np.random.default_rng(0), (3, 5))
    for outputs in (("y",), ("", "scale"), ("", "", "zero"), ("y", "", "zero")):
        expected = {name: value for name, value in dynamically(x).items() if name in outputs}
        check(Case("-".join(outputs), model(x, outputs), {"x": x}, expected, exact=True, onnxruntime=False))


def test_other_types_are_refused():
    x = np.zeros(3, np.float64)
    bad = one_node("DynamicQuantizeLinear", {"x": x}, output_dtype=np.uint8)
    check_refused(bad, {"x": x}, UnsupportedError, "input 0 is float64", "DynamicQuantizeLinear")
