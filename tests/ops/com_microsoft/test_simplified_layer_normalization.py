from __future__ import annotations

import numpy as np
import pytest

from runner import check
from samples import values
from sequence_models import MICROSOFT, node_case, normalized


@pytest.mark.parametrize("shape", [(3, 17), (2, 3, 64)])
def test_simplified_layer_normalization(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, scale = values(rng, shape), values(rng, shape[-1:])
    y, _, inverse = normalized(x, scale, 0.0, -1, 1e-6, False)
    check(
        node_case(
            "SimplifiedLayerNormalization",
            "simplified",
            {"x": x, "scale": scale},
            {"y": y, "inverse": inverse},
            domain=MICROSOFT,
            settings={"onnxruntime": False},  # it has it in the default domain
            epsilon=1e-6,
        )
    )
