from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError

OP = "NonMaxSuppression"


def corners(box: Array, center: bool) -> tuple[Array, Array]:
    if center:
        return box[[1, 0]] - box[[3, 2]] / 2, box[[1, 0]] + box[[3, 2]] / 2
    return np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])


def overlap(a: Array, b: Array, center: bool) -> float:
    (a_low, a_high), (b_low, b_high) = corners(a, center), corners(b, center)
    sides = np.minimum(a_high, b_high) - np.maximum(a_low, b_low)
    if (sides <= 0).any():
        return 0.0
    both = sides.prod()
    return float(both / ((a_high - a_low).prod() + (b_high - b_low).prod() - both))


def selected(
    boxes: Array, scores: Array, most: int = 0, iou: float = 0.0, least: float | None = None, center: bool = False
) -> Array:
    found = []
    for batch, of_batch in enumerate(scores):
        for category, row in enumerate(of_batch):
            kept: list[int] = []
            for i in np.argsort(-row, kind="stable"):
                if len(kept) == most:
                    break
                if least is not None and not row[i] > least:
                    continue
                if all(overlap(boxes[batch, i], boxes[batch, j], center) <= iou for j in kept):
                    kept.append(int(i))
            found += [(batch, category, i) for i in kept]
    return np.array(found, np.int64).reshape(-1, 3)


def sample(seed: int, batches: int, classes: int, count: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    boxes = rng.random((batches, count, 4)).astype(np.float32) * 10
    return boxes, np.round(rng.random((batches, classes, count)), 2).astype(np.float32)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 1, 40), (2, 3, 20), (3, 2, 33)], ids=str)
def test_non_max_suppression(sizes: tuple[int, int, int], center: bool) -> None:
    boxes, scores = sample(sum(sizes), *sizes)
    given = {"boxes": boxes, "scores": scores}
    for most, iou, least in ((3, 0.3, 0.2), (100, 0.1, None), (1, 0.5, 0.9), (-1, 0.5, None), (5, 0.0, 2.0)):
        inputs = {**given, "most": np.array([most]), "iou": np.array([iou], np.float32)}
        if least is not None:
            inputs["least"] = np.array([least], np.float32)
        model = one_node(OP, inputs, output_dtype=np.int64, opset=11, center_point_box=int(center))
        limit = None if least is None else float(np.float32(least))
        y = selected(boxes.astype(np.float64), scores, max(most, 0), float(np.float32(iou)), limit, center)
        check(Case(f"{most}", model, inputs, {"y": y}))


def test_settings_left_out() -> None:
    """No boxes are selected unless a number is given; an empty one counts as left out."""
    boxes, scores = sample(0, 1, 2, 9)
    inputs = {"boxes": boxes, "scores": scores}
    nothing = {"y": np.zeros((0, 3), np.int64)}
    check(Case("default", one_node(OP, inputs, output_dtype=np.int64, opset=10), inputs, nothing))
    model = one_node(OP, inputs, constants={"most": np.zeros(0, np.int64)}, output_dtype=np.int64)
    check(Case("empty", model, inputs, nothing, onnxruntime=False))
    order = ["boxes", "scores", "most", "", "least"]
    constants = {"most": np.array(9), "least": np.array(0.5, np.float32)}
    model = one_node(OP, inputs, constants=constants, order=order, output_dtype=np.int64)
    check(Case("scalars", model, inputs, {"y": selected(boxes, scores, 9, 0.0, 0.5)}))


@pytest.mark.parametrize("sizes", [(0, 2, 3), (2, 0, 3), (2, 3, 0)], ids=str)
def test_empty(sizes: tuple[int, int, int]) -> None:
    boxes, scores = sample(0, *sizes)
    inputs = {"boxes": boxes, "scores": scores, "most": np.array([3])}
    model = one_node(OP, inputs, output_dtype=np.int64)
    check(Case("empty", model, inputs, {"y": np.zeros((0, 3), np.int64)}, onnxruntime=False))


def test_boxes_that_are_equal_or_have_no_area() -> None:
    boxes = np.array([[[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [2, 2, 3, 3]]], np.float32)
    scores = np.array([[[0.5, 0.5, 0.5, 0.5, 0.9]]], np.float32)
    inputs = {"boxes": boxes, "scores": scores, "most": np.array([9]), "iou": np.array([0.5], np.float32)}
    expected = np.array([[0, 0, 4], [0, 0, 0], [0, 0, 2], [0, 0, 3]])
    check(Case("equal", one_node(OP, inputs, output_dtype=np.int64), inputs, {"y": expected}))


def test_refused() -> None:
    boxes, scores = sample(0, 2, 1, 3)
    good: dict[str, Any] = {"boxes": boxes, "scores": scores, "most": np.array([3])}

    def refused(message: str, error: type[Exception] = ModelError, inputs: Any = None, **attributes: Any) -> None:
        given = {**good, **(inputs or {})}
        model = one_node(OP, given, output_dtype=np.int64, **attributes)
        check_refused(model, given, error, message, OP)

    refused("boxes have shape", inputs={"boxes": boxes[:, :, :3]})
    refused("scores have shape", inputs={"scores": scores[:, :, :2]})
    refused("scores have shape", inputs={"scores": scores[:1]})
    refused("center_point_box is 2", center_point_box=2)
    refused("iou_threshold is 1.5", inputs={"iou": np.array([1.5], np.float32)})
    refused("max_output_boxes_per_class has shape", inputs={"most": np.array([3, 4])})
    refused("float64", UnsupportedError, inputs={"boxes": boxes.astype(np.float64)})
