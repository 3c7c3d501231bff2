"""The forms that calibration may take, and the errors for those that it may not."""

import io
import sys

import numpy as np
import pytest
from tests.quantize.networks import Builder, constants, decibels, literal, rows_of

import sanderling
from onnx import TensorProto, helper
from sanderling.errors import InputError


@pytest.fixture(scope="module")
def model():
    b = Builder([6])
    b.gemm(b.add("Relu", b.gemm("x", 6, 8)), 8, 3, output="y")
    return b.model("y")


@pytest.fixture(scope="module")
def pair():
    """Two inputs of different widths."""
    b = Builder([6])
    b.inputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["rows", 5]))
    b.gemm(b.add("Add", b.gemm("x", 6, 4), b.gemm("z", 5, 4)), 4, 3, output="y")
    return b.model("y")


def scales(quantized):
    return {name: array for name, array in constants(quantized.bytes).items() if name.endswith("/scale")}


def test_all_forms_give_the_same_codes(model):
    rows = rows_of([6], 40)
    expected = scales(sanderling.quantize(model, rows))
    for form in (
        {"x": rows},
        [rows[:7], rows[7:]],
        ({"x": part} for part in np.array_split(rows, 3)),
        [{"x": rows[i : i + 1]} for i in range(40)],
        _DLPack(rows),
    ):
        found = scales(sanderling.quantize(model, form))
        assert found.keys() == expected.keys()
        for name, array in found.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-5)


class _DLPack:
    """An array of another library."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **keywords):
        return self._array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_two_inputs(pair):
    feeds = {"x": rows_of([6], 50), "z": rows_of([5], 50)}
    quantized = sanderling.quantize(pair, feeds)
    assert decibels(literal(pair, feeds)["y"], sanderling.Session(quantized).run(feeds)["y"]) > 30
    assert quantized.report.calibration_rows == 50


def test_a_fixed_batch_takes_whole_batches():
    b = Builder([6])
    b.inputs[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 6])
    b.gemm("x", 6, 3, output="y")
    data = b.model("y")
    assert sanderling.quantize(data, rows_of([6], 12)).report.calibration_rows == 12
    with pytest.raises(InputError, match="10 rows, the model takes 4 at a time"):
        sanderling.quantize(data, rows_of([6], 10))


def test_an_input_without_rows_takes_one_run_per_row():
    b = Builder([6])
    b.inputs[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 6])
    b.add("MatMul", "x", b.weights(6, 3), output="y")
    quantized = sanderling.quantize(b.model("y"), rows_of([5, 6], 20))
    assert quantized.report.calibration_rows == 20


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (np.zeros([0, 6], np.float32), "calibration has no rows"),
        ([], "calibration has no batches"),
        (np.zeros([4, 7], np.float32), r"shape \[4, 7\], the model takes \['rows', 6\]"),
        (np.zeros([4, 2, 3, 1], np.float32), r"shape \[4, 2, 3, 1\], the model takes \['rows', 6\]"),
        (np.zeros([4, 6]), r"is float64, the model takes float32. Convert it with astype\('float32'\)"),
        (np.zeros([4, 6], np.int64), "is int64, the model takes float32"),
        (np.full([4, 6], np.nan, np.float32), "24 of 24 values NaN or infinite"),
        ([rows_of([6], 3), np.float32([[0, 0, np.inf, 0, 0, 0]])], "batch 1: input 'x' has 1 of 6 values NaN"),
        ({"image": rows_of([6])}, r"calibration has inputs \['image'\], the model has \['x'\]"),
        ({"x": rows_of([6]), "z": rows_of([6])}, r"has inputs \['x', 'z'\], the model has \['x'\]"),
        ("rows.npy", "calibration is str"),
        (None, "calibration is NoneType"),
        (3, "calibration is int"),
    ],
)
def test_what_does_not_fit(model, calibration, message):
    with pytest.raises(InputError, match=message):
        sanderling.quantize(model, calibration)


def test_what_does_not_fit_two_inputs(pair):
    with pytest.raises(InputError, match=r"the model has inputs \['x', 'z'\]. Give calibration as a mapping"):
        sanderling.quantize(pair, rows_of([6]))
    with pytest.raises(InputError, match=r"different numbers of rows: {'x': 4, 'z': 5}"):
        sanderling.quantize(pair, {"x": rows_of([6], 4), "z": rows_of([5], 5)})


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("rich", [True, False])
def test_progress_goes_to_a_terminal_only(model, monkeypatch, capsys, rich):
    sanderling.quantize(model, rows_of([6]))
    assert capsys.readouterr() == ("", "")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    sanderling.quantize(model, rows_of([6]))
    assert "calibrating" in terminal.getvalue()
    assert capsys.readouterr().out == ""
