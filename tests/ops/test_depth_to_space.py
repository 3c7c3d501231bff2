import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def moved(x: Array, block: int, mode: str = "DCR") -> Array:
    n, c, h, w = x.shape
    depth = c // (block * block)
    if mode == "DCR":
        parts = x.reshape(n, block, block, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, depth, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, depth, h * block, w * block)


def cases() -> list[Case]:
    made = []
    shapes = [((1, 4, 1, 1), 2), ((3, 18, 5, 7), 3), ((2, 8, 3, 4), 1), ((2, 64, 24, 37), 4), ((1, 12, 130, 131), 2)]
    for shape, block in shapes:
        x = values(np.random.default_rng(0), shape)
        for mode in ("DCR", "CRD"):
            name = f"{'x'.join(map(str, shape))}-{block}-{mode}"
            expected = moved(x, block, mode)
            made.append(move_case(name, "DepthToSpace", x, expected, blocksize=block, more={"mode": mode}, opset=13))
    made.append(move_case("early", "DepthToSpace", x, moved(x, 2), blocksize=2, opset=7))
    empty = np.zeros((0, 4, 3, 3), np.float32)
    made.append(move_case("empty", "DepthToSpace", empty, moved(empty.reshape(0, 4, 3, 3), 2), blocksize=2))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 4, 3, 5))
        made.append(move_case(f"batch{batch}", "DepthToSpace", x, moved(x, 2), blocksize=2, symbolic_batch=True))
    # ONNX Runtime has it for few types.
    made += in_every_dtype("DepthToSpace", (2, 8, 3, 5), lambda a: moved(a, 2), blocksize=2, onnxruntime=False)
    return made + in_other_dtypes("DepthToSpace", (2, 8, 3, 5), lambda a: moved(a, 2), blocksize=2)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_depth_to_space(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(shape: tuple[int, ...], message: str, **attributes: object) -> None:
        x = {"x": np.zeros(shape, np.float32)}
        check_refused(one_node("DepthToSpace", x, **attributes), x, ModelError, message, "DepthToSpace")  # type: ignore[arg-type]

    refused((1, 4, 2), r"expected \[N, C, H, W\]", blocksize=2)
    refused((1, 6, 2, 2), "6 channels, expected a multiple of 4", blocksize=2)
    refused((1, 4, 2, 2), "blocksize is 0", blocksize=0)
    refused((1, 4, 2, 2), f"blocksize is {1 << 40}", blocksize=1 << 40)
    refused((1, 4, 2, 2), "has no blocksize")
    refused((1, 4, 2, 2), "mode is 'RGB'", blocksize=2, more={"mode": "RGB"})
