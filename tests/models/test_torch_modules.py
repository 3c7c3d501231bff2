"""`sanderling.load` of a torch module, against the module's own forward."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sanderling
from sanderling import InputError, UnsupportedError

torch = pytest.importorskip("torch", reason="torch is not installed: `make models` does it")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: `make models` does it")
nn = torch.nn

pytestmark = pytest.mark.slow  # each export takes seconds


@pytest.fixture(autouse=True)
def _same_weights() -> Iterator[None]:
    """Fixed weights, and no gradients where a test runs a module itself."""
    torch.manual_seed(0)
    with torch.no_grad():
        yield


class Classifier(nn.Module):
    """A convolution, batch normalization and dropout: what behaves otherwise in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.classifier = nn.Linear(4, 5)

    def forward(self, picture: Any) -> Any:
        return self.classifier(self.layers(picture).mean((2, 3)))


class Calls(nn.Module):
    """A module whose forward is the function given."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function


class Two(Calls):
    def forward(self, a: Any, b: Any) -> Any:
        return self.function(a, b)


class One(Calls):
    def forward(self, x: Any) -> Any:
        return self.function(x)


def assert_same(found: Any, wanted: Any) -> None:
    reference = wanted.numpy()
    assert found.shape == reference.shape
    assert found.dtype == reference.dtype
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-4 * np.abs(reference).max() + 1e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_any_batch_runs_whatever_the_examples_was(batch: int) -> None:
    module = Classifier().eval()
    model = sanderling.load(module, example_inputs=torch.zeros(batch, 3, 8, 9))
    (spec,) = model.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("picture", "float32", ("batch", 3, 8, 9))
    assert [output.name for output in model.outputs] == ["output"]
    session = sanderling.Session(model)
    for rows in (1, 2, 3, 7):
        x = torch.randn(rows, 3, 8, 9)
        assert_same(session.run(x.numpy()), module(x))


def test_it_runs_as_in_eval_mode_and_the_modes_stay() -> None:
    module = Classifier().train()
    module.layers[1].eval()  # a frozen normalization in a module that trains
    modes = [part.training for part in module.modules()]
    statistics = module.layers[1].running_mean.clone()
    model = sanderling.load(module, example_inputs=torch.randn(2, 3, 8, 8))
    assert [part.training for part in module.modules()] == modes
    assert torch.equal(module.layers[1].running_mean, statistics)
    x = torch.randn(3, 3, 8, 8)
    assert_same(sanderling.Session(model).run(x.numpy()), module.eval()(x))
    with pytest.raises(InputError, match="fails on example_inputs"):
        sanderling.load(module.train(), example_inputs=torch.zeros(2, 4, 8, 8))
    assert all(part.training for part in module.modules())


def test_a_session_takes_a_module() -> None:
    module = Classifier().eval()
    x = torch.randn(4, 3, 6, 6)
    for backend in ("native", "onnxruntime"):
        session = sanderling.Session(module, example_inputs=(x,), backend=backend)
        assert_same(session.run(x.numpy()), module(x))


def test_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sanderling.load(Classifier(), example_inputs=torch.zeros(1, 3, 6, 6))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # torch makes itself an empty folder


def test_several_inputs_by_place_and_by_name() -> None:
    module = Two(lambda a, b: (a @ b.transpose(1, 2), a.sum(-1))).eval()
    a, b = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    for example in ((a, b), [a, b], {"b": b, "a": a}):
        model = sanderling.load(module, example_inputs=example)
        assert {spec.name: spec.shape for spec in model.inputs} == {"a": ("batch", 3, 4), "b": ("batch", 5, 4)}
        assert [spec.name for spec in model.outputs] == ["output_0", "output_1"]
        a3, b3 = torch.randn(3, 3, 4), torch.randn(3, 5, 4)
        results = sanderling.Session(model).run({"a": a3.numpy(), "b": b3.numpy()})
        for found, wanted in zip(results.values(), module(a3, b3), strict=True):
            assert_same(found, wanted)


def test_batches_that_agree_by_chance_are_not_one() -> None:
    module = Two(lambda a, b: a[b]).eval()
    model = sanderling.load(module, example_inputs=(torch.randn(2, 3), torch.tensor([1, 0])))
    assert [spec.shape for spec in model.inputs] == [("batch", 3), ("batch_1",)]
    a, b = torch.randn(4, 3), torch.tensor([0, 3, 2, 2, 1])
    assert_same(sanderling.Session(model).run({"a": a.numpy(), "b": b.numpy()})["output"], module(a, b))


def test_outputs_are_named_as_forward_names_them() -> None:
    module = One(lambda x: {"scores": x.softmax(-1), "best": x.argmax(-1), "none": None}).eval()
    x = torch.randn(2, 6)
    results = sanderling.Session(module, example_inputs=x).run({"x": x.numpy()})
    assert list(results) == ["scores", "best"]
    assert_same(results["scores"], x.softmax(-1))
    np.testing.assert_array_equal(results["best"], x.argmax(-1))


def test_an_output_may_be_named_as_an_input_or_be_one() -> None:
    class Clash(nn.Module):
        def forward(self, output: Any) -> Any:
            return output, output * 2

    x = torch.randn(2, 3)
    session = sanderling.Session(Clash().eval(), example_inputs=x)
    results = session.run({session.inputs[0].name: x.numpy()})
    for found, wanted in zip(results.values(), (x, x * 2), strict=True):
        assert_same(found, wanted)
    same = sanderling.Session(One(lambda x: (x + 1,) * 2).eval(), example_inputs=x).run({"x": x.numpy()})
    assert len(same) == 2
    for found in same.values():
        assert_same(found, x + 1)


def test_a_parameter_may_have_the_name_of_an_output() -> None:
    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Parameter(torch.randn(3))

        def forward(self, x: Any) -> Any:
            return x + self.output

    module, x = Bias().eval(), torch.randn(2, 3)
    assert_same(sanderling.Session(module, example_inputs=x).run(x.numpy()), module(x))
    with pytest.raises(InputError, match="output_names has 'x', which another tensor of the model has"):
        sanderling.load(module, example_inputs=x, output_names=["x"])


def test_names_may_be_given() -> None:
    x = torch.randn(2, 3)
    model = sanderling.load(
        One(torch.relu).eval(), example_inputs=x, input_names=["features"], output_names=["activations"]
    )
    assert [spec.name for spec in (*model.inputs, *model.outputs)] == ["features", "activations"]
    assert_same(sanderling.Session(model).run(x.numpy()), torch.relu(x))
    for names in (["a", "b"], []):
        with pytest.raises(InputError, match="expected 1 different names"):
            sanderling.load(One(torch.relu).eval(), example_inputs=x, output_names=names)


def test_nested_inputs_and_arguments_that_are_no_tensors() -> None:
    class Nested(nn.Module):
        def forward(self, pair: Any, scale: float, extra: Any = None) -> Any:
            return pair["left"] * scale + pair["right"][0]

    left, right = torch.randn(2, 3), torch.randn(2, 3)
    model = sanderling.load(Nested().eval(), example_inputs=({"left": left, "right": [right]}, 2.5))
    assert [spec.shape for spec in model.inputs] == [("batch", 3), ("batch", 3)]
    arrays = (torch.randn(5, 3), torch.randn(5, 3))
    names = [spec.name for spec in model.inputs]
    (found,) = sanderling.Session(model).run({n: a.numpy() for n, a in zip(names, arrays, strict=True)}).values()
    assert_same(found, arrays[0] * 2.5 + arrays[1])


def test_dynamic_shapes_are_passed_on() -> None:
    module = One(lambda x: x.cumsum(1).mean(-1)).eval()
    model = sanderling.load(module, example_inputs=torch.randn(2, 5, 3), dynamic_shapes={"x": {0: "rows", 1: "time"}})
    assert model.inputs[0].shape == ("rows", "time", 3)
    session = sanderling.Session(model)
    for shape in ((1, 9, 3), (4, 2, 3)):
        x = torch.randn(*shape)
        assert_same(session.run(x.numpy()), module(x))


def test_a_batch_that_the_module_holds_stays_as_in_the_example() -> None:
    module = One(lambda x: x.reshape(4, 6) @ torch.ones(6, 2)).eval()
    model = sanderling.load(module, example_inputs=torch.randn(2, 12))
    assert model.inputs[0].shape == (2, 12)
    x = torch.randn(2, 12)
    assert_same(sanderling.Session(model).run(x.numpy()), module(x))


def test_a_recurrent_state_has_its_batch_elsewhere() -> None:
    """Example extents of 1 agree in dimensions that are not the batch: nothing may be made to vary."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x: Any, h: Any, c: Any) -> Any:
            y, (h, c) = self.lstm(x, (h, c))
            return y, h, c

    module = Recurrent().eval()
    inputs = (torch.randn(1, 7, 3), torch.randn(1, 1, 4), torch.randn(1, 1, 4))
    model = sanderling.load(module, example_inputs=inputs)
    arrays = {name: x.numpy() for name, x in zip("xhc", inputs, strict=True)}
    for found, wanted in zip(sanderling.Session(model).run(arrays).values(), module(*inputs), strict=True):
        assert_same(found, wanted)


def test_half_and_double_modules() -> None:
    for dtype in (torch.float16, torch.float64):
        module = Classifier().eval().to(dtype)
        x = torch.randn(2, 3, 6, 6, dtype=dtype)
        found = sanderling.Session(module, example_inputs=x).run(x.numpy())
        assert found.dtype == x.numpy().dtype
        np.testing.assert_allclose(found, module(x).numpy(), rtol=0, atol=2e-3)


def test_missing_and_wrong_examples() -> None:
    module = Classifier()
    for call in (sanderling.load, sanderling.Session):
        with pytest.raises(InputError, match=r"needs example_inputs to be exported. Pass"):
            call(module)
        with pytest.raises(InputError, match="example_inputs is ndarray, expected a tensor"):
            call(module, example_inputs=np.zeros((2, 3, 8, 8), np.float32))
        with pytest.raises(InputError, match=r"Classifier fails on example_inputs: TypeError: .*'image'"):
            call(module, example_inputs={"image": torch.zeros(2, 3, 8, 8)})
    assert module.training
    with pytest.raises(InputError, match="got type"):
        sanderling.load(Classifier)  # the class, not a module


def test_what_cannot_be_exported_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"ONNX has no form of operator 'aten[.:]+_?linalg_eigh"):
        sanderling.load(One(lambda x: torch.linalg.eigh(x @ x.mT)[0]).eval(), example_inputs=torch.randn(2, 3, 3))
    decided = One(lambda x: x * 2 if x.sum() > 0 else x).eval()
    with pytest.raises(UnsupportedError, match=r"One cannot be exported to ONNX: .*Try torch.export.export"):
        sanderling.load(decided, example_inputs=torch.randn(2, 3))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxscript"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)  # as if it were not installed
            with pytest.raises(
                UnsupportedError, match=rf"package {package}, which is missing. Install it: .*\[train\]"
            ):
                sanderling.load(Classifier(), example_inputs=torch.zeros(2, 3, 8, 8))
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    with pytest.raises(UnsupportedError, match=r"torch is 2\.4\.1\+cpu, to load a module takes 2.5 or newer"):
        sanderling.load(Classifier(), example_inputs=torch.zeros(2, 3, 8, 8))


def test_more_weights_than_a_message_holds() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # 2.2 GB that take no memory: every row is the same one.
            self.register_buffer("table", torch.zeros(1, 1024).expand(550_000, 1024))

        def forward(self, rows: Any) -> Any:
            return self.table[rows]

    with pytest.raises(UnsupportedError, match=r"Large has 2,252,800,[0-9]{3} bytes of weights.*external_data=True"):
        sanderling.load(Large().eval(), example_inputs=torch.zeros(2, dtype=torch.int64))
