"""Architectures of transformers, exported by PyTorch and rewritten by ONNX Runtime's tools, against ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
from tests.models.transformers_table import ARCHITECTURES, Architecture

import sanderling

torch = pytest.importorskip("torch", reason="torch is not installed: make models")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install transformers")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: make models")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Array = npt.NDArray[Any]

SIZES = (
    {"batch": 2, "length": 7, "target": 5, "samples": 800, "frames": 40, "height": 64, "width": 96, "past": 3},
    {"batch": 1, "length": 7, "target": 5, "samples": 800, "frames": 40, "height": 64, "width": 96, "past": 3},
    {"batch": 3, "length": 12, "target": 6, "samples": 1200, "frames": 52, "height": 96, "width": 64, "past": 5},
)
"""What dynamic extents are: those of the export, then others."""

DYNAMO = ("bert", "deberta-v2", "gpt2", "llama", "t5", "vit", "convnext", "resnet", "segformer", "wav2vec2")
"""Also exported by torch.export, which takes ten times as long."""


def build(architecture: Architecture) -> Any:
    """The model with weights that do not make everything alike, as those of 0.02 that many begin with do."""
    model_class = getattr(transformers, architecture.model)
    name = architecture.config_class
    config_class = getattr(transformers, name) if name else model_class.config_class
    settings = dict(architecture.config)
    if backbone := settings.get("backbone_config"):
        backbone = dict(backbone)
        settings["backbone_config"] = transformers.AutoConfig.for_model(backbone.pop("model_type"), **backbone)
    torch.manual_seed(0)
    model = model_class(config_class(**settings)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1 and weights.std() < 0.05:
                weights.copy_(torch.randn(weights.shape) / max(1, weights[0].numel()) ** 0.5)
        for name, state in model.named_buffers():
            if name.endswith("running_mean"):
                state.copy_(torch.randn(state.shape) * 0.1)
            if name.endswith("running_var"):
                state.copy_(torch.rand(state.shape) + 0.5)
    return model


def drawn(kind: str, shape: tuple[int, ...], words: int) -> Any:
    """`kind`: ids, types, boxes, ones, a mask whose last row ends early, real numbers."""
    if kind == "ids":
        return torch.randint(3, words, shape)
    if kind == "types":
        return torch.randint(0, 2, shape)
    if kind == "box":
        return torch.randint(0, 900, shape).sort(-1).values
    if kind == "ones":
        return torch.ones(shape)
    if kind == "mask":
        mask = torch.ones(shape, dtype=torch.int64)
        mask[1:, -2:] = 0
        return mask
    return torch.randn(shape)


def inputs_of(architecture: Architecture, sizes: Mapping[str, int]) -> dict[str, Any]:
    torch.manual_seed(3)
    config = architecture.config
    words = config.get("vocab_size", config.get("text_config", {}).get("vocab_size", 99))
    made = {
        name: drawn(kind, tuple(sizes[d] if isinstance(d, str) else d for d in shape), words)
        for name, (kind, shape) in architecture.inputs.items()
    }
    if architecture.cache:
        heads, size = architecture.cache
        made["attention_mask"] = torch.ones((sizes["batch"], sizes["past"] + sizes["length"]), dtype=torch.int64)
        for name in CACHES:
            made[name] = torch.randn((sizes["batch"], heads, sizes["past"], size))
    return made


CACHES = ("past_k0", "past_v0", "past_k1", "past_v1")


def dynamic_axes(architecture: Architecture) -> dict[str, dict[int, str]]:
    axes = {
        name: {i: d for i, d in enumerate(shape) if isinstance(d, str)}
        for name, (_, shape) in architecture.inputs.items()
    }
    if architecture.cache:
        axes |= {"attention_mask": {0: "batch", 1: "total"}} | {name: {0: "batch", 2: "past"} for name in CACHES}
    return axes


def tensors(value: Any) -> list[Any]:
    """All tensors of an output of transformers, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, transformers.DynamicCache):
        return [x for layer in value.layers for x in (layer.keys, layer.values)]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [x for part in parts for x in tensors(part)]


def called(architecture: Architecture) -> Any:
    """A module that takes and gives tensors alone, under the names of the inputs, which exporters read."""
    names = list(inputs_of(architecture, SIZES[0]))
    model = build(architecture)

    def forward(given: dict[str, Any]) -> tuple[Any, ...]:
        given |= architecture.options
        if architecture.cache:
            cache = transformers.DynamicCache()
            for layer in range(len(CACHES) // 2):
                cache.update(given.pop(f"past_k{layer}"), given.pop(f"past_v{layer}"), layer)
            given["past_key_values"] = cache
        return tuple(tensors(model(**given)))

    class Called(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

    scope: dict[str, Any] = {"forward": forward}
    exec(
        f"def named(self, {', '.join(names)}):\n    return forward(dict({', '.join(f'{n}={n}' for n in names)}))", scope
    )
    Called.forward = scope["named"]
    return Called().eval()


def export(name: str, path: Path, *, dynamo: bool = False) -> None:
    architecture = ARCHITECTURES[name]
    module, given = called(architecture), inputs_of(architecture, SIZES[0])
    axes = dynamic_axes(architecture)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = tuple(dict.fromkeys(axes[n], torch.export.Dim.DYNAMIC) for n in given)
            torch.onnx.export(
                module,
                tuple(given.values()),
                path,
                dynamo=True,
                external_data=False,
                dynamic_shapes=shapes,
                verbose=False,
            )
        else:
            torch.onnx.export(
                module,
                tuple(given.values()),
                path,
                dynamo=False,
                input_names=list(given),
                dynamic_axes=axes,
                opset_version=17,
            )


def runtime(path: Path, level: str = "ORT_ENABLE_ALL", saved: Path | None = None) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if saved:
        settings.optimized_model_filepath = str(saved)
    return onnxruntime.InferenceSession(path, settings, ["CPUExecutionProvider"])


def compare(name: str, path: Path, *, level: str = "ORT_ENABLE_ALL", tolerance: float = 1e-4) -> None:
    """All sizes that ONNX Runtime runs (an exporter may have fixed an extent), with one and two threads."""
    theirs = runtime(path, level)
    sessions = [sanderling.Session(path, backend="native", threads=threads) for threads in (1, 2)]
    ran = 0
    for sizes in SIZES:
        given = {k: v.numpy() for k, v in inputs_of(ARCHITECTURES[name], sizes).items()}
        given = {i.name: given[i.name] for i in theirs.get_inputs()}
        try:
            wanted = theirs.run(None, given)
        except (Fail, InvalidArgument, RuntimeException):
            continue
        ran += 1
        for session in sessions:
            found = session.run(given)
            for output, expected in zip(theirs.get_outputs(), wanted, strict=True):
                ours = found[output.name] if isinstance(found, dict) else found
                assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape), output.name
                bound = tolerance * np.abs(expected[np.isfinite(expected)]).max(initial=0) + tolerance / 10
                np.testing.assert_allclose(ours, expected, rtol=0, atol=bound, err_msg=f"{output.name} of {sizes}")
    assert ran, "ONNX Runtime runs none of the sizes"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torchscript(name: str, tmp_path: Path) -> None:
    export(name, tmp_path / "model.onnx")
    compare(name, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", DYNAMO)
def test_dynamo(name: str, tmp_path: Path) -> None:
    export(name, tmp_path / "model.onnx", dynamo=True)
    compare(name, tmp_path / "model.onnx")


def fused(model_type: str) -> Callable[[str, Path, Path], None]:
    def make(_name: str, source: Path, to: Path) -> None:
        from onnxruntime.transformers import optimizer

        made = optimizer.optimize_model(str(source), model_type=model_type, num_heads=4, hidden_size=32, opt_level=0)
        made.save_model_to_file(str(to))

    return make


def saved(level: str) -> Callable[[str, Path, Path], None]:
    return lambda _name, source, to: runtime(source, level, to) and None


def dynamic(**settings: Any) -> Callable[[str, Path, Path], None]:
    def make(_name: str, source: Path, to: Path) -> None:
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(source, to, **settings)

    return make


def static(form: str, activations: str, weights: str, **settings: Any) -> Callable[[str, Path, Path], None]:
    def make(name: str, source: Path, to: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            rows = iter([{k: v.numpy() for k, v in inputs_of(ARCHITECTURES[name], SIZES[0]).items()}])

            def get_next(self) -> Any:
                return next(self.rows, None)

        quantize_static(
            source,
            to,
            Reader(),
            quant_format=QuantFormat[form],
            activation_type=QuantType[activations],
            weight_type=QuantType[weights],
            **settings,
        )

    return make


def four_bits(**settings: Any) -> Callable[[str, Path, Path], None]:
    def make(_name: str, source: Path, to: Path) -> None:
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

        import onnx

        config = DefaultWeightOnlyQuantConfig(block_size=16, **settings)
        quantizer = MatMulNBitsQuantizer(onnx.load(source), algo_config=config)
        quantizer.process()
        quantizer.model.save_model_to_file(str(to))

    return make


TOOLS = {
    "bert-fused": fused("bert"),
    "vit-fused": fused("vit"),
    "gpt2-cache-fused": fused("gpt2"),
    "t5-fused": fused("t5"),
    "bert-extended": saved("ORT_ENABLE_EXTENDED"),
    "resnet-extended": saved("ORT_ENABLE_EXTENDED"),
    "vit-dynamic": dynamic(),
    "bert-dynamic": dynamic(per_channel=True),
    "resnet-QDQ-u8s8": static("QDQ", "QUInt8", "QInt8", per_channel=True),
    "resnet-QDQ-s8s8": static("QDQ", "QInt8", "QInt8"),
    "resnet-QOperator-u8u8": static("QOperator", "QUInt8", "QUInt8"),
    "bert-QDQ-u16": static("QDQ", "QUInt16", "QInt8", extra_options={"UseQDQContribOps": True}),
    "mobilenet-v2-QDQ-s8s8": static("QDQ", "QInt8", "QInt8", per_channel=True),
    "bert-4": four_bits(is_symmetric=True),
    "gpt2-cache-4-asymmetric": four_bits(is_symmetric=False),
    "vit-8": four_bits(is_symmetric=True, bits=8),
}
"""What makes another model of one; the architecture's name is the start of the case's."""


@pytest.mark.parametrize("case", TOOLS)
def test_tools(case: str, tmp_path: Path) -> None:
    name = max((n for n in ARCHITECTURES if case.startswith(f"{n}-")), key=len)
    export(name, tmp_path / "model.onnx")
    TOOLS[case](name, tmp_path / "model.onnx", tmp_path / "made.onnx")
    # Unoptimized, so that the runtime does what the file says: it fuses QDQ otherwise, which rounds differently. A code
    # that two sums round to either way moves outputs by steps of about a hundredth.
    codes = any(word in case for word in ("QDQ", "QOperator", "dynamic"))
    compare(name, tmp_path / "made.onnx", level="ORT_DISABLE_ALL", tolerance=2e-2 if codes else 1e-4)
