"""The C interface as a program meets it: installed, found by CMake, linked, run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **settings)


@pytest.fixture(scope="module")
def gateway(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built as its CMakeLists.txt says."""
    build = tmp_path_factory.mktemp("gateway")
    for command in (
        ("cmake", "-S", ROOT / "examples/gateway", "-B", build, f"-DCMAKE_PREFIX_PATH={installed}"),
        ("cmake", "--build", build),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "gateway"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(7, 5)).astype(np.float32), "b": rng.normal(size=5).astype(np.float32)}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Softmax", ["h"], ["y"])]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", e]) for n, e in (("x", 7), ("y", 5))]
    graph = helper.make_graph(
        nodes, "g", info[:1], info[1:], [numpy_helper.from_array(a, n) for n, a in weights.items()]
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_it_answers_as_python_does(gateway: Path, model: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32)
    text = "\n".join(" ".join(f"{number:.9g}" for number in row) for row in rows)
    done = run(gateway, model, input=text)
    assert done.returncode == 0, done.stderr
    answers = np.array([line.split() for line in done.stdout.splitlines()], np.float32)
    session = sanderling.Session(model)
    expected = np.concatenate([session.run(row[None]) for row in rows])
    np.testing.assert_array_equal(answers, expected)
    assert session.info()["isa"] in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read"), (b"", "no graph"), (b"\x08\x07garbage", "[onnx]")],
    ids=["missing", "empty", "damaged"],
)
def test_it_says_what_is_wrong(gateway: Path, tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    done = run(gateway, path, input="")
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == ""


def test_a_c_program_gets_a_status_for_everything(installed: Path, model: Path, tmp_path: Path) -> None:
    library = next(installed.rglob("libsanderling.so")).parent
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{installed / 'include'}", f"-L{library}"]
    source, program = ROOT / "tests/capi/probe.c", tmp_path / "probe"
    compiled = run("cc", *flags, source, "-lsanderling", f"-Wl,-rpath,{library}", "-o", program)
    assert compiled.returncode == 0, compiled.stderr
    done = run(program, model)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_library_shows_nothing_but_its_interface(installed: Path) -> None:
    library = next(installed.rglob("libsanderling.so"))
    names = run("nm", "-D", "--defined-only", library).stdout.split("\n")
    ours = [line.split()[-1] for line in names if "sanderling" in line]
    assert ours
    assert all(name.split("@")[0].startswith("sanderling_") for name in ours), ours
