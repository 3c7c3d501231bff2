"""What `import sanderling` loads and offers."""

import subprocess
import sys

import pytest

import sanderling

HEAVY = ("grpc", "google.protobuf", "paho", "onnx", "onnxruntime", "sklearn", "scipy", "torch", "click", "rich")
OURS = ("sanderling_devices", "sanderling_fleet", "sanderling.cli", "sanderling.drift", "sanderling.agent")


def python(*lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_import_loads_next_to_nothing():
    code = f"print([m for m in sys.modules if m.startswith({HEAVY + OURS!r})])"
    assert python("import sys, sanderling", code) == "[]\n"


def test_using_a_session_loads_no_other_runtime():
    code = f"print([m for m in sys.modules if m.startswith({HEAVY!r})])"
    assert python("import sys, sanderling", "sanderling.Session, sanderling.Batcher, sanderling.load", code) == "[]\n"


def test_public_names_are_sorted_few_and_there():
    assert sanderling.__all__ == sorted(sanderling.__all__)
    assert 10 <= len(sanderling.__all__) <= 20
    for name in sanderling.__all__:
        assert getattr(sanderling, name) is not None
        assert name in dir(sanderling)
    public = {n for n in vars(sanderling) if not n.startswith("_")} - {
        "annotations",
        "importlib",
        "TYPE_CHECKING",
        "Any",
    }
    modules = {n for n in public if f"sanderling.{n}" in sys.modules}
    assert public - modules <= set(sanderling.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'sanderling' has no attribute 'Sesion'"):
        _ = sanderling.Sesion


def test_errors_have_one_root():
    for name in sanderling.__all__:
        value = getattr(sanderling, name)
        if name.endswith("Error"):
            assert issubclass(value, sanderling.SanderlingError)
