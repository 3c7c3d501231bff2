"""After its first runs a quantized network asks for no memory: from C, and from Python by a bound call."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import sanderling
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="tests/capi/count_allocations.c counts what glibc is asked for"
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A QDQ network, float32 x [n, 3, 12, 12] -> y [n, 4]: convolutions, sums, pooling, a product, Softmax."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "w2": rng.normal(0, 0.2, (8, 1, 3, 3)),
        "w3": rng.normal(0, 0.3, (8, 8, 1, 1)),
        "w4": rng.normal(0, 0.3, (8, 4)),
        "b4": rng.normal(size=4),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 4, group=8),
        helper.make_node("Conv", ["c2", "w3"], ["c3"]),
        helper.make_node("Add", ["r1", "c3"], ["a"]),  # a part of the convolution before it
        helper.make_node("Add", ["a", "r1"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 12, 12])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rows = rng.normal(size=(16, 3, 12, 12)).astype(np.float32)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    sanderling.quantize(model.SerializeToString(), rows).save(path)
    operators = sanderling.Session(path).info()["operators"]
    assert {"QConv", "QAdd"} <= set(operators), operators
    return path


def compiled(output: Path, *words: object) -> Path:
    command = ["cc", "-std=c11", "-O1", "-Wall", *map(str, words), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("threads", [1, 3])
def test_a_c_program(installed: Path, network: Path, tmp_path: Path, threads: int) -> None:
    library = next(installed.rglob("libsanderling.so")).parent
    flags = [f"-I{installed / 'include'}", f"-L{library}", f"-Wl,-rpath,{library}"]
    program = compiled(
        tmp_path / "steady", HERE / "steady.c", HERE / "count_allocations.c", *flags, "-lsanderling", "-rdynamic"
    )
    done = subprocess.run([program, network, str(threads)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(int, done.stdout.split())
    assert first > 0  # so it does count
    assert second == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bound_call(network: Path, tmp_path: Path, threads: int) -> None:
    counter = compiled(tmp_path / "counter.so", "-shared", "-fPIC", HERE / "count_allocations.c")
    code = f"""
        import ctypes, numpy as np, sanderling
        count = ctypes.CDLL(None).count_allocations
        session = sanderling.Session({str(network)!r}, threads={threads})
        x, y = np.ones((2, 3, 12, 12), np.float32), np.empty((2, 4), np.float32)
        call = session.bind(x, y)
        timed = session.bind(x, y, timeout_s=60)
        counts = [0] * 3
        counts[0] = count()
        for _ in range(10): call(); timed(); session.run_into(x, y)
        counts[1] = count()
        for _ in range(10): call(); timed()
        counts[2] = count()
        print(counts[1] - counts[0], counts[2] - counts[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_PRELOAD": str(counter)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(int, done.stdout.split())
    assert first > 0
    assert second == 0
