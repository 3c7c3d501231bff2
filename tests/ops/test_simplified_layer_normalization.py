from __future__ import annotations

import numpy as np
import pytest

from runner import check
from samples import values
from sequence_models import node_case, normalized


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(("shape", "axis"), [((3, 17), -1), ((3, 4, 5), 1), ((2, 3, 64), -1)])
def test_simplified_layer_normalization(shape: tuple[int, ...], axis: int, outputs: int) -> None:
    """ONNX Runtime's name for RMSNormalization, in the default domain of models of any opset."""
    rng = np.random.default_rng(0)
    x, scale = values(rng, shape), values(rng, shape[axis:])
    y, _, inverse = normalized(x, scale, 0.0, axis, 1e-6, False)
    check(
        node_case(
            "SimplifiedLayerNormalization",
            "simplified",
            {"x": x, "scale": scale},
            dict(list({"y": y, "inverse": inverse}.items())[:outputs]),
            opset=17,
            axis=axis,
            epsilon=1e-6,
            stash_type=1,
        )
    )
