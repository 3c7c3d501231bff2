"""The runner itself: it must see what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from onnx_models import Codes, QdqModel, Steps, one_node, qdq_node
from runner import Agreement, Case, check, check_pooled, qdq_case
from samples import values


def relu() -> Case:
    x = values(np.random.default_rng(0), (3, 5))
    return Case("relu", one_node("Relu", {"x": x}), {"x": x}, {"y": np.maximum(x, 0)})


def qdq_add() -> QdqModel:
    rng = np.random.default_rng(1)
    tensors = {"a": Codes.random(rng, (40, 50), scale=0.02), "b": Codes.random(rng, (40, 50), scale=0.03)}
    return qdq_node("Add", tensors, np.add, 0.04, 128)


def test_a_right_case_passes() -> None:
    check(relu())
    assert check(qdq_case("add", qdq_add())).elements == 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + np.float32(1e-3), "largest error 0.001"),
        (lambda y: np.where(y == y.max(), np.nan, y), "NaN or infinity"),
        (lambda y: y[:, :4], r"shape \(3, 5\), expected \(3, 4\)"),
        (lambda y: y.astype(np.int32), "float32, expected int32"),
    ],
)
def test_wrong_floats_are_seen(change, message) -> None:  # type: ignore[no-untyped-def]
    case = relu()
    assert isinstance(case.expected, dict)
    with pytest.raises(AssertionError, match=message):
        check(replace(case, expected={"y": change(case.expected["y"])}))


def test_one_unit_in_the_last_place_is_seen_where_it_must_be_exact() -> None:
    case = relu()
    assert isinstance(case.expected, dict)
    y = np.nextafter(case.expected["y"].astype(np.float32), np.float32(9))
    check(replace(case, expected={"y": y}))
    with pytest.raises(AssertionError):
        check(replace(case, expected={"y": y}, exact=True))


def shifted(qdq: QdqModel, steps: float, share: float) -> QdqModel:
    """The same model with a reference that is `steps` off in a share of the elements."""
    off = np.random.default_rng(2).random(qdq.steps.exact.shape) < share
    exact = np.where(off, np.floor(qdq.steps.exact) + 0.2 + steps, qdq.steps.exact)
    return replace(qdq, steps=Steps(exact, qdq.steps.scale, qdq.steps.zero_point, qdq.steps.dtype))


def test_two_steps_off_are_seen() -> None:
    with pytest.raises(AssertionError, match="2 steps from the exact one"):
        check(qdq_case("off", shifted(qdq_add(), 2.0, 0.05)))


def test_too_many_codes_one_step_off_are_seen() -> None:
    check_pooled([qdq_case("right", qdq_add())], elements=2000)
    with pytest.raises(AssertionError, match="codes off ties differ"):
        check_pooled([qdq_case("off", shifted(qdq_add(), 1.0, 0.01))], elements=2000)


def test_too_few_elements_are_seen() -> None:
    with pytest.raises(AssertionError, match="pooled 2,000 elements, need 1,000,000"):
        check_pooled([qdq_case("few", qdq_add())])


def test_an_operator_that_is_not_there_is_seen() -> None:
    with pytest.raises(AssertionError, match=r"lacks .'QMul'"):
        check(qdq_case("add", qdq_add(), operators={"QMul"}))


def test_agreements_add_up() -> None:
    total = Agreement(1, 1, 1)
    total.add(Agreement(10, 9, 8))
    assert total == Agreement(11, 10, 9)
