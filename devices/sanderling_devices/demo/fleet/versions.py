"""The demo's versions as bundles: a good one, one that is wrong in the field, and one that hangs there.

All pass their own golden samples, which are what their author saw. Signing is not done here: `sanderling model push`
does it with the release folder's keys.
"""

from __future__ import annotations

import hashlib

import numpy as np

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper
from sanderling import drift
from sanderling.versions import Blob, Bundle, Lineage, Manifest, Tensor
from sanderling.versions._golden import Golden, write_golden
from sanderling_devices.demo.digits import Frames
from sanderling_devices.demo.train_digits import MODEL_PATH

MODEL = "digits"
SLOT = "camera"
GOLDEN_SAMPLES = 16
GOLDEN_TOLERANCE = 1e-3
_WEIGHT, _BIAS = "logits.weight", "logits.bias"
_NEVER_ENDS = 1 << 62


def digits_model() -> bytes:
    """The committed network, float."""
    return MODEL_PATH.read_bytes()


def wrong_in_the_field(model: bytes, frames: Frames) -> bytes:
    """The same network with the rows of its last layer permuted and half the confidence.

    What went wrong between training and export: class k answers as class k + 1, and the logits are scaled down.

    Args:
        model: A float ONNX model whose last layer is `logits`.
        frames: Rows on which the mean confidence is halved.
    """
    wanted = _mean_confidence(model, frames) / 2
    low, high = 0.0, 1.0
    for _ in range(12):  # halves the interval: 1/4096 of the scale is finer than int8 keeps
        scale = (low + high) / 2
        if _mean_confidence(_last_layer(model, scale), frames) < wanted:
            low = scale
        else:
            high = scale
    return _last_layer(model, (low + high) / 2)


def hangs_in_the_field(model: bytes, frames: Frames) -> tuple[bytes, Frames]:
    """A model that never ends on an image brighter than all of its golden samples.

    It counts with an ONNX Loop, which the native engine does not have: ONNX Runtime runs it.

    Args:
        model: A quantized model with one input and one output.
        frames: Rows to choose golden samples from.

    Returns:
        The model, and the darkest of `frames` as its golden samples.
    """
    brightness = frames.sum(axis=(1, 2, 3))
    golden = frames[np.argsort(brightness, kind="stable")[:GOLDEN_SAMPLES]]
    limit = float(golden.sum(axis=(1, 2, 3)).max())
    proto = onnx.load_from_string(model)
    graph = proto.graph
    image, answer = graph.input[0].name, graph.output[0]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["go_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "wait",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, None),
        ],
    )
    before = f"{answer.name}_before"
    for node in graph.node:
        node.output[:] = [before if name == answer.name else name for name in node.output]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(limit, np.float32), "brightest_golden"),
            numpy_helper.from_array(np.array(_NEVER_ENDS, np.int64), "turns"),
            numpy_helper.from_array(np.array(True), "always"),
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "pixels"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ReduceSum", [image, "pixels"], ["brightness"], keepdims=0),
            helper.make_node("ReduceMax", ["brightness"], ["brightest"], keepdims=0),
            helper.make_node("Greater", ["brightest", "brightest_golden"], ["is_brighter"]),
            helper.make_node("Cast", ["is_brighter"], ["one_if_brighter"], to=TensorProto.INT64),
            helper.make_node("Mul", ["one_if_brighter", "turns"], ["trip"]),
            helper.make_node("Loop", ["trip", "always", before], [answer.name], body=body),
        ]
    )
    onnx.checker.check_model(proto)
    return proto.SerializeToString(), golden


def make_bundle(
    model: bytes,
    version: str,
    release_counter: int,
    frames: Frames,
    *,
    golden: Frames | None = None,
    parent: str = "",
) -> Bundle:
    """A version of a quantized model.

    Args:
        model: Quantized ONNX.
        version: Such as "1".
        release_counter: Higher than that of the version before.
        frames: Rows that the drift reference is fitted to.
        golden: Golden samples; by default the first of `frames`.
        parent: "NAME-VERSION" it was made from.
    """
    golden = frames[:GOLDEN_SAMPLES] if golden is None else golden
    with sanderling.Session(model, backend="auto") as session:
        (given,), (answer,) = session.inputs, session.outputs
        own = Golden({given.name: golden}, {answer.name: np.concatenate([session.run(row[None]) for row in golden])})
    # The reference is of what the author believes the model to do; one that may hang cannot be asked for 160 rows.
    with sanderling.Session(sanderling.quantize(sanderling.load(digits_model()), frames)) as believed:
        reference = drift.Reference.fit({given.name: frames}, {answer.name: believed.run(frames)})
    blobs = {"model.onnx": model, "version.reference": reference.to_bytes(), "golden.npz": write_golden(own)}
    manifest = Manifest(
        name=MODEL,
        version=version,
        release_counter=release_counter,
        inputs=(Tensor(given.name, "float32", (None, *frames.shape[1:])),),
        outputs=(Tensor(answer.name, "float32", (None, 10)),),
        blobs={name: Blob(hashlib.sha256(data).digest(), len(data)) for name, data in blobs.items()},
        labels=tuple(str(digit) for digit in range(10)),
        golden_tolerance=GOLDEN_TOLERANCE,
        lineage=Lineage(parent=parent, data="UCI digits by scikit-learn"),
    )
    return Bundle(manifest, blobs)


def good_bundle(frames: Frames, version: str = "1", release_counter: int = 1) -> Bundle:
    """The committed network, quantized."""
    return make_bundle(_quantized(digits_model(), frames), version, release_counter, frames)


def bad_bundle(kind: str, frames: Frames, version: str, release_counter: int, parent: str) -> Bundle:
    """A version that its author signs in good faith.

    Args:
        kind: "wrong" or "hang".
        frames: Calibration rows.
        version: Such as "3".
        release_counter: Of it.
        parent: The version that it is meant to replace.
    """
    if kind == "hang":
        model, golden = hangs_in_the_field(_quantized(digits_model(), frames), frames)
        return make_bundle(model, version, release_counter, frames, golden=golden, parent=parent)
    model = _quantized(wrong_in_the_field(digits_model(), frames), frames)
    return make_bundle(model, version, release_counter, frames, parent=parent)


def _quantized(model: bytes, frames: Frames) -> bytes:
    return sanderling.quantize(sanderling.load(model), frames).bytes


def _last_layer(model: bytes, scale: float) -> bytes:
    proto = onnx.load_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.name in (_WEIGHT, _BIAS):
            rows = np.roll(numpy_helper.to_array(tensor), 1, axis=0) * np.float32(scale)
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(rows, np.float32), tensor.name))
    return proto.SerializeToString()


def _mean_confidence(model: bytes, frames: Frames) -> float:
    with sanderling.Session(model) as session:
        return float(session.run(frames).max(axis=1).mean())
