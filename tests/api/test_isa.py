"""SANDERLING_ISA forces an instruction set, or says which there are."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from small_models import quantized_mlp

from sanderling import _core

KNOWN = ["scalar", "sse41", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "neon", "neon_dotprod", "neon_i8mm"]
BUILT, RUNNABLE = _core.built_isas(), _core.runnable_isas()


def run_with(isa: str, tmp_path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "model.onnx").write_bytes(quantized_mlp())
    script = """
        import sys
        import numpy as np
        import sanderling  # importing needs no instruction set

        try:
            session = sanderling.Session("model.onnx")
        except sanderling.UnsupportedError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        x = np.random.default_rng(0).standard_normal((9, 37)).astype(np.float32)
        np.save("y.npy", session.run(x))
        print(session.info()["isa"])
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "SANDERLING_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("isa", RUNNABLE)
def test_a_runnable_one_runs_and_gives_the_same_bits(isa, tmp_path):
    done = run_with(isa, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{isa}\n", "")
    y = np.load(tmp_path / "y.npy")
    assert run_with("scalar", tmp_path).returncode == 0
    np.testing.assert_array_equal(y, np.load(tmp_path / "y.npy"))


def test_empty_means_the_fastest(tmp_path):
    assert run_with("", tmp_path).stdout == f"{RUNNABLE[-1]}\n"


@pytest.mark.parametrize(
    ("isa", "why"),
    [
        ("avx9000", f"'avx9000' is not an instruction set that Sanderling knows ({', '.join(KNOWN)})"),
        *((isa, "is for another processor and not in this build") for isa in KNOWN if isa not in BUILT),
        *((isa, "this CPU or operating system does not run it") for isa in BUILT if isa not in RUNNABLE),
    ],
)
def test_another_one_is_refused_and_those_there_are_named(isa, why, tmp_path):
    done = run_with(isa, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("UnsupportedError: [kernels] ")
    assert why in done.stderr
    assert f"Name one that runs here: {', '.join(RUNNABLE)}; or unset SANDERLING_ISA" in done.stderr
