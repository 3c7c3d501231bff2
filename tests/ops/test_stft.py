from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def spectra(x: Array, step: int, window: Array, onesided: bool) -> Array:
    wide = x.astype(np.float64)
    wide = wide[..., None] if x.ndim == 2 else wide
    signal = wide[..., 0] + (1j * wide[..., 1] if wide.shape[-1] == 2 else 0)
    starts = range(0, x.shape[1] - len(window) + 1, step)
    frames = np.stack([signal[:, s : s + len(window)] * window for s in starts], 1)
    made = np.fft.fft(frames)
    if onesided:
        made = made[..., : len(window) // 2 + 1]
    return np.stack([made.real, made.imag], -1)


def case(
    shape: tuple[int, ...],
    step: int,
    *,
    window: int | None = None,
    length: int | None = None,
    onesided: bool | None = None,
    dtype: Any = np.float32,
    onnxruntime: bool = True,
) -> Case:
    rng = np.random.default_rng(shape[1])
    x = values(rng, shape, dtype)
    taper = np.ones(length or shape[1]) if window is None else rng.uniform(0, 1, window).astype(dtype)
    constants: dict[str, Array] = {"step": np.asarray(step, np.int64)}
    if window is not None:
        constants["window"] = taper
    if length is not None:
        constants["length"] = np.asarray(length, np.int64)
    order = ["x", *(n if n in constants else "" for n in ("step", "window", "length"))]
    flags = {} if onesided is None else {"onesided": int(onesided)}
    model = one_node("STFT", {"x": x}, constants=constants, order=order, output_dtype=dtype, more=flags)
    y = spectra(x, step, taper.astype(np.float64), onesided is not False)
    name = f"{'x'.join(map(str, shape))}-{step}-{window}-{length}-{onesided}-{np.dtype(dtype).name}"
    return Case(name, model, {"x": x}, {"y": y}, length=None, onnxruntime=onnxruntime)


def cases() -> Iterator[Case]:
    yield case((2, 128, 1), 8, length=16, onesided=True)
    yield case((2, 128, 1), 8, window=16)
    yield case((2, 128, 1), 8, window=16, length=16)
    yield case((2, 128, 1), 5, window=24, onesided=False)
    yield case((3, 100, 1), 7, length=25)
    yield case((3, 100, 2), 7, length=25, onesided=False)
    yield case((1, 1000, 1), 160, window=400)
    yield case((2, 128), 8, window=16)  # as torch exports torch.stft
    yield case((2, 16, 1), 8, onnxruntime=False)  # one frame of the whole signal
    yield case((2, 50, 1), 100, length=50)
    yield case((2, 64, 1), 8, window=16, dtype=np.float64)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_stft(case: Case) -> None:
    check(case)


def refused(message: str, shape: tuple[int, ...], error: type[Exception] = ModelError, **settings: Any) -> None:
    x = {"x": np.zeros(shape, settings.pop("dtype", np.float32))}
    constants = {"step": np.asarray(settings.pop("step", 4), np.int64)}
    if "window" in settings:
        constants["window"] = np.ones(settings.pop("window"), x["x"].dtype)
    if "length" in settings:
        constants["length"] = np.asarray(settings.pop("length"), np.int64)
    order = ["x", *(n if n in constants else "" for n in ("step", "window", "length"))]
    model = one_node("STFT", x, constants=constants, order=order, output_dtype=x["x"].dtype, **settings)
    check_refused(model, x, error, message, "STFT")


def test_what_is_refused() -> None:
    refused("expected .batch, signal", (128,), length=16)
    refused("expected .batch, signal", (2, 128, 3), length=16)
    refused("frame_step is 0", (2, 128, 1), step=0, length=16)
    refused("a frame of 129 elements", (2, 128, 1), length=129)
    refused("frame_length is 8, the window has 16", (2, 128, 1), length=8, window=(16,))
    refused("expected one axis", (2, 128, 1), window=(16, 1))
    refused("a frame of 0", (2, 128, 1), window=(0,))
    refused("onesided is 1, which needs a real signal", (2, 128, 2), length=16)
    refused("input 0 is int32", (2, 128, 1), UnsupportedError, dtype=np.int32, length=16)
