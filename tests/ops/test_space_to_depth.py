import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def moved(x: Array, block: int, mode: str = "DCR") -> Array:
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block)
    parts = parts.transpose(0, 3, 5, 1, 2, 4) if mode == "DCR" else parts.transpose(0, 1, 3, 5, 2, 4)
    return parts.reshape(n, c * block * block, h // block, w // block)


def cases() -> list[Case]:
    made = []
    shapes = [((1, 1, 2, 2), 2), ((3, 5, 6, 9), 3), ((2, 8, 3, 4), 1), ((2, 4, 96, 148), 4), ((1, 3, 260, 262), 2)]
    for shape, block in shapes:
        x = values(np.random.default_rng(0), shape)
        name = f"{'x'.join(map(str, shape))}-{block}"
        made.append(move_case(name, "SpaceToDepth", x, moved(x, block), blocksize=block, opset=13))
        for mode in ("DCR", "CRD"):  # ONNX Runtime lacks opset 28
            case = move_case(
                f"{name}-{mode}",
                "SpaceToDepth",
                x,
                moved(x, block, mode),
                blocksize=block,
                more={"mode": mode},
                opset=28,
                onnxruntime=False,
            )
            made.append(case)
    made.append(move_case("early", "SpaceToDepth", x, moved(x, 2), blocksize=2, opset=7))
    empty = np.zeros((0, 4, 4, 4), np.float32)
    made.append(move_case("empty", "SpaceToDepth", empty, np.zeros((0, 16, 2, 2), np.float32), blocksize=2))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 3, 4, 6))
        made.append(move_case(f"batch{batch}", "SpaceToDepth", x, moved(x, 2), blocksize=2, symbolic_batch=True))
    # ONNX Runtime has it for few types.
    made += in_every_dtype("SpaceToDepth", (2, 3, 4, 6), lambda a: moved(a, 2), blocksize=2, onnxruntime=False)
    return made + in_other_dtypes("SpaceToDepth", (2, 3, 4, 6), lambda a: moved(a, 2), blocksize=2)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_space_to_depth(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(shape: tuple[int, ...], message: str, **attributes: object) -> None:
        x = {"x": np.zeros(shape, np.float32)}
        check_refused(one_node("SpaceToDepth", x, **attributes), x, ModelError, message, "SpaceToDepth")  # type: ignore[arg-type]

    refused((1, 4, 2), r"expected \[N, C, H, W\]", blocksize=2)
    refused((1, 6, 3, 2), "multiples of the blocksize 2", blocksize=2)
    refused((1, 4, 2, 2), "blocksize is -2", blocksize=-2)
    refused((1, 4, 2, 2), "has no blocksize")
    refused((1, 4, 2, 2), "mode is 'CRD', opset 21 has DCR", blocksize=2, more={"mode": "CRD"})
