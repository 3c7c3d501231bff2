"""A version built from a model and rows is one that a device accepts; the command builds the same."""

import json
from pathlib import Path

import numpy as np
import pytest

import sanderling
import sanderling._core
from sanderling.cli import main
from sanderling.errors import InputError
from sanderling.versions import Bundle, read_bundle
from sanderling.versions._build import Recipe, build_version
from sanderling.versions._golden import read_golden
from sanderling_devices.demo import digits
from sanderling_devices.demo.train_digits import MODEL_PATH

ROWS = digits.split(0).reference.frames


@pytest.fixture(scope="module")
def built() -> Bundle:
    quantized = sanderling.quantize(sanderling.load(MODEL_PATH), ROWS)
    report = quantized.report.to_dict()
    return build_version(sanderling.load(quantized.bytes), {"image": ROWS}, Recipe("digits", "1.0", 1, report=report))


def test_it_has_all_that_a_device_needs(built: Bundle):
    assert set(built.blobs) == {"model.onnx", "version.reference", "golden.npz", "quantization.json"}
    manifest = built.manifest
    assert (manifest.full_name, manifest.release_counter) == ("digits-1.0", 1)
    assert [(t.name, t.dtype, t.shape) for t in manifest.inputs] == [("image", "float32", (None, 1, 8, 8))]
    assert [(t.name, t.dtype, t.shape) for t in manifest.outputs] == [("probabilities", "float32", (None, 10))]
    reference = sanderling.drift.Reference.from_bytes(built.blobs["version.reference"])
    assert (reference.rows, reference.inputs[0].name) == (len(ROWS), "image")


def test_the_model_gives_the_golden_answers_and_another_does_not(built: Bundle):
    golden = read_golden(built.blobs["golden.npz"])
    assert len(golden) == 8
    tolerance = built.manifest.golden_tolerance
    for isa in sanderling._core.runnable_isas():
        session = sanderling._core.Session(built.blobs["model.onnx"], isa=isa)
        for i in range(len(golden)):
            assert golden.wrong(i, session.run(golden.sample(i)), tolerance) is None
    with sanderling.Session(MODEL_PATH) as other:  # the float network
        wrong = [golden.wrong(i, other.run(golden.sample(i)), 1e-6) for i in range(len(golden))]
    assert any(wrong)


@pytest.mark.parametrize(
    "rows",
    [{}, {"picture": ROWS}, {"image": ROWS[:7]}, {"image": ROWS, "more": ROWS}],
    ids=["none", "name", "few", "more"],
)
def test_rows_that_do_not_fit(built: Bundle, rows: dict[str, np.ndarray]):
    with pytest.raises(InputError, match=r"\[build\] rows of"):
        build_version(sanderling.load(built.blobs["model.onnx"]), rows, Recipe("digits", "1.0", 1))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def files(tmp_path: Path, built: Bundle) -> list[Path]:
    (tmp_path / "model.onnx").write_bytes(built.blobs["model.onnx"])
    np.save(tmp_path / "rows.npy", ROWS)
    return [tmp_path / "model.onnx", tmp_path / "rows.npy"]


def test_the_command(tmp_path: Path, files: list[Path], built: Bundle, capsys: pytest.CaptureFixture[str]):
    options = ["--name", "digits", "--version", "1.0", "--release", "1", "--folder", tmp_path]
    assert run("model", "build", *files, *options, "-o", "json") == 0
    there = read_bundle(tmp_path / "digits-1.0.sanderling")
    assert json.loads(capsys.readouterr().out)["manifest"] == json.loads(there.manifest.to_bytes())
    for name in ("model.onnx", "version.reference", "golden.npz"):
        assert there.blobs[name] == built.blobs[name]


def test_the_command_refuses_a_bad_name(files: list[Path], capsys: pytest.CaptureFixture[str]):
    assert run("model", "build", *files, "--name", "Digits", "--version", "1.0", "--release", "1") == 6
    assert "no NAME-VERSION" in capsys.readouterr().err
