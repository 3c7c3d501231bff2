"""What PyTorch models have beside plain layers, by both exporters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from tests.models.beside import Theirs, assert_near, ours
from tests.models.exporting import export

import onnx
from sanderling.errors import SanderlingError

torch = pytest.importorskip("torch", reason="torch is not installed: `make models` does it")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: `make models` does it")

from tests.models.torch_functions import MODULES, Module  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the exporters about themselves

SIZES = (
    {"batch": 2, "length": 7, "height": 8, "width": 10},
    {"batch": 1, "length": 7, "height": 8, "width": 10},
    {"batch": 3, "length": 11, "height": 9, "width": 7},
)
"""What dynamic extents are: those of the export, then others."""

OPSET = 20
"""The newest of the TorchScript exporter."""

LACKS = (runtime.NotImplemented, runtime.InvalidArgument)
"""What ONNX Runtime raises for what it has no kernel of."""


def flat(results: Any) -> list[Any]:
    """All tensors of what a module gives, in order."""
    return [x for part in results for x in flat(part)] if isinstance(results, (tuple, list)) else [results]


def feeds_of(module: Module) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(5)
    return [dict(zip("abc", (one.drawn(sizes, generator) for one in module.inputs), strict=False)) for sizes in SIZES]


def exported(module: Module, built: Any, dynamo: bool) -> bytes:
    axes = {
        name: [d if isinstance(d, str) else None for d in one.shape]
        for name, one in zip("abc", module.inputs, strict=False)
    }
    return export(built, tuple(feeds_of(module)[0].values()), axes, [], dynamo, OPSET)


CASES = [(name, exporter) for name, module in MODULES.items() for exporter in module.exporters]


@pytest.fixture(autouse=True)
def _layers_as_they_are_written() -> Iterator[None]:
    """The fused attention of evaluation mode has no form in ONNX."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad():
        yield
    torch.backends.mha.set_fastpath_enabled(fused)


@pytest.mark.parametrize(("name", "exporter"), CASES)
def test_as_onnxruntime_runs_the_file(name: str, exporter: str) -> None:
    """As the module says what the runtime lacks; and an extent that the exporter has fixed is refused by both."""
    module = MODULES[name]
    built = module.build()
    model = exported(module, built, exporter == "dynamo")
    names = [output.name for output in onnx.load_from_string(model).graph.output]
    sessions = list(ours(model))
    for number, given in enumerate(feeds_of(module)):
        arrays = {n: x.numpy() for n, x in given.items()}
        try:
            wanted = Theirs(model).run(arrays)
        except LACKS:
            wanted = {n: x.numpy() for n, x in zip(names, flat(built(*given.values())), strict=True)}
        except runtime.Fail:
            assert number > 0, "ONNX Runtime runs the file on other inputs than those of the export"
            for _, session in sessions:
                with pytest.raises(SanderlingError):
                    session.run(arrays)
            continue
        for where, session in sessions:
            assert_near(session.run(arrays), wanted, f"{where}, inputs {number}")
