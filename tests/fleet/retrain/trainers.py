"""Entry points that the tests name. They run in the trainer's process, under its limits."""

import os
import time
from pathlib import Path

import numpy as np

from sanderling.errors import InputError


def linear_onnx(weight, bias):
    """A model x float32 [N, features] -> y float32 [N, classes]."""
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], "last", transB=1)],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weight.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weight.shape[0]])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def world(seed, rows, *, changed=False):
    """Rows x float32 [rows, 4] and classes: at (-2, -2) and (2, 2), moved by (4, 0) when the world has changed.

    The first feature alone tells the classes apart until then, the sum of the first two always does.
    """
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 2, rows)
    x = generator.normal(scale=0.3, size=(rows, 4))
    x[:, :2] += 2.0 * np.where(classes, 1, -1)[:, None]
    x[:, 0] += 4.0 * changed
    return x.astype(np.float32), classes


def champion_onnx():
    """Looks at the first feature."""
    return linear_onnx([[-1, 0, 0, 0], [1, 0, 0, 0]], [0, 0])


def nearest_mean(context):
    """Classes by their nearest mean, which is linear; from the original rows and the samples."""
    context.report(0.5, f"learning from {len(context.samples.labels)} labels")
    known, classes = world(100, 200)
    rows = np.concatenate([known, context.samples.inputs["x"]])
    labels = np.concatenate([classes, context.samples.labels])
    means = np.stack([rows[labels == c].mean(axis=0) for c in range(len(context.class_names))])
    path = context.workdir / "float.onnx"
    path.write_bytes(linear_onnx(2 * means, -(means**2).sum(axis=1)))
    return path


def worse(context):
    """Always says the same class."""
    path = context.workdir / "float.onnx"
    features = context.samples.inputs["x"].shape[1]
    path.write_bytes(linear_onnx(np.eye(len(context.class_names), features) * 1e-3, [9.0, 0.0]))
    return path


def tells_all(context):
    """Prints what it can get at, then what it is given."""
    print("environment", sorted(os.environ))
    print("writable inputs", any(array.flags.writeable for array in context.samples.inputs.values()))
    secret = Path(os.environ["HOME"]).parents[2] / "secret.key"
    for what, attempt in (
        ("secret", secret.read_text),
        ("outside", (secret.parent / "made").touch),
        ("given", (context.champion_path.parent / "made").touch),
    ):
        try:
            attempt()
            print(what, "was possible")
        except OSError as error:
            print(what, type(error).__name__)
    return nearest_mean(context)


def fails(context):
    """Raises."""
    raise InputError("[train] the samples are too dark")


def takes_memory(context):
    """More than it may have."""
    return np.ones(1 << 33, np.uint8)


def hangs(context):
    """Says where it is, starts a child that would outlive it, and never ends."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    (context.workdir / "child").write_text(str(child))
    context.report(0.25, "hanging")
    time.sleep(600)


def returns_nothing(context):
    """No path."""


def reports_nonsense(context):
    """Writes to the progress pipe what is no progress, and more than anyone wants to know."""
    pipe = context._progress
    for line in (b"null", b"[1]", b"{}", b'"x"', b"[" * 4000, b"9" * 4000, b"1e999", b"NaN", b"\xff"):
        os.write(pipe, line + b"\n")
    for _ in range(1000):
        os.write(pipe, b"0.25\n" * 100)
    return nearest_mean(context)


def signals_the_server(context):
    """Tries whether it could kill the process that started it."""
    try:
        os.kill(os.getppid(), 0)
        print("signal was possible")
    except OSError as error:
        print("signal", type(error).__name__)
    return nearest_mean(context)
