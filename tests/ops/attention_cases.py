"""Attention in float64, for the tests of ONNX's and ONNX Runtime's operators."""

from __future__ import annotations

import numpy as np

from onnx_models import Array


def heads_of(x: Array, heads: int) -> Array:
    """[batch, rows, heads * size] as [batch, heads, rows, size], in float64."""
    return np.asarray(x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3), np.float64)


def rows_of(x: Array) -> Array:
    """The other way round."""
    return np.asarray(x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1))


def attended(
    q: Array, k: Array, v: Array, bias: Array | float = 0.0, scale: float | None = None, softcap: float = 0.0
) -> tuple[Array, list[Array]]:
    """The result of [batch, heads, rows, size], and ONNX's four stages of scores; k and v may have fewer heads."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    factor = 1 / np.sqrt(q.shape[-1]) if scale is None else np.float64(np.float32(scale))
    raw = factor * (q @ k.swapaxes(2, 3))
    capped = softcap * np.tanh(raw / softcap) if softcap else raw
    biased = capped + bias
    largest = biased.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(biased - np.where(np.isneginf(largest), 0.0, largest))
    sums = powers.sum(-1, keepdims=True)
    share = powers / np.where(sums == 0, 1.0, sums)
    return share @ v, [raw, capped, biased, share]


def window(queries: int, keys: int, offset: int = 0, left: int = -1, right: int = -1) -> Array:
    """0 for the keys that a query sees, -inf elsewhere: [queries, keys]."""
    place, key = offset + np.arange(queries)[:, None], np.arange(keys)[None, :]
    seen = np.ones((queries, keys), np.bool_)
    if left >= 0:
        seen &= key >= place - left
    if right >= 0:
        seen &= key <= place + right
    return np.where(seen, 0.0, -np.inf)


def filtered(mask: Array | None, batch: int, rows: int, total: int, value: float) -> Array:
    """What ONNX Runtime's int32 masks add to the scores: [batch, 1, rows, total].

    Args:
        mask: The end of each sequence, then perhaps the start of each, or what to keep, [batch, total] or
            [batch, rows, total]; one number for all keys changes nothing.
        batch: Sequences.
        rows: Queries of each.
        total: Keys of each.
        value: What is added where a key is not to be seen.
    """
    sums, place = np.zeros((batch, 1, rows, total)), np.arange(total)
    for b in range(batch):
        if mask is not None and mask.ndim == 1:
            start = mask[batch + b] if mask.size == 2 * batch else 0
            sums[b, 0, :, (place >= mask[b]) | (place < start)] = value
        elif mask is not None and mask.shape[-1] == total:
            sums[b, 0] = np.where(mask[b] > 0, 0.0, value)
    return sums


def rotated(x: Array, cosines: Array, sines: Array, interleaved: bool) -> Array:
    """Rotary embedding of [batch, heads, rows, size] by angles of [batch, rows, pairs], in float64."""
    y = x.astype(np.float64)
    pairs = cosines.shape[-1]
    one, two = (
        (slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)) if interleaved else (slice(pairs), slice(pairs, 2 * pairs))
    )
    c, s = cosines[:, None].astype(np.float64), sines[:, None].astype(np.float64)
    y[..., one], y[..., two] = c * x[..., one] - s * x[..., two], s * x[..., one] + c * x[..., two]
    return y
