"""The command line as a user meets it: in a process of its own."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from onnx import TensorProto, helper, numpy_helper


def sanderling(*args, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "sanderling.cli", *map(str, args)], capture_output=True, text=True, check=False, **kwargs
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], name="stem"),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "w"),
            numpy_helper.from_array(rng.standard_normal(4).astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    np.save(folder / "rows.npy", rng.standard_normal((64, 3, 6, 6)).astype(np.float32))
    return folder


def test_help_lists_every_command_and_the_exit_codes():
    result = sanderling("--help")
    assert result.returncode == 0
    for word in ("bench", "completion", "demo", "doctor", "drift", "model", "predict", "Exit codes"):
        assert word in result.stdout


def test_every_command_explains_itself():
    for command in (
        ["bench"],
        ["doctor"],
        ["predict"],
        ["drift", "report"],
        ["model", "show"],
        ["model", "quantize"],
        ["demo", "device"],
    ):
        result = sanderling(*command, "--help")
        assert result.returncode == 0, command
        assert "Usage:" in result.stdout


def test_a_typo_is_a_usage_error_with_a_suggestion():
    result = sanderling("modle")
    assert result.returncode == 2
    assert "No such command 'modle'" in result.stderr


def test_show(folder):
    result = sanderling("model", "show", folder / "model.onnx")
    assert result.returncode == 0, result.stderr
    assert "stem" in result.stdout
    assert f"{4 * 36 * 27:,} MACs" in result.stdout
    parsed = json.loads(sanderling("model", "show", folder / "model.onnx", "--batch", 8, "-o", "json").stdout)
    assert parsed["layers"][0]["macs"] == 8 * 4 * 36 * 27
    assert parsed["operators"] == {"Conv": 1, "Flatten": 1, "GlobalAveragePool": 1, "Relu": 1}
    (conv,) = [step for step in parsed["steps"] if step["op"] == "Conv"]
    assert conv["kernel"] == "gemm_f32"
    assert (conv["dtype"], conv["shape"]) == ("float32", [8, 6, 6, 4])
    assert all(step["microseconds"] > 0 for step in parsed["steps"])


def test_show_draws_the_time_of_each_step(folder):
    result = sanderling("model", "show", folder / "model.onnx", "--shape", "x=3,3,6,6", "--plot", folder / "time.svg")
    assert result.returncode == 0, result.stderr
    assert "gemm_f32" in result.stdout
    assert f"{3 * 4 * 36 * 27:,} MACs" in result.stdout
    picture = ElementTree.parse(folder / "time.svg").getroot()
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "model.onnx" in words
    assert "gemm_f32" in words, "the legend"
    bars = list(picture.iter("{http://www.w3.org/2000/svg}title"))
    assert len(bars) == result.stdout.count("%")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plot", "time.png"], "does not end in .svg"),
        (["--shape", "x"], "'x' is not NAME=EXTENT"),
        (["--shape", "x=1,a"], "is not NAME=EXTENT"),
        (["--shape", "z=1"], "no input 'z'"),
        (["--shape", "x=1,4,6,6"], "does not fit input 'x'"),
    ],
)
def test_show_refuses(folder, arguments, words):
    result = sanderling("model", "show", folder / "model.onnx", *arguments)
    assert result.returncode != 0
    assert words in result.stderr


def test_quantize_then_predict_and_bench(folder):
    result = sanderling("model", "quantize", folder / "model.onnx", folder / "rows.npy", folder / "int8.onnx")
    assert result.returncode == 0, result.stderr
    assert (folder / "int8.onnx").exists()
    outputs = {}
    for name in ("model", "int8"):
        result = sanderling("predict", folder / f"{name}.onnx", folder / "rows.npy", "--save", folder / f"{name}.npz")
        assert result.returncode == 0, result.stderr
        outputs[name] = np.load(folder / f"{name}.npz")["y"]
    assert np.corrcoef(outputs["model"].ravel(), outputs["int8"].ravel())[0, 1] > 0.99
    result = sanderling("bench", folder / "int8.onnx", "--seconds", "0.1", "-o", "json")
    assert result.returncode == 0, result.stderr
    backends = [row["backend"] for row in json.loads(result.stdout)["results"]]
    assert backends[0] == "native"
    assert all(row["p99_us"] >= row["p50_us"] > 0 for row in json.loads(result.stdout)["results"])


def test_an_error_is_three_lines_and_no_traceback(folder):
    (folder / "broken.onnx").write_bytes(b"\x08\x07garbage")
    result = sanderling("model", "show", folder / "broken.onnx")
    assert result.returncode == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("  cause: ModelError")
    assert lines[2].startswith("  hint: ")


def test_a_missing_file_names_the_path(tmp_path):
    result = sanderling("predict", tmp_path / "none.onnx", tmp_path / "rows.npy")
    assert result.returncode == 1
    assert "none.onnx" in result.stderr


def test_doctor_names_the_isa_and_the_reason_for_no_gpu():
    findings = {f["topic"]: f for f in json.loads(sanderling("doctor", "-o", "json").stdout)["findings"]}
    assert "runnable: scalar" in findings["isa"]["found"]
    assert findings["gpu"]["found"]
    assert {"cpu", "clock", "extra quantize"} <= set(findings)


def test_doctor_exits_3_on_a_problem():
    import os

    result = sanderling("doctor", env={**os.environ, "SANDERLING_ISA": "pdp11"})
    assert result.returncode == 3
    assert "pdp11" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell):
    result = sanderling("completion", shell)
    assert result.returncode == 0
    assert "_SANDERLING_COMPLETE" in result.stdout


def test_a_command_with_a_missing_extra_says_what_to_install():
    """Loads the CLI where scikit-learn cannot be imported."""
    code = "import sys; sys.modules['sklearn'] = None\nfrom sanderling.cli import main\nmain(['demo', 'device'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "pip install" in result.stderr
