"""Builds a version from a model and rows. Not imported by the package, which needs no NumPy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import drift
from sanderling._model import Model, TensorSpec
from sanderling._session import Session
from sanderling.errors import InputError
from sanderling.versions._bundle import Bundle
from sanderling.versions._golden import Golden, write_golden
from sanderling.versions._manifest import (
    GOLDEN,
    MODEL,
    REFERENCE,
    REPORT,
    Blob,
    Compatibility,
    Lineage,
    Manifest,
    Tensor,
)

GOLDEN_SAMPLES = 8
GOLDEN_TOLERANCE = 1e-3
"""Outputs of layers that compute in float (softmax) may differ so much between instruction sets."""


@dataclass(frozen=True)
class Recipe:
    """What a version is called and where it may go.

    Attributes:
        name: Of the model.
        version: Text that starts with a digit and has no dash.
        release_counter: Higher than that of the version it follows.
        labels: Of the classes of the first output.
        compatibility: Where it runs.
        preprocessing: What was done to rows before they are inputs.
        golden_samples: Of the rows, how many become golden samples; spread over them.
        golden_tolerance: Largest absolute difference from a golden output.
        lineage: Where it comes from.
        report: The quantization report, if there is one.
    """

    name: str
    version: str
    release_counter: int
    labels: Sequence[str] = ()
    compatibility: Compatibility = field(default_factory=Compatibility)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    golden_samples: int = GOLDEN_SAMPLES
    golden_tolerance: float = GOLDEN_TOLERANCE
    lineage: Lineage = field(default_factory=Lineage)
    report: Mapping[str, Any] | None = None


def build_version(model: Model, rows: Mapping[str, npt.NDArray[Any]], recipe: Recipe) -> Bundle:
    """Makes a version: the model, its drift reference, golden samples with this engine's answers, the report.

    Args:
        model: As it is to run on devices, usually quantized.
        rows: Representative rows per input name, in time order; those that the version is to call normal.
        recipe: See `Recipe`.

    Raises:
        InputError: The rows do not fit the model, or are fewer than the golden samples.
        IntegrityError: The recipe is refused (`Manifest`).
        ModelError: The model is damaged.
        UnsupportedError: The native engine cannot run it.
    """
    counts = {len(array) for array in rows.values()}
    if set(rows) != {spec.name for spec in model.inputs} or len(counts) != 1 or min(counts) < recipe.golden_samples:
        raise InputError(
            f"[build] rows of { ({name: len(array) for name, array in rows.items()}) }; the model's inputs are "
            f"{[spec.name for spec in model.inputs]}, and at least {recipe.golden_samples} rows of each are wanted"
        )
    with Session(model) as session:
        outputs: Mapping[str, npt.NDArray[Any]] = session.run(dict(rows))
        chosen = np.linspace(0, min(counts) - 1, recipe.golden_samples).astype(np.int64)
        golden = Golden(
            {name: array[chosen] for name, array in rows.items()},
            {spec.name: _one_by_one(session, rows, chosen, spec.name) for spec in model.outputs},
        )
    named = {spec.name: outputs[spec.name] for spec in model.outputs}
    blobs = {
        MODEL: model.bytes,
        REFERENCE: drift.Reference.fit(dict(rows), named).to_bytes(),
        GOLDEN: write_golden(golden),
    }
    if recipe.report is not None:
        blobs[REPORT] = json.dumps(recipe.report, sort_keys=True).encode()
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        release_counter=recipe.release_counter,
        inputs=tuple(_tensor(spec, rows[spec.name]) for spec in model.inputs),
        outputs=tuple(_tensor(spec, named[spec.name]) for spec in model.outputs),
        blobs={name: Blob(hashlib.sha256(data).digest(), len(data)) for name, data in blobs.items()},
        labels=tuple(recipe.labels),
        compatibility=recipe.compatibility,
        preprocessing=recipe.preprocessing,
        golden_tolerance=recipe.golden_tolerance,
        lineage=recipe.lineage,
    )
    return Bundle(manifest, blobs)


def _one_by_one(
    session: Session, rows: Mapping[str, npt.NDArray[Any]], chosen: npt.NDArray[np.int64], name: str
) -> npt.NDArray[Any]:
    answers = [session.run({key: array[i : i + 1] for key, array in rows.items()})[name] for i in chosen]
    return np.concatenate(answers)


def _tensor(spec: TensorSpec, seen: npt.NDArray[Any]) -> Tensor:
    """What the file leaves open is as it was seen, with any batch size."""
    shape = (None, *seen.shape[1:]) if spec.shape is None else spec.shape
    return Tensor(
        spec.name,
        spec.dtype or seen.dtype.name,
        tuple(extent if isinstance(extent, int) else None for extent in shape),
    )
