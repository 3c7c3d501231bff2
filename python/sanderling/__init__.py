"""Quantizes ONNX models, runs them fast on CPU, and watches the data they see.

    model = sanderling.load("model.onnx")
    qmodel = sanderling.quantize(model, calibration_rows)
    with sanderling.Session(qmodel, watch=reference) as session:
        scores = session.run(x)
        seen = session.sketches()

Names load on first use, so that `import sanderling` pulls nothing but NumPy and the core.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanderling import drift as drift
    from sanderling._attach import attach as attach
    from sanderling._batcher import Batcher as Batcher
    from sanderling._model import Model as Model
    from sanderling._model import TensorSpec as TensorSpec
    from sanderling._model import load as load
    from sanderling._session import Session as Session
    from sanderling.errors import CancelledError as CancelledError
    from sanderling.errors import DeadlineError as DeadlineError
    from sanderling.errors import InputError as InputError
    from sanderling.errors import InternalError as InternalError
    from sanderling.errors import ModelError as ModelError
    from sanderling.errors import SanderlingError as SanderlingError
    from sanderling.errors import UnsupportedError as UnsupportedError
    from sanderling.quantization import QuantizedModel as QuantizedModel
    from sanderling.quantization import quantize as quantize

__version__ = "0.1.0"

_HOMES = {
    "Batcher": "sanderling._batcher",
    "CancelledError": "sanderling.errors",
    "DeadlineError": "sanderling.errors",
    "InputError": "sanderling.errors",
    "InternalError": "sanderling.errors",
    "Model": "sanderling._model",
    "ModelError": "sanderling.errors",
    "QuantizedModel": "sanderling.quantization",
    "SanderlingError": "sanderling.errors",
    "Session": "sanderling._session",
    "TensorSpec": "sanderling._model",
    "UnsupportedError": "sanderling.errors",
    "attach": "sanderling._attach",
    "load": "sanderling._model",
    "quantize": "sanderling.quantization",
}

__all__ = [
    "Batcher",
    "CancelledError",
    "DeadlineError",
    "InputError",
    "InternalError",
    "Model",
    "ModelError",
    "QuantizedModel",
    "SanderlingError",
    "Session",
    "TensorSpec",
    "UnsupportedError",
    "attach",
    "drift",
    "load",
    "quantize",
]


def __getattr__(name: str) -> Any:
    if name == "drift":
        return importlib.import_module("sanderling.drift")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sanderling' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
