from __future__ import annotations

import numpy as np
import pytest

from runner import check
from samples import values
from sequence_models import MICROSOFT, node_case, normalized


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 17), (1, 4, 768)])
def test_skip_simplified_layer_normalization(shape: tuple[int, ...], has_bias: bool) -> None:
    rng = np.random.default_rng(0)
    x, skip, gamma, bias = values(rng, shape), values(rng, shape), values(rng, shape[-1:]), values(rng, shape[-1:])
    total = x.astype(np.float64) + skip + (bias if has_bias else 0.0)
    y, _, _ = normalized(total, gamma, 0.0, -1, 1e-6, False)
    check(
        node_case(
            "SkipSimplifiedLayerNormalization",
            "skip-simplified",
            {"x": x, "skip": skip, "gamma": gamma, "bias": bias if has_bias else None},
            {"y": y, "mean": None, "inverse": None, "sum": total},
            domain=MICROSOFT,
            epsilon=1e-6,
        )
    )
