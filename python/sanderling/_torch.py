"""A torch module as the bytes of an ONNX file, by torch.export and torch.onnx (`pip install "sanderling[train]"`).

torch itself is imported only here, and only for a caller who already has a module of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sanderling.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import torch

OLDEST_TORCH = (2, 5)
"""The first whose torch.onnx.export takes dynamic_shapes."""

MOST_FILE_BYTES = (1 << 31) - 1
"""What protobuf can write as one message."""

INSTALL = 'Install it: python3 -m pip install "sanderling[train]"'


def is_module(source: object) -> bool:
    """Whether `source` is a torch module; imports nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "nn") and isinstance(source, torch.nn.Module)


def onnx_bytes(
    module: torch.nn.Module,
    example_inputs: Any,
    *,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> bytes:
    """Exports a module as it behaves in eval mode; see `sanderling.load` for the arguments.

    The module's modes are as before afterwards. No file is written.

    Raises:
        InputError: The module's forward does not take `example_inputs`, or these are missing.
        UnsupportedError: torch is too old, onnxscript is missing, the module cannot be exported, or what comes out
            would be larger than 2 GB.
    """
    _check_packages()
    args, kwargs = _arguments(example_inputs)
    with _eval_mode(module):
        outputs = _try_forward(module, args, kwargs)
        if dynamic_shapes is None and _batch_agrees(args, kwargs):
            program = _export_with_any_batch(module, args, kwargs, input_names)
        else:
            program = _export(module, args, kwargs, dynamic_shapes, input_names)
    _name_outputs(program, outputs, output_names)
    _check_size(module, program)
    proto = program.model_proto
    if dynamic_shapes is None:
        _name_batch(proto)
    data: bytes = proto.SerializeToString()
    return data


def _check_packages() -> None:
    import torch

    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < OLDEST_TORCH:
        raise UnsupportedError(f"[load] torch is {torch.__version__}, to load a module takes 2.5 or newer. {INSTALL}")
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise UnsupportedError(f"[load] a torch module needs the package {package}, which is missing. {INSTALL}")


def _arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments of forward."""
    import torch

    if example_inputs is None:
        raise InputError(
            "[load] a torch module needs example_inputs to be exported. Pass the arguments of its forward: a tensor, "
            "a tuple of them, or a mapping by parameter name"
        )
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, tuple | list):
        return tuple(example_inputs), {}
    raise InputError(
        f"[load] example_inputs is {type(example_inputs).__name__}, expected a tensor, a tuple of forward's arguments, "
        "or a mapping by parameter name"
    )


@contextlib.contextmanager
def _eval_mode(module: torch.nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:  # not module.train(), which would set frozen parts too
            part.training = training


def _try_forward(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What forward returns: whether it takes the examples is known before the exporter hides it in its own errors."""
    import torch

    try:
        with torch.no_grad():
            return module(*args, **kwargs)
    except Exception as error:
        raise InputError(
            f"[load] {type(module).__name__} fails on example_inputs: {type(error).__name__}: {_first_line(error)}. "
            "Pass what its forward takes"
        ) from error


def _tensors(value: Any) -> list[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _map_tensors(value: Any, tensor: Callable[[torch.Tensor], Any], other: Callable[[Any], Any]) -> Any:
    """The same nest of containers with each tensor and each other thing replaced."""
    import torch

    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, Mapping):
        return {name: _map_tensors(part, tensor, other) for name, part in value.items()}
    if isinstance(value, tuple | list):
        parts = [_map_tensors(part, tensor, other) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return other(value)


def _batch_agrees(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether all examples have one and the same first extent."""
    extents = {tensor.shape[0] if tensor.dim() else None for tensor in _tensors([args, kwargs])}
    return len(extents) == 1 and extents != {None}


def _export_with_any_batch(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], input_names: Sequence[str] | None
) -> Any:
    """With the first dimension free; or, where the module holds it to the example's, with that."""
    import torch

    def doubled(tensor: torch.Tensor) -> torch.Tensor:
        # torch.export takes an extent of 1 for a constant
        return torch.cat([tensor, tensor]) if tensor.shape[0] == 1 else tensor

    two_args, two_kwargs = _map_tensors((args, kwargs), doubled, lambda value: value)
    shapes = _map_tensors(kwargs or args, lambda _: {0: torch.export.Dim.DYNAMIC}, lambda _: None)
    try:
        return _export(module, two_args, two_kwargs, shapes, input_names)
    except UnsupportedError:
        return _export(module, args, kwargs, None, input_names)


def _export(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic_shapes: Any,
    input_names: Sequence[str] | None,
) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            # Of the exporter's own code.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            program = torch.onnx.export(
                module,
                args,
                kwargs=kwargs,
                dynamo=True,
                dynamic_shapes=dynamic_shapes,
                input_names=input_names,
                verbose=False,
            )
    except Exception as error:  # of many classes, most of them torch's own
        raise UnsupportedError(
            f"[load] {type(module).__name__} cannot be exported to ONNX: {_reason(error)}"
        ) from error
    assert program is not None
    return program


def _reason(error: BaseException) -> str:
    """Why the export failed and what to do."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for link in chain:
        missing = re.search(r"No (?:ONNX function|decompositions?)[^\n]*?op='([\w:.]+)'", str(link))
        if missing:
            return (
                f"ONNX has no form of operator {missing[1]!r}. Write that part of the module with other operators, or "
                "export it yourself by torch.onnx.export with a custom_translation_table, and load the file"
            )
    last = chain[-1]
    return (
        f"{type(last).__name__}: {_first_line(last)}. Try torch.export.export(module.eval(), args) to see where, and "
        "mind what forward decides by the values of tensors"
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _name_outputs(program: Any, outputs: Any, wanted: Sequence[str] | None) -> None:
    """Names the graph's outputs as asked, else by what forward returns: its keys, or output, or output_0 and so on."""
    values = program.model.graph.outputs
    names = wanted
    if names is None:
        if isinstance(outputs, Mapping):
            names = [str(name) for name, part in outputs.items() if part is not None]
        else:
            names = ["output"] if len(values) == 1 else [f"output_{i}" for i in range(len(values))]
        if len(names) != len(values):
            return  # a nest, which the exporter names
    elif len(set(names)) != len(names) or len(names) != len(values):
        raise InputError(f"[load] output_names is {list(names)}, expected {len(values)} different names")
    graph = program.model.graph
    others = {value.name for node in graph for value in node.outputs} | {value.name for value in graph.inputs}
    clash = ((others | set(graph.initializers)) - {value.name for value in values}) & set(names)
    if clash and wanted is not None:
        raise InputError(
            f"[load] output_names has {clash.pop()!r}, which another tensor of the model has. Choose another"
        )
    if clash:
        return  # the exporter's own names are unique
    for value, name in zip(values, names, strict=True):
        value.name = name


def _name_batch(proto: Any) -> None:
    """Calls the inputs' first dimension "batch", since torch's symbols say nothing.

    Inputs that forward does not hold to one batch have symbols of their own: they are "batch_1" and so on.
    """
    symbols = dict.fromkeys(_dims(value)[0].dim_param for value in proto.graph.input if _dims(value))
    symbols.pop("", None)
    names = {symbol: f"batch_{i}" if i else "batch" for i, symbol in enumerate(symbols)}
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in _dims(value):
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), dim.dim_param)


def _dims(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def _check_size(module: torch.nn.Module, program: Any) -> None:
    size = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    if size > MOST_FILE_BYTES:
        raise UnsupportedError(
            f"[load] {type(module).__name__} has {size:,} bytes of weights, one ONNX message holds "
            f"{MOST_FILE_BYTES:,}. Write it by torch.onnx.export(..., dynamo=True, external_data=True) and load that"
        )
