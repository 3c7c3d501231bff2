"""Many sessions, many threads, and what ends while others run."""

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from small_models import affine, affine_numpy, quantized_mlp

from sanderling import InputError, Model, Session


def test_a_hundred_sessions_at_once():
    model, x = Model(affine()), np.ones((4, 6), np.float32)
    sessions = [Session(model, threads=2) for _ in range(100)]
    for session in sessions:
        np.testing.assert_allclose(session.run(x), affine_numpy(x), rtol=1e-5, atol=1e-5)
    for session in sessions:
        session.close()


def test_sixteen_threads_share_a_session():
    session = Session(quantized_mlp(), threads=2)
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal((n, 37)).astype(np.float32) for n in range(1, 17)]
    wanted = [Session(quantized_mlp()).run(x) for x in inputs]
    wrong: list[int] = []
    start = threading.Barrier(16)

    def work(seed: int) -> None:
        start.wait()
        for i in np.random.default_rng(seed).integers(0, 16, 40):
            if not np.array_equal(session.run(inputs[i]), wanted[i]):
                wrong.append(int(i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_session_is_closed_while_others_run():
    """Who runs ends its run; who comes later is told."""
    x = np.ones((64, 37), np.float32)
    wanted = Session(quantized_mlp()).run(x)
    for _ in range(20):
        session = Session(quantized_mlp(), threads=2)
        outcomes: list[object] = []
        begun = threading.Barrier(5)

        def work(session: Session = session, outcomes: list[object] = outcomes, begun: object = begun) -> None:
            begun.wait()
            try:
                while True:
                    np.testing.assert_array_equal(session.run(x), wanted)
            except InputError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        session.close()
        for thread in threads:
            thread.join()
        assert [str(outcome) for outcome in outcomes] == ["[session] the session is closed. Make a new one"] * 4


@pytest.mark.parametrize("threads", [1, 3])
def test_the_interpreter_ends_while_daemon_threads_run(tmp_path, threads):
    (tmp_path / "model.onnx").write_bytes(quantized_mlp())
    code = f"""
        import threading, numpy as np, sanderling
        session = sanderling.Session({str(tmp_path / "model.onnx")!r}, threads={threads})
        x = np.ones((32, 37), np.float32)
        begun = threading.Barrier(5)
        def work():
            session.run(x)
            begun.wait()
            while True:
                session.run(x)
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        begun.wait()
    """
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_more_threads_than_the_system_gives_is_an_error():
    """Under a limit of address space, as a container may have one: nothing aborts, and what was started ends."""
    code = """
        import resource, sanderling, small_models
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20),) * 2)
        model = sanderling.Model(small_models.affine())
        sessions = []
        try:
            for _ in range(1000):
                sessions.append(sanderling.Session(model, threads=64))
        except sanderling.UnsupportedError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "[session] the system gives" in done.stdout
    assert "Use fewer threads" in done.stdout
