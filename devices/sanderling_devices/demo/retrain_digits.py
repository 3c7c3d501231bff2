"""The demo's entry point for retraining: refits the last layer of the digits network with scikit-learn.

The convolutions stay as they are. The last layer becomes a logistic regression on their 192 features, fitted to the
rows that trained the network and to the labelled samples together, all of equal weight: what is drifted is to be
learned, what was known is to be kept, and one label in twenty that is wrong has little pull on so many rows. The
samples' weights, which would undo the devices' preference for drifted rows, are not used for that reason.

A fleet names it in its configuration: `entry_point = "sanderling_devices.demo.retrain_digits:train"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

import sanderling
from sanderling.errors import ModelError
from sanderling_devices.demo import digits
from sanderling_devices.demo.train_digits import MODEL_PATH

if TYPE_CHECKING:
    import onnx

FEATURES = "features"
LAST_LAYER = "logits"
REGULARIZATION = 0.1
"""scikit-learn's C, the inverse of the strength: 0.01 learned turned images less, 1 trusted wrong labels more."""
_MOST_ITERATIONS = 1000


class LabelledSamples(Protocol):
    """What devices saw and someone labelled: `inputs` by name, `labels` as class numbers."""

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """Rows by input name."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """One class number per row."""


class Context(Protocol):
    """What this entry point uses of a training context."""

    @property
    def samples(self) -> LabelledSamples:
        """The labelled samples."""

    @property
    def workdir(self) -> Path:
        """Where to write."""

    def report(self, progress: float, text: str = "") -> None:
        """Tells how far it is, 0 to 1."""


def train(context: Context) -> Path:
    """Refits the last layer.

    Returns:
        The path of a float ONNX file in the context's work folder.
    """
    import onnx

    base = onnx.load(MODEL_PATH)
    known = digits.training_rows()
    context.report(0.1, f"{len(known)} rows that trained the network, {len(context.samples.labels)} samples")
    frames = np.concatenate([known.frames, context.samples.inputs["image"].astype(np.float32)])
    labels = np.concatenate([known.labels, context.samples.labels])
    with sanderling.Session(_until_features(base)) as session:
        features = session.run(frames)
    context.report(0.4, "fitting the last layer")
    weight, bias = fit(features, labels)
    context.report(0.9, "writing the model")
    path = context.workdir / "refitted.onnx"
    onnx.save(_with_last_layer(base, weight, bias), path)
    return path


def fit(features: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fits a logistic regression on standardized features.

    Returns:
        Weight [classes, features] and bias [classes] for the features as they are.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0.0] = 1.0
    model = LogisticRegression(C=REGULARIZATION, max_iter=_MOST_ITERATIONS)
    model.fit((features - mean) / scale, labels)
    weight = model.coef_ / scale
    bias = model.intercept_ - weight @ mean
    return weight.astype(np.float32), bias.astype(np.float32)


def _until_features(base: onnx.ModelProto) -> bytes:
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(base)
    last = next(i for i, node in enumerate(model.graph.node) if FEATURES in node.output)
    del model.graph.node[last + 1 :]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None))
    data: bytes = model.SerializeToString()
    return data


def _with_last_layer(base: onnx.ModelProto, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> onnx.ModelProto:
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(base)
    fitted = {f"{LAST_LAYER}.weight": weight, f"{LAST_LAYER}.bias": bias}
    for tensor in model.graph.initializer:
        if tensor.name in fitted:
            if list(tensor.dims) != list(fitted[tensor.name].shape):
                raise ModelError(
                    f"[retrain] {tensor.name} has shape {list(tensor.dims)}, fitted was "
                    f"{list(fitted[tensor.name].shape)}. Are there samples of every digit?"
                )
            tensor.CopyFrom(onnx.numpy_helper.from_array(fitted[tensor.name], tensor.name))
    return model
